// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// OwnMemory reads the calling process's mappings (/proc/self/maps).
func (k Kernel) OwnMemory() ([]Mapping, error) { return read(k, "/proc/self/maps", ParseMaps) }

// ParseMaps parses /proc/PID/maps, in the order of addresses. What size of page
// lies under a mapping it doesn't tell: LeafBytes is the smallest.
func ParseMaps(r io.Reader) ([]Mapping, error) {
	var list []Mapping
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := s.Text()
		fields := strings.Fields(line)
		if len(fields) < 5 || len(fields[1]) != 4 {
			return nil, lineError(line)
		}
		a, b, ok := strings.Cut(fields[0], "-")
		if !ok {
			return nil, lineError(line)
		}
		start, errA := parseHex("0x" + a)
		end, errB := parseHex("0x" + b)
		if errA != nil || errB != nil || end <= start || len(list) > 0 && start < list[len(list)-1].End {
			return nil, lineError(line)
		}
		list = append(list, Mapping{Start: start, End: end, LeafBytes: PageBytes,
			Writable: fields[1][1] == 'w', Executable: fields[1][2] == 'x'})
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("nothing is mapped")
	}
	return list, nil
}
