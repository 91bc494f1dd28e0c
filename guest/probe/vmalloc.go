// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bufio"
	"errors"
	"io"
	"sort"
	"strconv"
	"strings"
)

// Area is one area of the kernel's virtual address space (a line of
// /proc/vmallocinfo).
type Area struct {
	Start, End uint64 // with the guard page, if there is one
	Caller     string // who asked for it, "" if the kernel doesn't know
	Pages      int    // 4 KiB pages of memory behind it; 0 if none are of its own
	Flags      []string
	// Unpurged areas are free; only their addresses are not in use again yet.
	Unpurged bool
}

// Bytes is the area's size without its guard page.
func (a Area) Bytes() uint64 {
	if a.Pages > 0 {
		return uint64(a.Pages) * PageBytes
	}
	if size := a.End - a.Start; size > PageBytes {
		return size - PageBytes
	}
	return 0
}

// Contains says whether addr lies in the area, its guard page left out.
func (a Area) Contains(addr uint64) bool { return addr >= a.Start && addr-a.Start < a.Bytes() }

// PageBytes is the size of a small page on both architectures.
const PageBytes = 4096

// ErrHashed says that addresses were replaced by hashes.
var ErrHashed = errors.New("addresses are hidden (no_hash_pointers must be on the kernel's command line)")

// Vmalloc reads /proc/vmallocinfo.
func (k Kernel) Vmalloc() ([]Area, error) { return read(k, "/proc/vmallocinfo", ParseVmalloc) }

// ParseVmalloc parses /proc/vmallocinfo into areas in the order of addresses.
func ParseVmalloc(r io.Reader) ([]Area, error) {
	var areas []Area
	s := bufio.NewScanner(r)
	for s.Scan() {
		a, err := parseArea(s.Text())
		if err != nil {
			return nil, err
		}
		areas = append(areas, a)
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	sort.Slice(areas, func(i, j int) bool { return areas[i].Start < areas[j].Start })
	return areas, nil
}

func parseArea(line string) (Area, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return Area{}, lineError(line)
	}
	start, end, err := parseRange(fields[0])
	if err != nil {
		return Area{}, err
	}
	size, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return Area{}, lineError(line)
	}
	// A hash of the start and one of the end are not the size apart.
	if end-start != size {
		return Area{}, ErrHashed
	}
	a := Area{Start: start, End: end}
	for _, f := range fields[2:] {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case key == "pages" && ok:
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n*PageBytes > size {
				return Area{}, lineError(line)
			}
			a.Pages = int(n)
		case f == "unpurged":
			a.Unpurged = true
		case a.Caller == "" && strings.Contains(f, "+0x"):
			a.Caller = f
		default:
			a.Flags = append(a.Flags, f)
		}
	}
	return a, nil
}

// parseRange parses "0x0000-0x1000".
func parseRange(s string) (start, end uint64, err error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, lineError(s)
	}
	start, err = parseHex(a)
	if err != nil {
		return 0, 0, err
	}
	end, err = parseHex(b)
	if err != nil {
		return 0, 0, err
	}
	if end < start {
		return 0, 0, ErrHashed
	}
	return start, end, nil
}

func parseHex(s string) (uint64, error) {
	digits, ok := strings.CutPrefix(s, "0x")
	v, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil {
		return 0, lineError(s)
	}
	return v, nil
}

// FindArea returns the index of the area that contains addr, or -1. areas must
// be in the order of addresses.
func FindArea(areas []Area, addr uint64) int {
	i := sort.Search(len(areas), func(i int) bool { return areas[i].Start > addr })
	for i--; i >= 0; i-- {
		// An unpurged area may share addresses with a live one.
		if areas[i].Contains(addr) && !areas[i].Unpurged {
			return i
		}
		if areas[i].End <= addr {
			break
		}
	}
	return -1
}
