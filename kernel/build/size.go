// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Size is what a kernel takes, in bytes, by what it is.
type Size struct {
	Code     int64 `json:"code"`     // executable
	ReadOnly int64 `json:"readonly"` // neither executable nor writable
	Data     int64 `json:"data"`     // writable, and in the file
	Zero     int64 `json:"zero"`     // writable, and not in the file
}

// add counts n bytes of a section, if it is one that is loaded.
func (s *Size) add(sec *elf.Section, n int64) {
	switch {
	case sec.Flags&elf.SHF_ALLOC == 0:
	case sec.Flags&elf.SHF_EXECINSTR != 0:
		s.Code += n
	case sec.Flags&elf.SHF_WRITE == 0:
		s.ReadOnly += n
	case sec.Type == elf.SHT_NOBITS:
		s.Zero += n
	default:
		s.Data += n
	}
}

// Symbols are what a kernel's symbols take. What stands between them to align
// them, which hides whatever is smaller, is not in it; nor is assembler code that
// is not said to have a size.
type Symbols struct {
	Size Size `json:"size"`
	// Functions are the sizes of those in executable sections, in bytes, by name.
	Functions map[string]int64 `json:"functions"`
}

// sizeOf adds up the sections and the symbols of a linked kernel.
func sizeOf(vmlinux string) (sections Size, symbols Symbols, err error) {
	f, err := elf.Open(vmlinux)
	if err != nil {
		return sections, symbols, fmt.Errorf("measure the kernel: %w", err)
	}
	defer f.Close()
	for _, sec := range f.Sections {
		sections.add(sec, int64(sec.Size))
	}
	if symbols, err = symbolsOf(f); err != nil {
		return sections, symbols, fmt.Errorf("measure the kernel: %s: %w", vmlinux, err)
	}
	return sections, symbols, nil
}

// copied are the numbers that compilers give static variables and copies of
// functions; they change whenever anything does. What they stand for is one thing.
var copied = regexp.MustCompile(`\.[0-9]+`)

// symbolsOf adds up the symbols of f. Of several names for one place, the largest
// counts, and the first of the alphabet if they are equal.
func symbolsOf(f *elf.File) (Symbols, error) {
	list, err := f.Symbols()
	if err != nil {
		return Symbols{}, err
	}
	list = slices.DeleteFunc(list, func(s elf.Symbol) bool {
		return s.Size == 0 || int(s.Section) >= len(f.Sections) || strings.HasPrefix(s.Name, "__pfx_") // room before a function
	})
	if len(list) == 0 {
		return Symbols{}, errors.New("no symbol has a size")
	}
	slices.SortFunc(list, func(a, b elf.Symbol) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.Value, b.Value), cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
	})
	list = slices.CompactFunc(list, func(a, b elf.Symbol) bool { return a.Section == b.Section && a.Value == b.Value })
	out := Symbols{Functions: map[string]int64{}}
	for _, s := range list {
		sec := f.Sections[s.Section]
		out.Size.add(sec, int64(s.Size))
		if sec.Flags&elf.SHF_ALLOC != 0 && sec.Flags&elf.SHF_EXECINSTR != 0 {
			out.Functions[copied.ReplaceAllString(s.Name, "")] += int64(s.Size)
		}
	}
	return out, nil
}

// Growth is how the functions of one kernel differ from another's.
type Growth struct {
	// Added and the others are how many functions.
	Added, Removed, Grown, Shrunk int
	// Up and Down are the bytes of those that are larger or new, and of those that
	// are smaller or gone.
	Up, Down int64
	// Most are those that differ most, at most mostGrown.
	Most []Grown
}

// Grown is a function that is larger or smaller than before; 0 is not there.
type Grown struct {
	Name          string
	Before, After int64
}

// mostGrown is how many functions are named: enough to see what a patch does.
const mostGrown = 8

// Since returns how the functions differ from those of before.
func (s Symbols) Since(before Symbols) Growth {
	var g Growth
	see := func(name string, was, is int64) {
		switch {
		case was == is:
			return
		case was == 0:
			g.Added++
		case is == 0:
			g.Removed++
		case is > was:
			g.Grown++
		default:
			g.Shrunk++
		}
		g.Up += max(0, is-was)
		g.Down += max(0, was-is)
		g.Most = append(g.Most, Grown{name, was, is})
	}
	for name, is := range s.Functions {
		see(name, before.Functions[name], is)
	}
	for name, was := range before.Functions {
		if _, there := s.Functions[name]; !there {
			see(name, was, 0)
		}
	}
	by := func(x Grown) int64 { return max(x.After-x.Before, x.Before-x.After) }
	slices.SortFunc(g.Most, func(a, b Grown) int { return cmp.Or(cmp.Compare(by(b), by(a)), cmp.Compare(a.Name, b.Name)) })
	g.Most = g.Most[:min(len(g.Most), mostGrown)]
	return g
}
