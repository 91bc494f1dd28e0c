// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"packtest/itlb/trace"
)

// Part says whose code a page holds.
type Part uint8

const (
	// BPF pages hold at least one byte of a BPF program.
	BPF Part = iota
	// Kernel pages are the kernel's other executable memory: its text, modules,
	// trampolines, and the free pages of a pack.
	Kernel
	// User pages belong to the process that drives the window.
	User
	parts = int(iota)
)

func (p Part) String() string { return [...]string{"bpf", "kernel", "user"}[p] }

// Mapping is a range of virtual addresses under page-table leaves of one size.
type Mapping struct {
	Start, End uint64
	PageBytes  uint64 // of each leaf
}

// Image is one function's code at its address.
type Image struct {
	Start, Bytes uint64
	ID           uint32 // the kernel's program ID
	Hot          bool   // it runs in the window
}

// ErrOtherKernel is what is wrong with a trace that fetches from memory which
// the page tables don't map.
var ErrOtherKernel = errors.New("a trace from another kernel than the page tables")

// PageMap is the executable memory of one window: how it is mapped, and whose
// code is where.
type PageMap struct {
	mappings []placed // in the order of addresses
	images   map[uint64][]Image
	// global: the kernel's translations survive a flush of what is not global.
	global bool
}

type placed struct {
	Mapping
	user bool
}

// maxImage bounds one image: far above what the JIT makes, far below a mistake.
const maxImage = 1 << 30

// NewPageMap puts a map together. A trace knows addresses and not address
// spaces, so kernel and user mappings must lie apart, also where the processor
// would not mind, as on s390x. kernelGlobal says that the kernel's entries are
// global: x86_64 without page-table isolation.
func NewPageMap(kernel, user []Mapping, images []Image, kernelGlobal bool) (*PageMap, error) {
	p := &PageMap{images: map[uint64][]Image{}, global: kernelGlobal}
	for _, m := range kernel {
		p.mappings = append(p.mappings, placed{m, false})
	}
	for _, m := range user {
		p.mappings = append(p.mappings, placed{m, true})
	}
	slices.SortStableFunc(p.mappings, func(a, b placed) int {
		if a.Start < b.Start {
			return -1
		}
		if a.Start > b.Start {
			return 1
		}
		return 0
	})
	for i, m := range p.mappings {
		size := m.PageBytes
		switch {
		case !leaf(size):
			return nil, fmt.Errorf("mapping %s: pages of %d bytes", m, size)
		case m.End <= m.Start || m.Start%size != 0 || m.End%size != 0 && m.End != math.MaxUint64:
			return nil, fmt.Errorf("mapping %s: no range of pages of %d bytes", m, size)
		case i > 0 && m.Start < p.mappings[i-1].End:
			return nil, fmt.Errorf("mappings %s and %s overlap: fetches could not be told apart", p.mappings[i-1], m)
		}
	}
	for _, im := range images {
		if im.Bytes == 0 || im.Bytes > maxImage || im.Start > math.MaxUint64-im.Bytes {
			return nil, fmt.Errorf("program %d at %#x: %d bytes of code", im.ID, im.Start, im.Bytes)
		}
		first, last := im.Start/trace.PageBytes, (im.Start+im.Bytes-1)/trace.PageBytes
		for page := first; page <= last; page++ {
			if m, ok := p.find(page); !ok || m.user {
				return nil, fmt.Errorf("program %d at %#x: page %#x is not in the kernel's executable memory", im.ID, im.Start, page*trace.PageBytes)
			}
			p.images[page] = append(p.images[page], im)
		}
	}
	return p, nil
}

// leaf says whether a page-table leaf can have this size: 4 KiB, 1 MiB or more.
func leaf(size uint64) bool {
	return size == trace.PageBytes || size >= 1<<20 && size&(size-1) == 0
}

func (m placed) String() string {
	space := "kernel"
	if m.user {
		space = "user"
	}
	return fmt.Sprintf("%s %#x-%#x", space, m.Start, m.End)
}

// find returns the mapping of a page.
func (p *PageMap) find(page uint64) (placed, bool) {
	if page > math.MaxUint64/trace.PageBytes {
		return placed{}, false
	}
	addr := page * trace.PageBytes
	i := sort.Search(len(p.mappings), func(i int) bool { return p.mappings[i].End > addr })
	if i < len(p.mappings) && p.mappings[i].Start <= addr {
		return p.mappings[i], true
	}
	return placed{}, false
}

// part says whose code a page holds that m maps.
func (p *PageMap) part(page uint64, m placed) Part {
	switch {
	case m.user:
		return User
	case len(p.images[page]) > 0:
		return BPF
	}
	return Kernel
}

// Remap replays a trace as if the pages that hold BPF code were mapped by
// leaves of another size: a what-if, never a measurement. Everything stays at
// its address; a large leaf that BPF code fills only in part is one translation
// for that part, and what else lies in its range stays mapped as it is.
type Remap struct {
	Name      string // as results call it: "what-if-4k"
	PageBytes uint64
}

// AsIs is the Mapping of what follows the page tables.
const AsIs = "as-is"

// translation is what one TLB entry holds.
type translation struct {
	number uint64 // of the page it maps, in units of bytes
	bytes  uint64
	global bool
}

func (t translation) large() bool { return t.bytes > trace.PageBytes*coalesced }

// coalesced is how many 4 KiB pages one entry of a coalescing TLB holds.
const coalesced = 4

// view is one way of translating pages: as they are mapped or remapped, with
// entries joined by a coalescing TLB or not. Pages and translations have dense
// numbers, in the order in which they were first fetched.
type view struct {
	remap    *Remap
	coalesce bool
	tagOf    []uint32 // by the number of a page
	list     []translation
	tags     map[translation]uint32
}

func (v *view) name() string {
	if v.remap == nil {
		return AsIs
	}
	return v.remap.Name
}

// add gives the next page its translation.
func (v *view) add(p *PageMap, page uint64, m placed, part Part) {
	t := translation{bytes: m.PageBytes, global: !m.user && p.global}
	if v.remap != nil && part == BPF {
		t.bytes = v.remap.PageBytes
	}
	// Virtually contiguous is all that is known; a processor joins pages that
	// are physically contiguous as well.
	if v.coalesce && t.bytes == trace.PageBytes {
		group := page &^ (coalesced - 1) * trace.PageBytes
		if group >= m.Start && m.End-group >= coalesced*trace.PageBytes {
			t.bytes *= coalesced
		}
	}
	t.number = page / (t.bytes / trace.PageBytes)
	tag, ok := v.tags[t]
	if !ok {
		tag = uint32(len(v.list))
		v.tags[t] = tag
		v.list = append(v.list, t)
	}
	v.tagOf = append(v.tagOf, tag)
}
