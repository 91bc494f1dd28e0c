// SPDX-License-Identifier: GPL-2.0-or-later

package fleet

import "github.com/cilium/ebpf/asm"

// operation is one kind of arithmetic: 64 bits wide, or narrow, which works on
// the lower 32 bits and clears the upper ones.
type operation struct {
	op     asm.ALUOp
	narrow bool
}

// operations is what programs are made of. Twice is as often.
var operations = [...]operation{
	{asm.Add, false}, {asm.Add, false}, {asm.Add, true},
	{asm.Sub, false},
	{asm.Mul, false}, {asm.Mul, true},
	{asm.Xor, false}, {asm.Xor, false}, {asm.Xor, true},
	{asm.Or, false},
	{asm.And, false},
	{asm.LSh, false},
	{asm.RSh, false},
	{asm.ArSh, false},
	{asm.Div, false},
	{asm.Mod, false},
}

// alu says what an operation means. b is sign-extended if it was a constant.
func alu(op operation, a, b uint64) uint64 {
	if op.narrow {
		return uint64(uint32(wide(op.op, uint64(uint32(a)), uint64(uint32(b)))))
	}
	return wide(op.op, a, b)
}

func wide(op asm.ALUOp, a, b uint64) uint64 {
	switch op {
	case asm.Add:
		return a + b
	case asm.Sub:
		return a - b
	case asm.Mul:
		return a * b
	case asm.Xor:
		return a ^ b
	case asm.Or:
		return a | b
	case asm.And:
		return a & b
	case asm.LSh:
		return a << b
	case asm.RSh:
		return a >> b
	case asm.ArSh:
		return uint64(int64(a) >> b)
	case asm.Div:
		return a / b
	case asm.Mod:
		return a % b
	}
	panic("fleet: no meaning for " + op.String())
}
