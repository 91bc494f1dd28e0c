// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

const (
	directMap = 0xffff888000000000
	textMap   = 0xffffffff80000000
)

// machine is a kernel's memory of 16 pages, mapped twice as x86_64 has it: all in
// the direct map, and the first four pages as the kernel's text.
func machine(t *testing.T, memory []byte) *Core {
	t.Helper()
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_CORE), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 3}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	binary.Write(&b, binary.LittleEndian, h)
	const offset = 4096
	for _, p := range []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Vaddr: textMap, Paddr: 0, Off: offset, Filesz: 4 * 4096, Memsz: 4 * 4096},
		{Type: uint32(elf.PT_LOAD), Vaddr: 0xffffc90000000000, Paddr: noPhysical, Off: offset, Filesz: 4096, Memsz: 4096},
		{Type: uint32(elf.PT_LOAD), Vaddr: directMap, Paddr: 0, Off: offset, Filesz: uint64(len(memory)), Memsz: uint64(len(memory))},
	} {
		binary.Write(&b, binary.LittleEndian, p)
	}
	b.Write(make([]byte, offset-b.Len()))
	b.Write(memory)
	root := t.TempDir()
	os.Mkdir(filepath.Join(root, "proc"), 0o755)
	if err := os.WriteFile(filepath.Join(root, "proc/kcore"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Kernel{Root: root}.Core()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestPhysicalX86(t *testing.T) {
	memory := make([]byte, 16*4096)
	entry := func(page, index int, v uint64) { binary.LittleEndian.PutUint64(memory[page*4096+index*8:], v) }
	const present, large, nx = 1, 1 << 7, 1 << 63
	// The top is page 1; virtual 0xffffffffa0003000 is in its last entry.
	entry(1, 511, 2*4096|present)
	entry(2, 510, 3*4096|present)
	entry(3, 256, 5*4096|present)         // 0xffffffffa0000000
	entry(3, 257, 0x200000|present|large) // 2 MiB at 0xffffffffa0200000
	entry(3, 258, 0x12345000|present)     // a table that isn't there
	entry(5, 3, 7*4096|present|nx)
	c := machine(t, memory)
	top := uint64(textMap + 4096)
	for _, tc := range []struct{ virt, phys uint64 }{
		{0xffffffffa0003abc, 7*4096 + 0xabc},
		{0xffffffffa02fffff, 0x200000 + 0xfffff},
	} {
		if got, err := c.PhysicalX86(top, tc.virt); err != nil || got != tc.phys {
			t.Errorf("%#x is at %#x, %v; want %#x", tc.virt, got, err, tc.phys)
		}
	}
	for _, virt := range []uint64{0xffffffffa0004000, 0xffffc90000000000} {
		if got, err := c.PhysicalX86(top, virt); !errors.Is(err, ErrNotMapped) {
			t.Errorf("%#x is at %#x, %v", virt, got, err)
		}
	}
	if got, err := c.PhysicalX86(top, 0xffffffffa0400000); err == nil || errors.Is(err, ErrNotMapped) {
		t.Errorf("through a table that isn't there: %#x, %v", got, err)
	}
}

func TestDirect(t *testing.T) {
	c := machine(t, make([]byte, 16*4096))
	for _, phys := range []uint64{0, 4096, 15*4096 + 5} {
		if got, ok := c.Direct(phys); !ok || got != directMap+phys {
			t.Errorf("%#x is at %#x, %v", phys, got, ok)
		}
	}
	for _, phys := range []uint64{16 * 4096, noPhysical} {
		if got, ok := c.Direct(phys); ok {
			t.Errorf("%#x is at %#x", phys, got)
		}
	}
}

func TestEntryWritable(t *testing.T) {
	for _, tc := range []struct {
		name           string
		entry          Entry
		value          uint64
		writable, maps bool
	}{
		{"x86_64, page", Entry{shift: 12}, 0x5163, true, true},
		{"x86_64, read-only page", Entry{shift: 12}, 0x5161, false, true},
		{"x86_64, no page", Entry{shift: 12}, 0x5162, false, false},
		{"x86_64, large page", Entry{shift: 21}, 0x2000e1, false, true},
		{"x86_64, a table in its place", Entry{shift: 21}, 0x5063, false, false},
		{"s390x, page", Entry{shift: 12, s390: true}, 0x5000, true, true},
		{"s390x, read-only page", Entry{shift: 12, s390: true}, 0x5200, false, true},
		{"s390x, no page", Entry{shift: 12, s390: true}, 0x400, false, false},
		{"s390x, read-only segment", Entry{shift: 20, s390: true}, 0x100600, false, true},
		{"s390x, a table in its place", Entry{shift: 20, s390: true}, 0x5000, false, false},
	} {
		if w, m := tc.entry.Writable(tc.value); w != tc.writable || m != tc.maps {
			t.Errorf("%s: writable %v, maps %v", tc.name, w, m)
		}
	}
}
