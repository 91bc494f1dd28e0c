// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// symbols are a kernel's functions by address. The zero value knows none.
type symbols []symbol

type symbol struct {
	at   uint64
	name string
}

// loadSymbols reads a System.map; "" is none.
func loadSymbols(path string) (symbols, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out symbols
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// ffffffff81000000 T _stext
		w := strings.Fields(lines.Text())
		if len(w) != 3 || w[2] != afterText && (!strings.Contains("tTwW", w[1]) || mark.MatchString(w[2])) {
			continue
		}
		at, err := strconv.ParseUint(w[0], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		out = append(out, symbol{at, w[2]})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].at < out[j].at })
	return out, lines.Err()
}

// mark matches the linker's marks, which lie where functions begin and end.
var mark = regexp.MustCompile(`^_\w*text(_start|_end)?$`)

// afterText is the mark behind the last function.
const afterText = "_etext"

// furthest is how far from a function's beginning an address may still be taken
// for part of it. Elsewhere lie modules and BPF programs.
const furthest = 64 << 10

// name shows an address as the kernel would.
func (s symbols) name(at uint64) string {
	i := sort.Search(len(s), func(i int) bool { return s[i].at > at }) - 1
	if i < 0 || at-s[i].at > furthest || s[i].name == afterText {
		return fmt.Sprintf("0x%x", at)
	}
	return fmt.Sprintf("%s+0x%x", s[i].name, at-s[i].at)
}
