// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// Slab is one of the kernel's object caches.
type Slab struct {
	Name        string
	Objects     int64 // in use, those that a processor keeps at hand included
	ObjectBytes int64
}

// Slabs reads /proc/slabinfo, which only kernels with SLUB_DEBUG have.
func (k Kernel) Slabs() ([]Slab, error) { return read(k, "/proc/slabinfo", ParseSlabs) }

// ParseSlabs parses /proc/slabinfo: after two lines of headings, "name
// active_objs num_objs objsize ...".
func ParseSlabs(r io.Reader) ([]Slab, error) {
	var list []Slab
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := s.Text()
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "slabinfo - version: ") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 4 {
			return nil, lineError(line)
		}
		objects, err1 := strconv.ParseUint(f[1], 10, 62)
		size, err2 := strconv.ParseUint(f[3], 10, 31)
		if err1 != nil || err2 != nil {
			return nil, lineError(line)
		}
		list = append(list, Slab{f[0], int64(objects), int64(size)})
	}
	return list, s.Err()
}
