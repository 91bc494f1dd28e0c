// SPDX-License-Identifier: GPL-2.0-or-later

// Package oracle holds the rules that executable memory must keep whatever
// allocator a kernel has. A rule looks at what is there, at one quiet moment or
// at two, and returns what is broken as findings; that nothing is broken is nil.
// It knows how an architecture executes code and what a program looks like in
// memory, never how an allocator keeps its books.
//
// Reading what is there is package probe's business, and when to look, and what
// was done before, that of scenarios.
package oracle

import (
	"fmt"
	"sort"
	"strings"

	"packtest/guest/bpf"
	"packtest/guest/probe"
	"packtest/guest/wire"
)

// Image is one function's code at its address.
type Image struct {
	Start, End uint64
	Program    uint32 // the kernel's ID
	Type       bpf.Type
	Function   int // 0 is the program itself, the others its subprograms
}

func (i Image) String() string {
	return fmt.Sprintf("program %d (%s) %#x-%#x", i.Program, i.Type, i.Start, i.End)
}

// Images returns the code of all functions of programs in the order of addresses.
func Images(programs []bpf.Info) []Image {
	var list []Image
	for _, in := range programs {
		for n, f := range in.Functions {
			list = append(list, Image{f.Address, f.Address + uint64(f.Bytes), in.ID, in.Type, n})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Start < list[j].Start })
	return list
}

// Span is a stretch of kernel memory and what is in it.
type Span struct {
	Start uint64
	Bytes []byte
}

// End is the address of the first byte behind the span.
func (s Span) End() uint64 { return s.Start + uint64(len(s.Bytes)) }

// Range is a stretch of addresses, the byte at End not included.
type Range struct{ Start, End uint64 }

func (r Range) contains(addr uint64) bool { return addr >= r.Start && addr < r.End }

// maxCases is how many cases a finding tells one by one.
const maxCases = 10

// finding makes one finding of all cases of one kind, nil if there are none. Here
// as in all findings no word hangs on a number, as "case" and "cases" would: but
// for its numbers a text is the same wherever there is the same trouble.
func finding(kind, title string, cases []string) []wire.Finding {
	if len(cases) == 0 {
		return nil
	}
	text := strings.Join(cases[:min(len(cases), maxCases)], "\n")
	if more := len(cases) - maxCases; more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	return []wire.Finding{{Kind: kind, Title: title, Evidence: fmt.Sprintf("cases: %d\n%s", len(cases), text), Cases: len(cases)}}
}

// Overlaps holds if no two images share a byte.
func Overlaps(images []Image) []wire.Finding {
	var cases []string
	for i := 1; i < len(images); i++ {
		if images[i].Start < images[i-1].End {
			cases = append(cases, fmt.Sprintf("%s and %s", images[i-1], images[i]))
		}
	}
	return finding("overlap", "programs' code overlaps", cases)
}

// alignment is at what multiples of bytes functions begin at least. On s390x code
// reads the constants behind it with instructions that demand it (LGRL); an emulator
// may not mind.
func alignment(arch string) uint64 {
	if arch == "s390x" {
		return 8
	}
	return 1
}

// Aligned holds if all functions begin where the architecture's JIT needs them to.
func Aligned(arch string, images []Image) []wire.Finding {
	var cases []string
	for _, im := range images {
		if im.Start%alignment(arch) != 0 {
			cases = append(cases, im.String())
		}
	}
	return finding("placement", "programs' code is not aligned as the architecture needs it", cases)
}

// Placed holds if all code lies in vmalloc areas, none in two.
func Placed(images []Image, areas []probe.Area) []wire.Finding {
	var cases []string
	for _, im := range images {
		if a := probe.FindArea(areas, im.Start); a < 0 || !areas[a].Contains(im.End-1) {
			cases = append(cases, im.String())
		}
	}
	return finding("placement", "programs' code lies outside of any vmalloc area", cases)
}

// manyImages is of how many images some must differ in what is drawn for each.
const manyImages = 64

// Scattered holds if programs begin at different places of what they are given:
// one that always begins at the same is easier to aim at, which is why the
// kernel draws where it begins. Few programs show nothing; of many, two places
// are enough, since those of one size may have no more.
func Scattered(images []Image) []wire.Finding {
	const line = 64 // the smallest piece that any allocator was seen to give
	seen := map[uint64]bool{}
	for _, im := range images {
		seen[im.Start%line] = true
	}
	if len(images) < manyImages || len(seen) > 1 {
		return nil
	}
	return finding("placement", "programs all begin at the same place of their memory",
		[]string{fmt.Sprintf("all of %d functions begin %d bytes behind a multiple of %d", len(images), images[0].Start%line, line)})
}

// Protected holds if all code is mapped so that it can be executed and not be
// written.
func Protected(images []Image, table probe.PageTable) []wire.Finding {
	var writable, dead, unmapped []string
	for _, im := range images {
		for addr := im.Start; addr < im.End; {
			m, ok := table.Find(addr)
			if !ok {
				unmapped = append(unmapped, im.String())
				break
			}
			leaf := addr - addr%m.LeafBytes
			where := fmt.Sprintf("%s, the page at %#x", im, leaf)
			if m.Writable {
				writable = append(writable, where)
			}
			if !m.Executable {
				dead = append(dead, where)
			}
			addr = leaf + m.LeafBytes
		}
	}
	list := finding("permissions", "programs' code is writable", writable)
	list = append(list, finding("permissions", "programs' code is not executable", dead)...)
	return append(list, finding("permissions", "programs' code is not mapped", unmapped)...)
}

// Momentary holds if no page of code was seen to be writable while other programs
// were loaded and freed; cases are those that were.
func Momentary(cases []string) []wire.Finding {
	return caught(finding("permissions", "programs' code is writable while others are loaded or freed", cases))
}

// caught makes findings of what was seen for moments some whose number says nothing:
// there are as many cases as were caught. Nor does the text hang on it.
func caught(list []wire.Finding) []wire.Finding {
	for i := range list {
		f := &list[i]
		f.Evidence = strings.TrimSuffix(f.Evidence, fmt.Sprintf("\nand %d more", f.Cases-maxCases))
		f.Cases = 0
	}
	return list
}

// NeverBoth holds if at no moment while programs were loaded and freed there was memory
// that can be both written and executed; addresses are where some was. It is for
// architectures whose module memory can't be executed as it comes: see ExecutableAsItComes.
func NeverBoth(addresses []uint64) []wire.Finding {
	var cases []string
	for _, a := range addresses {
		cases = append(cases, fmt.Sprintf("%#x", a))
	}
	return caught(finding("permissions", "kernel memory is writable and executable for a moment", cases))
}

// ExecutableAsItComes says whether module memory on arch can be executed before
// anybody asked for that. Kernels without packs then write programs to it as it is.
func ExecutableAsItComes(arch string) bool { return arch == "s390x" }

// lowcore is where s390x keeps what interrupts save and load, from address 0
// on: it is written by all and holds code that starts further processors.
const lowcore = 0x2000

// WritableCode holds if no page of the kernel can be both written and executed.
func WritableCode(arch string, table probe.PageTable) []wire.Finding {
	var cases []string
	pages := 0
	for _, m := range table {
		if m.Writable && m.Executable && !(arch == "s390x" && m.End <= lowcore) {
			cases = append(cases, fmt.Sprintf("%#x-%#x", m.Start, m.End))
			pages += int((m.End - m.Start) / probe.PageBytes)
		}
	}
	list := finding("permissions", "kernel memory is writable and executable", cases)
	for i := range list {
		list[i].Cases = pages // what lies side by side is one line, a page or a whole pack
	}
	return list
}

// Alias is a page of code and where the direct map has the same memory.
type Alias struct{ Code, Direct uint64 }

// Aliases holds if code can't be written through the direct map either. It is
// for architectures that promise so: see AliasPromised.
func Aliases(aliases []Alias, table probe.PageTable) []wire.Finding {
	var cases []string
	for _, a := range aliases {
		// A page that is missing from the direct map can't be written through it.
		if m, ok := table.Find(a.Direct); ok && m.Writable {
			cases = append(cases, fmt.Sprintf("the page at %#x, which is also at %#x", a.Code, a.Direct))
		}
	}
	return finding("permissions", "programs' code is writable through the direct map", cases)
}

// Locked returns how many bytes of ranges can't be written, or are not mapped at
// all: of the direct map, that is the kernel's own text, and the pages that some
// code has at the moment.
func Locked(ranges []Range, table probe.PageTable) int64 {
	var locked int64
	for _, r := range ranges {
		locked += int64(r.End - r.Start)
		for _, m := range table {
			if start, end := max(m.Start, r.Start), min(m.End, r.End); m.Writable && start < end {
				locked -= int64(end - start)
			}
		}
	}
	return locked
}

// AliasPromised says whether set_memory_ro() on arch protects the direct map's
// mapping of the same memory as well. s390x changes the address it is given, and
// nothing else.
func AliasPromised(arch string) bool { return arch == "x86_64" }
