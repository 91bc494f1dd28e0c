// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import "encoding/binary"

// Register is one of the machine's registers.
type Register uint8

// The registers: R0 takes what a function returns, R1 to R5 its arguments, R6
// to R9 outlive a call, R10 is the frame pointer.
const (
	R0 Register = iota
	R1
	R2
	R3
	R4
	R5
	R6
	R7
	R8
	R9
	R10
)

// Instruction is one instruction, by its parts
// (Documentation/bpf/instruction-set.rst).
type Instruction struct {
	Opcode   uint8
	Dst, Src Register
	Offset   int16
	// Constant has 32 bits, and 64 in a wide instruction.
	Constant int64
}

// Size is the width of a load or a store.
type Size uint8

// Widths: 32 and 64 bits.
const (
	Word  Size = 0x00
	DWord Size = 0x18
)

// ALU is an arithmetic operation.
type ALU uint8

// The operations that programs of ours use. Div and Mod are unsigned.
const (
	Add  ALU = 0x00
	Sub  ALU = 0x10
	Mul  ALU = 0x20
	Div  ALU = 0x30
	Or   ALU = 0x40
	And  ALU = 0x50
	LSh  ALU = 0x60
	RSh  ALU = 0x70
	Mod  ALU = 0x90
	Xor  ALU = 0xa0
	Mov  ALU = 0xb0
	ArSh ALU = 0xc0
)

// Classes of instructions, and bits of opcodes.
const (
	classLD    = 0x00
	classLDX   = 0x01
	classSTX   = 0x03
	classALU32 = 0x04
	classJump  = 0x05
	classALU64 = 0x07
	modeMem    = 0x60
	fromReg    = 0x08

	opWide = classLD | uint8(DWord)
	opJump = classJump
	opJGT  = classJump | 0x20
	opCall = classJump | 0x80
	opExit = classJump | 0x90
)

// What the source register of a wide load or of a call stands for.
const (
	pseudoMapFD    Register = 1
	pseudoMapValue Register = 2
	pseudoCall     Register = 1
	pseudoFunction Register = 4
)

// Imm is dst op= v, 64 bits wide; v is sign-extended.
func (op ALU) Imm(dst Register, v int32) Instruction {
	return Instruction{Opcode: classALU64 | uint8(op), Dst: dst, Constant: int64(v)}
}

// Imm32 is dst op= v on the lower 32 bits; the upper ones are cleared.
func (op ALU) Imm32(dst Register, v int32) Instruction {
	return Instruction{Opcode: classALU32 | uint8(op), Dst: dst, Constant: int64(v)}
}

// Reg is dst op= src, 64 bits wide.
func (op ALU) Reg(dst, src Register) Instruction {
	return Instruction{Opcode: classALU64 | fromReg | uint8(op), Dst: dst, Src: src}
}

// Reg32 is dst op= src on the lower 32 bits; the upper ones are cleared.
func (op ALU) Reg32(dst, src Register) Instruction {
	return Instruction{Opcode: classALU32 | fromReg | uint8(op), Dst: dst, Src: src}
}

// LoadMem is dst = *(src + offset).
func LoadMem(dst, src Register, offset int16, size Size) Instruction {
	return Instruction{Opcode: classLDX | modeMem | uint8(size), Dst: dst, Src: src, Offset: offset}
}

// StoreMem is *(dst + offset) = src.
func StoreMem(dst Register, offset int16, src Register, size Size) Instruction {
	return Instruction{Opcode: classSTX | modeMem | uint8(size), Dst: dst, Src: src, Offset: offset}
}

// LoadImm is dst = v, all 64 bits of it. It is wide.
func LoadImm(dst Register, v uint64) Instruction {
	return Instruction{Opcode: opWide, Dst: dst, Constant: int64(v)}
}

// LoadMap is dst = the map with the file descriptor fd. It is wide.
func LoadMap(dst Register, fd int) Instruction {
	return Instruction{Opcode: opWide, Dst: dst, Src: pseudoMapFD, Constant: int64(uint32(fd))}
}

// LoadMapValue is dst = the address of the byte at offset in the only element
// of the array with the file descriptor fd. It is wide.
func LoadMapValue(dst Register, fd int, offset uint32) Instruction {
	return Instruction{Opcode: opWide, Dst: dst, Src: pseudoMapValue, Constant: int64(uint64(offset)<<32 | uint64(uint32(fd)))}
}

// LoadFunction is dst = the function that begins skip slots after the end of
// this instruction, for a helper that calls it back. It is wide.
func LoadFunction(dst Register, skip int32) Instruction {
	// The kernel counts from the instruction's second slot.
	return Instruction{Opcode: opWide, Dst: dst, Src: pseudoFunction, Constant: int64(uint32(skip + 1))}
}

// JumpGT goes over the next skip slots if dst > v, unsigned; v is
// sign-extended first.
func JumpGT(dst Register, v int32, skip int16) Instruction {
	return Instruction{Opcode: opJGT, Dst: dst, Offset: skip, Constant: int64(v)}
}

// Jump goes over the next skip slots.
func Jump(skip int16) Instruction { return Instruction{Opcode: opJump, Offset: skip} }

// Numbers of the kernel's helpers.
const (
	// Random returns 32 random bits.
	Random = 7
	// TailCall continues with another program.
	TailCall = 12
	// ProbeReadKernel reads memory that need not be there.
	ProbeReadKernel = 113
	// CurrentTask points to the thread that runs the program, with its type.
	CurrentTask = 158
	// ForEachMapElem and Loop call a function back.
	ForEachMapElem = 164
	Loop           = 181
)

// Call calls one of the kernel's helpers.
func Call(helper int32) Instruction {
	return Instruction{Opcode: opCall, Constant: int64(helper)}
}

// CallFunction calls the function that begins skip slots after the next one.
func CallFunction(skip int32) Instruction {
	return Instruction{Opcode: opCall, Src: pseudoCall, Constant: int64(skip)}
}

// Exit returns from a function.
func Exit() Instruction { return Instruction{Opcode: opExit} }

// Slots is how many slots of eight bytes the instruction takes: jumps and
// calls count in them.
func (in Instruction) Slots() int {
	if in.Opcode == opWide {
		return 2
	}
	return 1
}

// Encode returns the instructions in the byte order of the machine that is to
// run them.
func Encode(list []Instruction, order binary.ByteOrder) []byte {
	var b []byte
	slot := func(op uint8, dst, src Register, offset int16, constant uint32) {
		at := len(b)
		b = append(b, op, 0, 0, 0, 0, 0, 0, 0)
		// The registers share a byte, and swap their halves with the byte order.
		b[at+1] = uint8(src<<4 | dst)
		if order == binary.BigEndian {
			b[at+1] = uint8(dst<<4 | src)
		}
		order.PutUint16(b[at+2:], uint16(offset))
		order.PutUint32(b[at+4:], constant)
	}
	b = make([]byte, 0, (len(list)+16)*instructionBytes)
	for _, in := range list {
		slot(in.Opcode, in.Dst, in.Src, in.Offset, uint32(in.Constant))
		if in.Slots() == 2 {
			slot(0, 0, 0, 0, uint32(in.Constant>>32))
		}
	}
	return b
}
