// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// frozen is a CPU that stands still, with some memory.
func frozen(t *testing.T, registers string, memory map[uint64][2]uint64) *cpuState {
	t.Helper()
	c := &cpuState{run: func(line string) (string, error) {
		if line == "info registers" {
			return registers, nil
		}
		var at uint64
		if _, err := fmt.Sscanf(line, "x /2gx 0x%x", &at); err != nil {
			return "", err
		}
		m, ok := memory[at]
		if !ok {
			return fmt.Sprintf("%016x: Cannot access memory\n", at), nil
		}
		return fmt.Sprintf("%016x: 0x%016x 0x%016x\n", at, m[0], m[1]), nil
	}}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestUnwind(t *testing.T) {
	const (
		kernel = "CPU#0\nRAX=0000000000000000 RBX=0000000000000001\nRSI=0 RDI=0 RBP=0000000000001000 RSP=0000000000000ff0\n" +
			"RIP=ffffffff81000010 RFL=00000246 [---Z-P-] CPL=%d II=0 A20=1 SMM=0 HLT=%d\n"
		ibm = "CPU#0\nPSW=mask %s addr 0000000000533346 cc 00\nR00=0000000000000000 R01=0000000000000000\n" +
			"R12=0000000000000000 R13=0000000000541000 R14=000000000053334a R15=0000000000002000\n"
	)
	const early = "CPU#1\nEAX=00000000 EBX=00000000 ECX=00000000 EDX=00000663\nESI=00000000 EDI=00000000 EBP=00000000 ESP=00000000\n" +
		"EIP=0000fff0 EFL=00000002 [-------] CPL=%d II=0 A20=1 SMM=0 HLT=%d\n"
	for _, tc := range []struct {
		name, registers string
		memory          map[uint64][2]uint64
		mode            string
		want            []uint64
	}{
		{"x86_64: a chain to its end", fmt.Sprintf(kernel, 0, 1),
			map[uint64][2]uint64{0x1000: {0x1100, 0xffffffff81000111}, 0x1100: {0, 0xffffffff81000222}, 0: {}}, " waiting for an interrupt",
			[]uint64{0xffffffff81000010, 0xffffffff81000111, 0xffffffff81000222}},
		{"x86_64: through an interrupt", strings.Replace(fmt.Sprintf(kernel, 0, 0), "RBP=0000000000001000", "RBP=0000000000001001", 1),
			map[uint64][2]uint64{0x1000 + x86RegsIP: {0xffffffff81000333, 0x10}, 0x1000 + x86RegsBP: {0x1200, 0}, 0x1200: {0, 0xffffffff81000444}}, "",
			[]uint64{0xffffffff81000010, 0xffffffff81000333, 0xffffffff81000444}},
		{"x86_64: to the program that was interrupted", strings.Replace(fmt.Sprintf(kernel, 0, 0), "RBP=0000000000001000", "RBP=0000000000001001", 1),
			map[uint64][2]uint64{0x1000 + x86RegsIP: {0x400000, 0x33}}, "", []uint64{0xffffffff81000010}},
		{"x86_64: a user's program", fmt.Sprintf(kernel, 3, 0), nil, " in a program of the guest's, at 0xffffffff81000010", nil},
		{"x86_64: a CPU that nobody has started", fmt.Sprintf(early, 0, 1), map[uint64][2]uint64{0: {0x1000, 0xf000ff53f000ff53}},
			" waiting for an interrupt", []uint64{0xfff0}},
		{"x86_64: a user's program of 32 bits", fmt.Sprintf(early, 3, 0), nil, " in a program of the guest's, at 0xfff0", nil},
		{"x86_64: a circle", fmt.Sprintf(kernel, 0, 0), map[uint64][2]uint64{0x1000: {0x1000, 0xffffffff81000111}}, "", nil},
		{"s390x: a chain to its end", fmt.Sprintf(ibm, "0706c00180000000"),
			map[uint64][2]uint64{0x2000 + s390BackChain: {0x2100, 0}, 0x2100 + s390Save14: {0x5555, 0}, 0x2100 + s390BackChain: {0, 0}}, " waiting for an interrupt",
			[]uint64{0x533346, 0x5555}},
		{"s390x: through an interrupt", fmt.Sprintf(ibm, "0704c00180000000"),
			map[uint64][2]uint64{0x2000 + s390BackChain: {0, 0}, 0x2000 + s390Frame + s390RegsPSW: {0x0704c00180000000, 0x6666},
				0x2000 + s390Frame + s390RegsGPR15: {0x3000, 0}, 0x3000 + s390BackChain: {0x3100, 0}, 0x3100 + s390Save14: {0x7777, 0}}, "",
			[]uint64{0x533346, 0x6666, 0x7777}},
		{"s390x: to the program that was interrupted", fmt.Sprintf(ibm, "0704c00180000000"),
			map[uint64][2]uint64{0x2000 + s390BackChain: {0, 0}, 0x2000 + s390Frame + s390RegsPSW: {0x0705c00180000000, 0x6666}}, "", []uint64{0x533346}},
		{"s390x: a user's program", fmt.Sprintf(ibm, "0705c00180000000"), nil, " in a program of the guest's, at 0x533346", nil},
		{"s390x: a chain that turns back", fmt.Sprintf(ibm, "0704c00180000000"),
			map[uint64][2]uint64{0x2000 + s390BackChain: {0x1000, 0}, 0x1000 + s390Save14: {0x5555, 0}}, "", []uint64{0x533346}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := frozen(t, tc.registers, tc.memory)
			got := c.unwind()
			if strings.Contains(tc.name, "circle") {
				if len(got) != maxDepth {
					t.Errorf("%d frames", len(got))
				}
				return
			}
			if d := cmp.Diff(tc.want, got); d != "" || c.mode() != tc.mode {
				t.Errorf("%q, want %q; %s", c.mode(), tc.mode, d)
			}
		})
	}
}

func TestUnwindWithoutQEMU(t *testing.T) {
	gone := errors.New("gone")
	if err := (&cpuState{run: func(string) (string, error) { return "", gone }}).load(); !errors.Is(err, gone) {
		t.Errorf("err = %v", err)
	}
	if err := (&cpuState{run: func(string) (string, error) { return "no registers", nil }}).load(); err == nil {
		t.Error("no error")
	}
}

func TestSymbols(t *testing.T) {
	path := filepath.Join(t.TempDir(), "System.map")
	text := "0000000000001000 T _text\n0000000000001000 T first\n0000000000001100 t second\n0000000000001100 T __lock_text_end\n" +
		"0000000000001200 D data\n0000000000001300 T _etext\n0000000000002000 T later\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := loadSymbols(path)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[uint64]string{0xfff: "0xfff", 0x1000: "first+0x0", 0x10ff: "first+0xff", 0x1210: "second+0x110",
		0x1300: "0x1300", 0x2004: "later+0x4", 0x2000 + furthest + 1: fmt.Sprintf("0x%x", 0x2000+furthest+1)} {
		if got := s.name(at); got != want {
			t.Errorf("%#x is %s, want %s", at, got, want)
		}
	}
	if got := (symbols)(nil).name(5); got != "0x5" {
		t.Errorf("without a table: %s", got)
	}
	if _, err := loadSymbols(path + ".none"); err == nil {
		t.Error("no error for a table that isn't there")
	}
}

// Whatever QEMU answers, a backtrace ends.
func FuzzUnwind(f *testing.F) {
	f.Add("RBP=0000000000001000\nRIP=ffffffff81000010 CPL=0 HLT=1\n", "0000000000001000: 0x0000000000001000 0xffffffff81000111\n")
	f.Add("EBP=00001000 ESP=00000000\nEIP=0000fff0 CPL=0 HLT=1\n", "0000000000001000: 0x0000000000001000 0x0000000000000111\n")
	f.Add("PSW=mask 0704c00180000000 addr 0000000000533346 cc 00\nR15=0000000000002000\n", "0000000000002098: 0x0000000000002100 0x0000000000000000\n")
	f.Fuzz(func(t *testing.T, registers, memory string) {
		c := cpuState{run: func(line string) (string, error) {
			if line == "info registers" {
				return registers, nil
			}
			return memory, nil
		}}
		if c.load() != nil {
			return
		}
		_ = c.mode()
		if n := len(c.unwind()); n > maxDepth {
			t.Errorf("%d frames", n)
		}
	})
}

// A symbol table that is damaged is an error or is read, and any address has a name.
func FuzzSymbols(f *testing.F) {
	f.Add("0000000000001000 T first\n0000000000001300 T _etext\n", uint64(0x1004))
	f.Fuzz(func(t *testing.T, text string, at uint64) {
		path := filepath.Join(t.TempDir(), "System.map")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := loadSymbols(path)
		if err == nil && s.name(at) == "" {
			t.Error("no name")
		}
	})
}
