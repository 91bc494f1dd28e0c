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
// virt, by walking x86_64's page table with four levels, whose top is at the
// virtual address top (the kernel's init_top_pgt). Intel SDM, volume 3A, 4.5.4.
func (c *Core) PhysicalX86(top, virt uint64) (uint64, error) {
	const (
		present, large = 1 << 0, 1 << 7
		frame          = 1<<52 - 1<<12
	)
	table := top
	for shift := 39; ; shift -= 9 {
		entry, err := c.Uint64(table + virt>>shift&0x1ff*8)
		if err != nil {
			return 0, err
		}
		offset := virt & (1<<shift - 1)
		switch {
		case entry&present == 0:
			return 0, fmt.Errorf("%#x: %w", virt, ErrNotMapped)
		case shift == 12, shift < 39 && entry&large != 0:
			return entry&frame&^(1<<shift-1) + offset, nil
		}
		var ok bool
		if table, ok = c.Direct(entry & frame); !ok {
			return 0, fmt.Errorf("page table at physical address %#x: /proc/kcore doesn't have it", entry&frame)
		}
	}
}
