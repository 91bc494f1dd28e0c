// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

// Mapping is a range of kernel addresses that is mapped by page-table entries
// of one size with the same permissions.
type Mapping struct {
	Start, End uint64
	// LeafBytes is the size of each entry: 4096, or what a PMD or PUD maps.
	LeafBytes  uint64
	Writable   bool
	Executable bool
}

// PageTable is the kernel's page table: mapped ranges in the order of addresses.
type PageTable []Mapping

// PageTableFile is the kernel's own dump of its page table (PTDUMP_DEBUGFS),
// which is written anew for every Read.
//
// The kernel begins with a buffer of a page, and walks all tables again with
// one of twice the size until everything fits in. An open file keeps that
// buffer, so from the second Read on the kernel walks its tables once.
type PageTableFile struct {
	f     *os.File
	parse func(io.Reader) (PageTable, error)
}

// OpenPageTable opens the dump.
func (k Kernel) OpenPageTable() (*PageTableFile, error) {
	name, parse := "/sys/kernel/debug/page_tables/kernel", ParsePageTableX86
	if k.arch() == "s390x" {
		name, parse = "/sys/kernel/debug/kernel_page_tables", ParsePageTableS390
	}
	f, err := os.Open(k.path(name))
	if err != nil {
		return nil, err
	}
	return &PageTableFile{f, parse}, nil
}

// Read reads the page table as it is now.
func (p *PageTableFile) Read() (PageTable, error) {
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	t, err := p.parse(p.f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.f.Name(), err)
	}
	return t, nil
}

// Close closes the dump.
func (p *PageTableFile) Close() error { return p.f.Close() }

// PageTable reads the page table once.
func (k Kernel) PageTable() (PageTable, error) {
	p, err := k.OpenPageTable()
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Read()
}

// ParsePageTableX86 parses x86_64's dump. A line of it is a range, its size,
// the flags that are set (a mapped range has "RW" or "ro"), and the level.
func ParsePageTableX86(r io.Reader) (PageTable, error) {
	return parsePageTable(r, map[string]uint64{"pte": 4 << 10, "pmd": 2 << 20, "pud": 1 << 30}, true)
}

// ParsePageTableS390 parses s390x's dump. A line of it is a range, its size,
// the level, and "RO" or "RW" with "NX" or "X", or "I" for what is not mapped.
func ParsePageTableS390(r io.Reader) (PageTable, error) {
	return parsePageTable(r, map[string]uint64{"PTE": 4 << 10, "PMD": 1 << 20, "PUD": 2 << 30}, false)
}

func parsePageTable(r io.Reader, leaf map[string]uint64, levelLast bool) (PageTable, error) {
	var table PageTable
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := s.Text()
		if !strings.HasPrefix(line, "0x") {
			continue // "---[ Vmalloc Area ]---", "... 3 entries skipped ..."
		}
		fields := strings.Fields(line)
		if len(fields) < 3 {
			return nil, lineError(line)
		}
		// The end of the address space is written as 0.
		where, top := strings.CutSuffix(fields[0], "-0x0000000000000000")
		if top {
			where += "-0xffffffffffffffff"
		}
		start, end, err := parseRange(where)
		if err != nil {
			return nil, lineError(line)
		}
		flags := fields[2:]
		level := flags[0]
		if levelLast {
			level = flags[len(flags)-1]
		}
		m := Mapping{Start: start, End: end, LeafBytes: leaf[level]}
		present, err := m.permissions(flags)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w in line %q", err, line)
		case !present:
			continue
		case m.LeafBytes == 0 || !top && end%m.LeafBytes != 0 || start%m.LeafBytes != 0:
			return nil, lineError(line)
		}
		table = append(table, m)
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if len(table) == 0 {
		return nil, fmt.Errorf("nothing is mapped")
	}
	sort.Slice(table, func(i, j int) bool { return table[i].Start < table[j].Start })
	return table, nil
}

// permissions reads the flags; it returns false for a range that isn't mapped.
func (m *Mapping) permissions(flags []string) (bool, error) {
	access, execute := 0, 0
	for _, f := range flags {
		switch f {
		case "RW":
			m.Writable = true
			access++
		case "ro", "RO":
			access++
		case "x", "X":
			m.Executable = true
			execute++
		case "NX":
			execute++
		}
	}
	// x86 writes "x" for what isn't mapped only if it could write no flags at all.
	if access == 0 {
		return false, nil
	}
	if access != 1 || execute != 1 {
		return false, fmt.Errorf("contradictory permissions")
	}
	return true, nil
}

// Find returns the mapping of addr.
func (t PageTable) Find(addr uint64) (Mapping, bool) {
	i := sort.Search(len(t), func(i int) bool { return t[i].End > addr })
	if i < len(t) && t[i].Start <= addr {
		return t[i], true
	}
	return Mapping{}, false
}
