// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Node is one of the nodes that memory and processors are divided among.
type Node struct {
	Number     int
	Processors []int
}

const nodeDir = "/sys/devices/system/node"

// Nodes returns the nodes that are online, in the order of their numbers: none on
// a kernel that doesn't know nodes (CONFIG_NUMA).
func (k Kernel) Nodes() ([]Node, error) {
	text, err := k.readString(nodeDir + "/online")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	numbers, err := ParseList(text)
	if err != nil {
		return nil, fmt.Errorf("%s/online: %w", nodeDir, err)
	}
	var list []Node
	for _, n := range numbers {
		file := fmt.Sprintf("%s/node%d/cpulist", nodeDir, n)
		text, err := k.readString(file)
		if err != nil {
			return nil, err
		}
		node := Node{Number: n}
		if node.Processors, err = ParseList(text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, node)
	}
	return list, nil
}

// maxListed is more processors and nodes than any kernel knows.
const maxListed = 1 << 16

// ParseList parses a list of numbers as the kernel writes it: "0-3,8". An empty
// text is an empty list.
func ParseList(text string) ([]int, error) {
	var list []int
	if text == "" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 16)
		b, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || b < a || len(list)+int(b-a) >= maxListed {
			return nil, lineError(text)
		}
		for n := a; n <= b; n++ {
			list = append(list, int(n))
		}
	}
	return list, nil
}

// OnNode is how many of the area's pages are a node's.
func (a Area) OnNode(node int) int {
	for _, f := range a.Flags {
		if pages, ok := strings.CutPrefix(f, fmt.Sprintf("N%d=", node)); ok {
			n, err := strconv.ParseUint(pages, 10, 31)
			if err != nil {
				return 0
			}
			return int(n)
		}
	}
	return 0
}
