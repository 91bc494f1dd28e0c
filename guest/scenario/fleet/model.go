// SPDX-License-Identifier: GPL-2.0-or-later

package fleet

import (
	"fmt"

	"packtest/guest/bpf"
)

// op is one kind of arithmetic: 64 bits wide, or narrow, which works on the
// lower 32 bits and clears the upper ones.
type op struct {
	alu    bpf.ALU
	narrow bool
}

// operations is what programs are made of. What stands twice comes twice as often.
var operations = [16]op{
	{bpf.Add, false}, {bpf.Add, false}, {bpf.Add, true},
	{bpf.Sub, false},
	{bpf.Mul, false}, {bpf.Mul, true},
	{bpf.Xor, false}, {bpf.Xor, false}, {bpf.Xor, true},
	{bpf.Or, false},
	{bpf.And, false},
	{bpf.LSh, false},
	{bpf.RSh, false},
	{bpf.ArSh, false},
	{bpf.Div, false},
	{bpf.Mod, false},
}

// apply says what an operation means. b is sign-extended if it was a constant.
func (o op) apply(a, b uint64) uint64 {
	if o.narrow {
		return uint64(uint32(wide(o.alu, uint64(uint32(a)), uint64(uint32(b)))))
	}
	return wide(o.alu, a, b)
}

func wide(alu bpf.ALU, a, b uint64) uint64 {
	switch alu {
	case bpf.Add:
		return a + b
	case bpf.Sub:
		return a - b
	case bpf.Mul:
		return a * b
	case bpf.Xor:
		return a ^ b
	case bpf.Or:
		return a | b
	case bpf.And:
		return a & b
	case bpf.LSh:
		return a << b
	case bpf.RSh:
		return a >> b
	case bpf.ArSh:
		return uint64(int64(a) >> b)
	case bpf.Div:
		return a / b
	case bpf.Mod:
		return a % b
	}
	panic(fmt.Sprintf("fleet: no meaning for operation %#x", alu))
}
