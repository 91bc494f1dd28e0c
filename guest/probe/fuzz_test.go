// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// seed adds the real texts called name.
func seed(f *testing.F, name string) {
	for _, arch := range []string{"x86_64", "s390x"} {
		b, err := os.ReadFile(filepath.Join("testdata", arch, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
}

func FuzzVmalloc(f *testing.F) {
	seed(f, "vmallocinfo")
	f.Fuzz(func(t *testing.T, s string) {
		areas, err := ParseVmalloc(strings.NewReader(s))
		if err != nil {
			return
		}
		if !slices.IsSortedFunc(areas, func(a, b Area) int { return compare(a.Start, b.Start) }) {
			t.Error("not in the order of addresses")
		}
		for _, a := range areas {
			if a.End < a.Start || a.Bytes() > a.End-a.Start {
				t.Errorf("area larger than its range: %+v", a)
			}
			if i := FindArea(areas, a.Start); i >= 0 && !areas[i].Contains(a.Start) {
				t.Errorf("found %+v for %#x", areas[i], a.Start)
			}
		}
	})
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func FuzzMaps(f *testing.F) {
	f.Add(mapsText)
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseMaps(strings.NewReader(s))
		if err != nil {
			return
		}
		for i, m := range list {
			if m.End <= m.Start || i > 0 && m.Start < list[i-1].End {
				t.Errorf("mapping %d: %+v", i, m)
			}
		}
	})
}

func FuzzMeminfo(f *testing.F) {
	seed(f, "meminfo")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMeminfo(strings.NewReader(s))
		if err != nil {
			return
		}
		for name, v := range m {
			if v < 0 {
				t.Errorf("%s is %d", name, v)
			}
		}
	})
}

func FuzzPageTable(f *testing.F) {
	seed(f, "page_tables")
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (PageTable, error){
			func(s string) (PageTable, error) { return ParsePageTableX86(strings.NewReader(s)) },
			func(s string) (PageTable, error) { return ParsePageTableS390(strings.NewReader(s)) },
		} {
			table, err := parse(s)
			if err != nil {
				continue
			}
			for _, m := range table {
				if m.LeafBytes == 0 || m.End < m.Start {
					t.Errorf("mapping %+v", m)
				}
				if got, ok := table.Find(m.Start); ok && (m.Start < got.Start || m.Start >= got.End) {
					t.Errorf("found %+v for %#x", got, m.Start)
				}
			}
		}
	})
}

func FuzzSymbols(f *testing.F) {
	seed(f, "kallsyms")
	f.Fuzz(func(t *testing.T, s string) {
		ParseSymbols(strings.NewReader(s), func(string) bool { return true })
	})
}

func FuzzLogRecord(f *testing.F) {
	f.Add("6,339,5140900,-;test_bpf: #0 TAX jited:1 50 42 43 PASS\n SUBSYSTEM=x\n")
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := ParseLogRecord(s); err == nil && (r.Level < 0 || r.Level > 7 || r.Since < 0 || strings.Contains(r.Text, "\n")) {
			t.Errorf("%+v", r)
		}
	})
}
