// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// core returns an ELF core file as the kernel makes it, with one note and one
// segment of memory at addr.
func core(order binary.ByteOrder, data elf.Data, addr uint64, memory []byte) []byte {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_CORE), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(data), 1
	binary.Write(&b, order, h)
	binary.Write(&b, order, elf.Prog64{Type: uint32(elf.PT_NOTE)})
	binary.Write(&b, order, elf.Prog64{Type: uint32(elf.PT_LOAD), Vaddr: addr, Off: 64 + 2*56, Filesz: uint64(len(memory)), Memsz: uint64(len(memory))})
	b.Write(memory)
	return b.Bytes()
}

func TestCore(t *testing.T) {
	for name, tc := range map[string]struct {
		order binary.ByteOrder
		data  elf.Data
	}{
		"x86_64": {binary.LittleEndian, elf.ELFDATA2LSB},
		"s390x":  {binary.BigEndian, elf.ELFDATA2MSB},
	} {
		t.Run(name, func(t *testing.T) {
			memory := make([]byte, 32)
			tc.order.PutUint64(memory[8:], 0x1122334455667788)
			root := t.TempDir()
			os.Mkdir(filepath.Join(root, "proc"), 0o755)
			if err := os.WriteFile(filepath.Join(root, "proc/kcore"), core(tc.order, tc.data, 0xffffffff81000000, memory), 0o644); err != nil {
				t.Fatal(err)
			}
			c, err := Kernel{Root: root}.Core()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if v, err := c.Uint64(0xffffffff81000008); err != nil || v != 0x1122334455667788 {
				t.Errorf("Uint64 = %#x, %v", v, err)
			}
			// Below, above, and over the end.
			for _, addr := range []uint64{0, 0xffffffff80fffff8, 0xffffffff8100001c, 0xffffffff81000020, 1<<64 - 1} {
				if v, err := c.Uint64(addr); err == nil {
					t.Errorf("Uint64(%#x) = %#x", addr, v)
				}
			}
		})
	}
}

func FuzzCore(f *testing.F) {
	f.Add(core(binary.LittleEndian, elf.ELFDATA2LSB, 0x1000, []byte("memory")))
	f.Add(core(binary.BigEndian, elf.ELFDATA2MSB, 0x1000, []byte("memory")))
	f.Add([]byte(elf.ELFMAG))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseSegments(bytes.NewReader(b))
	})
}
