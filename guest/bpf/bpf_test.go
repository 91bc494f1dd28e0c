// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"packtest/internal/need"
)

// TestInstructions holds every kind of instruction against cilium/ebpf's.
func TestInstructions(t *testing.T) {
	ops := map[ALU]asm.ALUOp{Add: asm.Add, Sub: asm.Sub, Mul: asm.Mul, Div: asm.Div, Or: asm.Or, And: asm.And,
		LSh: asm.LSh, RSh: asm.RSh, Mod: asm.Mod, Xor: asm.Xor, Mov: asm.Mov, ArSh: asm.ArSh}
	var got []Instruction
	var want asm.Instructions
	add := func(g Instruction, w asm.Instruction) {
		got = append(got, g)
		want = append(want, w)
	}
	for ours, theirs := range ops {
		add(ours.Imm(R1, -7), theirs.Imm(asm.R1, -7))
		add(ours.Imm32(R9, 7), theirs.Imm32(asm.R9, 7))
		add(ours.Reg(R3, R8), theirs.Reg(asm.R3, asm.R8))
		add(ours.Reg32(R0, R2), theirs.Reg32(asm.R0, asm.R2))
	}
	jump := asm.JGT.Imm(asm.R4, -3, "")
	jump.Offset = 9
	call := asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoCall, Constant: 1234}
	add(JumpGT(R4, -3, 9), jump)
	always := asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Ja), Offset: -2}
	add(Jump(-2), always)
	add(CallFunction(1234), call)
	add(Call(TailCall), asm.FnTailCall.Call())
	add(Exit(), asm.Return())
	add(LoadMem(R2, R1, 76, Word), asm.LoadMem(asm.R2, asm.R1, 76, asm.Word))
	add(LoadMem(R2, R10, -8, DWord), asm.LoadMem(asm.R2, asm.R10, -8, asm.DWord))
	add(StoreMem(R10, -16, R7, DWord), asm.StoreMem(asm.R10, -16, asm.R7, asm.DWord))
	add(StoreMem(R1, 8, R0, Word), asm.StoreMem(asm.R1, 8, asm.R0, asm.Word))
	add(LoadImm(R5, 0xfedcba9876543210), asm.LoadImm(asm.R5, -0x123456789abcdf0, asm.DWord))
	add(LoadMap(R2, 17), asm.LoadMapPtr(asm.R2, 17))
	add(LoadMapValue(R1, 17, 4096), asm.LoadMapValue(asm.R1, 17, 4096))
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		for i := range got {
			var b bytes.Buffer
			if _, err := want[i].Marshal(&b, order); err != nil {
				t.Fatal(err)
			}
			if g := Encode(got[i:i+1], order); !bytes.Equal(g, b.Bytes()) {
				t.Errorf("%v in %v: % x, want % x", want[i], order, g, b.Bytes())
			}
			if got[i].Slots()*8 != b.Len() {
				t.Errorf("%v takes %d slots, want %d bytes", want[i], got[i].Slots(), b.Len())
			}
		}
	}
}

// TestSizes: the kernel knows these structures by their size alone.
func TestSizes(t *testing.T) {
	for name, tc := range map[string]struct{ got, want uintptr }{
		"bpf_prog_info":          {unsafe.Sizeof(progInfo{}), 128},
		"jited_ksyms":            {unsafe.Offsetof(progInfo{}.jitedKsyms), 112},
		"jited_line_info":        {unsafe.Offsetof(progInfoLines{}.jitedLines), 160},
		"nr_jited_line_info":     {unsafe.Offsetof(progInfoLines{}.nrJitedLines), 168},
		"jited_line_info_rec_sz": {unsafe.Offsetof(progInfoLines{}.jitedLineBytes), 176},
		"attr of prog_load":      {unsafe.Sizeof(loadAttr{}), 64},
		"prog_name":              {unsafe.Offsetof(loadAttr{}.name), 48},
		"attr of prog_test_run":  {unsafe.Sizeof(testRunAttr{}), 80},
		"ctx_out of test_run":    {unsafe.Offsetof(testRunAttr{}.ctxOut), 56},
		"attr of map_*_elem":     {unsafe.Sizeof(elemAttr{}), 32},
		"duration of a test_run": {unsafe.Offsetof(testRunAttr{}.duration), 36},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %d, want %d", name, tc.got, tc.want)
		}
	}
}

func TestHiddenCode(t *testing.T) {
	shown := progInfo{id: 3, jitedLen: 100, nrJitedKsyms: 2, nrFuncLens: 2}
	where := unsafe.Pointer(&shown)
	shown.jitedKsyms, shown.jitedFuncLens = where, where
	addrs, lens := []uint64{0x1000, 0x2000}, []uint32{60, 40}
	in, err := shown.info(addrs, lens)
	if err != nil || len(in.Functions) != 2 || in.Functions[1] != (Function{0x2000, 40}) || in.JITBytes != 100 {
		t.Errorf("%+v, %v", in, err)
	}
	for name, change := range map[string]func(raw *progInfo, addrs []uint64){
		"no functions":      func(raw *progInfo, _ []uint64) { raw.nrJitedKsyms = 0 },
		"no addresses":      func(raw *progInfo, _ []uint64) { raw.jitedKsyms = nil },
		"no lengths":        func(raw *progInfo, _ []uint64) { raw.jitedFuncLens = nil },
		"an address of 0":   func(_ *progInfo, addrs []uint64) { addrs[1] = 0 },
		"a length too few":  func(raw *progInfo, _ []uint64) { raw.nrFuncLens = 1 },
		"no machine code":   func(raw *progInfo, _ []uint64) { raw.jitedLen = 0 },
		"neither, nor code": func(raw *progInfo, _ []uint64) { raw.jitedLen, raw.nrJitedKsyms = 0, 0 },
	} {
		raw, a := shown, append([]uint64(nil), addrs...)
		change(&raw, a)
		if in, err := raw.info(a, lens); !errors.Is(err, ErrHidden) {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
}

// TestThisKernel goes through a program's life on the kernel that runs the test.
func TestThisKernel(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Skip("loading programs takes root")
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		order = binary.BigEndian
	}
	code := Encode([]Instruction{Mov.Imm(R0, 42), Exit()}, order)
	fd, err := Load(SocketFilter, "answer", code)
	if err != nil {
		need.Missing(t, "this kernel doesn't let us load programs: %v", err)
	}
	defer Close(fd)
	if got, err := TestRun(fd, make([]byte, 64), nil, 1); err != nil || got != 42 {
		t.Errorf("TestRun = %d, %v", got, err)
	}
	var ids []uint32
	for id := uint32(0); ; {
		next, ok, err := NextProgramID(id)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		ids, id = append(ids, next), next
	}
	again, err := ProgramByID(ids[len(ids)-1])
	if err != nil {
		t.Fatal(err)
	}
	Close(again)

	// The verifier's reason comes with the error.
	_, err = Load(SocketFilter, "bad", Encode([]Instruction{Mov.Reg(R0, R9), Exit()}, order))
	if !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "R9 !read_ok") {
		t.Errorf("a bad program: %v", err)
	}

	array, err := NewArray(16)
	if err != nil {
		t.Fatal(err)
	}
	defer array.Close()
	if err := array.Write([]byte("0123456789abcdef")); err != nil {
		t.Error(err)
	}
	if b, err := array.Read(); err != nil || string(b) != "0123456789abcdef" {
		t.Errorf("Read = %q, %v", b, err)
	}
	if err := array.Write([]byte("short")); err == nil {
		t.Error("a write of another size passed")
	}
}
