// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Meminfo is /proc/meminfo: amounts in bytes by name, counts (HugePages_*) as
// they stand. A name that the kernel doesn't show is missing.
type Meminfo map[string]int64

// Meminfo reads /proc/meminfo.
func (k Kernel) Meminfo() (Meminfo, error) { return read(k, "/proc/meminfo", ParseMeminfo) }

// ParseMeminfo parses /proc/meminfo.
func ParseMeminfo(r io.Reader) (Meminfo, error) {
	m := Meminfo{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		name, rest, ok := strings.Cut(s.Text(), ":")
		fields := strings.Fields(rest)
		if !ok || len(fields) == 0 || len(fields) > 2 {
			return nil, lineError(s.Text())
		}
		v, err := strconv.ParseInt(fields[0], 10, 53)
		if err != nil || v < 0 {
			return nil, lineError(s.Text())
		}
		if len(fields) == 2 {
			if fields[1] != "kB" {
				return nil, lineError(s.Text())
			}
			v *= 1024
		}
		m[name] = v
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

// DirectMap is how much of the kernel's direct map is mapped by entries of one
// size.
type DirectMap struct {
	Metric string // directmap_4k, directmap_2m or directmap_1g
	Name   string // as /proc/meminfo calls it on this architecture
	Bytes  int64
	Shown  bool // false if /proc/meminfo has no such line
}

// DirectMap picks the direct map's sizes out of m, smallest entries first.
func (k Kernel) DirectMap(m Meminfo) ([]DirectMap, error) {
	names := []string{"DirectMap4k", "DirectMap2M", "DirectMap1G"}
	if k.arch() == "s390x" {
		names = []string{"DirectMap4k", "DirectMap1M", "DirectMap2G"}
	}
	if _, ok := m[names[0]]; !ok {
		return nil, fmt.Errorf("/proc/meminfo: no %s", names[0])
	}
	var list []DirectMap
	for i, metric := range []string{"directmap_4k", "directmap_2m", "directmap_1g"} {
		v, ok := m[names[i]]
		list = append(list, DirectMap{Metric: metric, Name: names[i], Bytes: v, Shown: ok})
	}
	return list, nil
}
