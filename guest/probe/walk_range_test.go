// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"encoding/binary"
	"slices"
	"testing"
)

func TestWritableCodeX86(t *testing.T) {
	const present, write, large, nx = 1, 1 << 1, 1 << 7, 1 << 63
	const start, end = 0xffffffff80000000, 0xffffffffc0000000
	top := uint64(textMap + 4096)
	for _, tc := range []struct {
		name  string
		entry func(set func(page, index int, v uint64))
		want  []uint64
	}{
		{"nothing", func(func(int, int, uint64)) {}, nil},
		{"a page", func(set func(int, int, uint64)) { set(5, 3, 7*4096|present|write) }, []uint64{0xffffffffa0003000}},
		{"two pages and a large one", func(set func(int, int, uint64)) {
			set(5, 3, 7*4096|present|write)
			set(5, 511, 8*4096|present|write)
			set(3, 257, 0x200000|present|write|large)
		}, []uint64{0xffffffffa0003000, 0xffffffffa01ff000, 0xffffffffa0200000}},
		{"one that can't be executed", func(set func(int, int, uint64)) { set(5, 3, 7*4096|present|write|nx) }, nil},
		{"one that can't be written", func(set func(int, int, uint64)) { set(5, 3, 7*4096|present) }, nil},
		{"a large one that can't be executed", func(set func(int, int, uint64)) { set(3, 257, 0x200000|present|write|large|nx) }, nil},
		{"one that isn't there", func(set func(int, int, uint64)) { set(5, 3, 7*4096|write) }, nil},
		{"below an entry that lets nothing be executed", func(set func(int, int, uint64)) {
			set(3, 256, 5*4096|present|write|nx)
			set(5, 3, 7*4096|present|write)
		}, nil},
		{"through a table that isn't there", func(set func(int, int, uint64)) { set(3, 258, 0x12345000|present|write) }, nil},
	} {
		memory := make([]byte, 16*4096)
		set := func(page, index int, v uint64) { binary.LittleEndian.PutUint64(memory[page*4096+index*8:], v) }
		set(1, 511, 2*4096|present|write)
		set(2, 510, 3*4096|present|write)
		set(3, 256, 5*4096|present|write) // 0xffffffffa0000000
		tc.entry(set)
		got, err := machine(t, memory).WritableCodeX86(top, start, end)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %#x, %v; want %#x", tc.name, got, err, tc.want)
		}
	}
	// The last gigabyte of the address space, behind which there is none.
	if _, err := machine(t, make([]byte, 16*4096)).WritableCodeX86(top, start, 0); err != nil {
		t.Error(err)
	}
}
