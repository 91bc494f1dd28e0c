// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import "encoding/binary"

// noExecuteX86 is how an entry of x86_64's page tables says that nothing can be
// executed.
const noExecuteX86 = 1 << 63

// WritableCodeX86 returns the addresses from start to end at which memory can be
// both written and executed at this moment, one for each entry of x86_64's page
// table that says so; top is as for Entry. Others change the tables meanwhile: what
// is told was read twice, with what leads to it unchanged. start and end are
// multiples of 1 GiB.
func (c *Core) WritableCodeX86(top, start, end uint64) ([]uint64, error) {
	w := walkX86{c: c}
	for virt := start; virt-start < end-start; virt += 1 << 30 {
		e := entryAt{virt: virt, at: top + virt>>39&0x1ff*8, shift: 39}
		var err error
		if e.value, err = c.Uint64(e.at); err == nil {
			err = w.below(e, virt>>30&0x1ff, 1)
		}
		if err != nil {
			return nil, err
		}
	}
	return w.found, nil
}

// walkX86 is a walk through all entries of some tables.
type walkX86 struct {
	c     *Core
	found []uint64
	// tables are the tables being read, by level.
	tables [3][PageBytes]byte
}

// entryAt is an entry, where it stands, the address from which on it maps, and how
// many bits of an address are inside of what it maps.
type entryAt struct {
	virt, at, value uint64
	shift           int
}

// maps says whether an entry is a leaf.
func (e entryAt) maps() bool { return e.shift == 12 || e.shift < 39 && e.value&largeX86 != 0 }

// both says whether an entry lets what it maps, or leads to, be written and executed.
func (e entryAt) both() bool {
	return e.value&presentX86 != 0 && e.value&writableX86 != 0 && e.value&noExecuteX86 == 0
}

// below looks at n entries, from first on, of the table that up leads to.
func (w *walkX86) below(up entryAt, first uint64, n int) error {
	if !up.both() || up.maps() {
		return nil
	}
	table, err := w.c.table(up.value & frameX86)
	if err != nil {
		return nil // of what was no table any more when it was read
	}
	shift := up.shift - 9
	b := w.tables[(39-up.shift)/9][:8*n]
	if err := w.c.ReadAt(b, table+8*first); err != nil {
		return err
	}
	for i := range n {
		e := entryAt{at: table + 8*(first+uint64(i)), value: binary.LittleEndian.Uint64(b[8*i:]), shift: shift}
		e.virt = up.virt&^(1<<up.shift-1) | (first+uint64(i))<<shift
		switch {
		case !e.both():
		case !e.maps():
			if err := w.below(e, 0, PageBytes/8); err != nil {
				return err
			}
		default:
			same, err := w.same(e, up)
			if err != nil {
				return err
			}
			if same {
				w.found = append(w.found, e.virt)
			}
		}
	}
	return nil
}

// same says whether entries are still what they were.
func (w *walkX86) same(list ...entryAt) (bool, error) {
	for _, e := range list {
		v, err := w.c.Uint64(e.at)
		// What the processor notes of its own doesn't count.
		const accessed, dirty = 1 << 5, 1 << 6
		if err != nil || (v^e.value)&^(accessed|dirty) != 0 {
			return false, err
		}
	}
	return true, nil
}
