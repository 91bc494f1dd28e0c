// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"fmt"
)

// Direct returns where the kernel's direct map has the byte at the physical
// address phys, and false if /proc/kcore shows no such memory.
func (c *Core) Direct(phys uint64) (uint64, bool) {
	var best segment
	for _, s := range c.segments {
		// The kernel's own text has a segment as well, of the same memory; that of
		// the direct map is larger.
		if s.phys != noPhysical && phys >= s.phys && phys-s.phys < s.bytes && s.bytes > best.bytes {
			best = s
		}
	}
	return best.addr + (phys - best.phys), best.bytes > 0
}

// DirectMap returns the ranges of addresses in which the direct map shows memory,
// the first and the one behind the last, as far as /proc/kcore has them.
func (c *Core) DirectMap() (list [][2]uint64) {
	for _, s := range c.segments {
		if s.phys == noPhysical {
			continue
		}
		if addr, ok := c.Direct(s.phys); ok && addr == s.addr {
			list = append(list, [2]uint64{s.addr, s.addr + s.bytes})
		}
	}
	return list
}

// ErrNotMapped says that no page-table entry maps an address.
var ErrNotMapped = errors.New("not mapped")

// PhysicalX86 returns the physical address behind the kernel's virtual address
// virt, on x86_64; top is as for Entry.
func (c *Core) PhysicalX86(top, virt uint64) (uint64, error) {
	e, err := c.entryX86(top, virt)
	if err != nil {
		return 0, err
	}
	inside := uint64(1)<<e.shift - 1
	return e.Value&frameX86&^inside + virt&inside, nil
}

// Entry is the entry of a page table that maps a page.
type Entry struct {
	// At is its own address, and Value what is in it.
	At, Value uint64
	// shift is how many bits of an address are inside of what it maps.
	shift int
	s390  bool
}

const (
	presentX86, writableX86, largeX86 = 1 << 0, 1 << 1, 1 << 7
	frameX86                          = 1<<52 - 1<<12
	// The same bits in page tables of s390x, in segment tables, and in the third
	// region tables.
	protectS390, largeS390     = 0x200, 0x400
	invalidS390, noTableS390   = 0x400, 0x20
	originS390, pageOriginS390 = ^uint64(0xfff), ^uint64(0x7ff)
)

// Writable says whether the memory can be written with value in the place of the
// entry, and whether value still maps a page: what is written over an entry for
// large pages may lead to a table of small ones.
func (e Entry) Writable(value uint64) (writable, maps bool) {
	if e.s390 {
		large := e.shift > 12
		maps = large && value&noTableS390 == 0 && value&largeS390 != 0 || !large && value&invalidS390 == 0
		return maps && value&protectS390 == 0, maps
	}
	maps = value&presentX86 != 0 && (e.shift == 12 || value&largeX86 != 0)
	return maps && value&writableX86 != 0, maps
}

// Entry returns what maps the kernel's virtual address virt. top is the virtual
// address of the kernel's own page table: init_top_pgt on x86_64, which must have
// four levels, swapper_pg_dir on s390x. The levels above are taken to allow what
// the last one does, as these kernels have them.
func (c *Core) Entry(arch string, top, virt uint64) (Entry, error) {
	if arch == "s390x" {
		return c.entryS390(top, virt)
	}
	return c.entryX86(top, virt)
}

// entryX86 walks x86_64's tables. Intel SDM, volume 3A, 4.5.4.
func (c *Core) entryX86(top, virt uint64) (Entry, error) {
	table := top
	for shift := 39; ; shift -= 9 {
		at := table + virt>>shift&0x1ff*8
		v, err := c.Uint64(at)
		if err != nil {
			return Entry{}, err
		}
		switch {
		case v&presentX86 == 0:
			return Entry{}, fmt.Errorf("%#x: %w", virt, ErrNotMapped)
		case shift == 12, shift < 39 && v&largeX86 != 0:
			return Entry{At: at, Value: v, shift: shift}, nil
		}
		if table, err = c.table(v & frameX86); err != nil {
			return Entry{}, err
		}
	}
}

// entryS390 walks s390x's tables, whose entries say what they are entries of:
// regions, the first to the third, or segments. z/Architecture Principles of
// Operation, chapter 3, "Translation Tables".
func (c *Core) entryS390(top, virt uint64) (Entry, error) {
	const kind = 0x0c
	shifts := []int{53, 42, 31, 20, 12}
	v, err := c.Uint64(top)
	if err != nil {
		return Entry{}, err
	}
	table := top
	for level := 3 - int(v&kind>>2); ; level++ {
		shift := shifts[level]
		index := virt >> shift & 0x7ff
		if shift == 12 {
			index &= 0xff
		}
		at := table + index*8
		if v, err = c.Uint64(at); err != nil {
			return Entry{}, err
		}
		e := Entry{At: at, Value: v, shift: shift, s390: true}
		origin := originS390
		switch {
		case shift == 12 && v&invalidS390 != 0, shift > 12 && v&noTableS390 != 0:
			return Entry{}, fmt.Errorf("%#x: %w", virt, ErrNotMapped)
		case shift == 12, shift <= 31 && v&largeS390 != 0:
			return e, nil
		case shift == 20:
			origin = pageOriginS390
		}
		if table, err = c.table(v & origin); err != nil {
			return Entry{}, err
		}
	}
}

// table returns where the page table is that stands at a physical address.
func (c *Core) table(phys uint64) (uint64, error) {
	at, ok := c.Direct(phys)
	if !ok {
		return 0, fmt.Errorf("page table at physical address %#x: /proc/kcore doesn't have it", phys)
	}
	return at, nil
}
