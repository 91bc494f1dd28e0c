// SPDX-License-Identifier: GPL-2.0-or-later

package fleet

import (
	"fmt"
	"math/rand/v2"

	"packtest/guest/bpf"
)

// function writes instructions and carries out each as it is written, on
// registers of its own. That is all the model there is: what an instruction
// means is said once in Go (op.apply, in model.go), and once by the kernel.
type function struct {
	r    *rand.Rand
	ins  []bpf.Instruction
	regs [11]uint64
	// work is the registers that arithmetic is done on.
	work []bpf.Register
	// scratch is a register that keeps nothing.
	scratch bpf.Register
	// narrow is how many more 32-bit operations may be written: on s390x the
	// verifier copies the whole program for each, to insert a zero-extension.
	narrow int
	// slots is how many instruction slots ins takes: a wide one takes two.
	slots int
}

// maxNarrow is how many 32-bit operations a function has at most.
const maxNarrow = 12

// writer writes a program's main function.
type writer struct {
	function
	t bpf.Type
	// calls are where subprograms are called.
	calls []int
}

// newWriter returns a writer for a program with room for n operations.
func newWriter(r *rand.Rand, t bpf.Type, input uint32, n int) *writer {
	w := &writer{t: t}
	w.ins = make([]bpf.Instruction, 0, n+n/8+64)
	w.narrow = maxNarrow
	// These four keep their values over a call.
	w.r, w.work, w.scratch = r, []bpf.Register{bpf.R6, bpf.R7, bpf.R8, bpf.R9}, bpf.R0
	w.regs[bpf.R6] = uint64(input)
	return w
}

func (f *function) emit(ins ...bpf.Instruction) {
	for _, in := range ins {
		f.slots += in.Slots()
	}
	f.ins = append(f.ins, ins...)
}

// Offsets in struct __sk_buff and struct xdp_md.
const (
	skbLen, skbMark      = 0, 8
	xdpData, xdpDataEnd  = 0, 4
	contextSpill, scrap1 = -8, -16
)

// prologue puts the input into R6, by a way of which the verifier cannot know
// the outcome, and constants into the others.
func (w *writer) prologue(slots, slot int) {
	switch w.t {
	case bpf.XDP:
		w.emit(bpf.LoadMem(bpf.R6, bpf.R1, xdpDataEnd, bpf.Word),
			bpf.LoadMem(bpf.R2, bpf.R1, xdpData, bpf.Word),
			bpf.Sub.Reg(bpf.R6, bpf.R2))
	case bpf.Kprobe, bpf.RawTracepoint:
		w.emit(bpf.LoadMapValue(bpf.R1, slots, uint32(slot)),
			bpf.LoadMem(bpf.R6, bpf.R1, 0, bpf.DWord))
	default:
		w.emit(bpf.StoreMem(bpf.R10, contextSpill, bpf.R1, bpf.DWord),
			bpf.LoadMem(bpf.R6, bpf.R1, skbLen, bpf.Word))
	}
	w.spread(bpf.R6)
}

// spread gives every working register a value made of from's and a constant.
// None is a constant alone: where the verifier knows a value, it follows it
// back through the whole program at every jump that depends on it.
func (f *function) spread(from bpf.Register) {
	for _, reg := range f.work {
		if reg != from {
			f.emit(bpf.Mov.Reg(reg, from))
			f.regs[reg] = f.regs[from]
		}
		f.constant(reg)
	}
}

// constant brings a random 64-bit constant into a working register.
func (f *function) constant(reg bpf.Register) {
	v := f.r.Uint64()
	f.emit(bpf.LoadImm(f.scratch, v), bpf.Xor.Reg(reg, f.scratch))
	f.regs[reg] ^= v
}

// draw is one random number, which all of an operation's parts are taken from:
// making a fleet must not take longer than loading it.
type draw uint64

func (d draw) kind() int     { return int(d>>20&0xfff) % 40 }
func (d draw) operation() op { return operations[d&15] }
func (d draw) first() int    { return int(d >> 4 & 3) }
func (d draw) second() int   { return int(d >> 6 & 3) }
func (d draw) coin() bool    { return d>>8&1 == 0 }
func (d draw) shift() int32  { return 1 + int32(d>>9&0x7ff)%13 }
func (d draw) constant() int32 {
	return int32(uint32(d >> 32))
}

// block writes n operations.
func (f *function) block(n int) {
	for n > 0 {
		d := draw(f.r.Uint64())
		a := f.work[d.first()]
		switch k := d.kind(); {
		case k == 0 && n > 4:
			// A forward jump over a few operations.
			skip := 2 + f.r.IntN(min(n-2, 6)-1)
			f.jump(a, d.constant(), skip)
			n -= 1 + skip
		case k == 1 && n > 1:
			f.constant(a)
			n -= 2
		case k == 2 && n > 2:
			// To the stack and back.
			b := f.work[d.second()]
			f.emit(bpf.StoreMem(bpf.R10, scrap1, a, bpf.DWord), bpf.LoadMem(b, bpf.R10, scrap1, bpf.DWord))
			f.regs[b] = f.regs[a]
			// a and b are equal now; let them drift apart again.
			f.emit(bpf.Xor.Imm(b, f.apply(op{bpf.Xor, false}, b, d.constant())))
			n -= 3
		default:
			f.arithmetic(d)
			n--
		}
	}
}

// jump writes a conditional jump over the next skip operations; where it is
// taken, they change nothing.
func (f *function) jump(reg bpf.Register, limit int32, skip int) {
	at := len(f.ins)
	f.emit(bpf.JumpGT(reg, limit, 0))
	taken := f.regs[reg] > uint64(int64(limit))
	before, start := f.regs, f.slots
	for range skip {
		f.arithmetic(draw(f.r.Uint64()))
	}
	f.ins[at].Offset = int16(f.slots - start)
	if taken {
		f.regs = before
	}
}

// arithmetic writes the arithmetic operation that d says.
func (f *function) arithmetic(d draw) {
	o, dst, src := d.operation(), f.work[d.first()], f.work[d.second()]
	if o.narrow {
		if f.narrow == 0 {
			o.narrow = false
		} else {
			f.narrow--
		}
	}
	switch o.alu {
	case bpf.LSh, bpf.RSh, bpf.ArSh:
		// Never by half the width or more: values would run empty.
		f.immediate(o, dst, d.shift())
		return
	}
	// Never with itself: x^x and x-x are 0 whatever x was. A product with a
	// register loses bits where that is even.
	if src == dst || o.alu == bpf.Mul || o.alu == bpf.Div || o.alu == bpf.Mod || d.coin() {
		v := d.constant()
		switch o.alu {
		case bpf.Mul:
			v |= 1
		case bpf.Div:
			v = 3 + v&0xf
		case bpf.Mod:
			v |= 1 << 30
		case bpf.And:
			v |= -1 << 31
		}
		f.immediate(o, dst, v)
		return
	}
	f.regs[dst] = o.apply(f.regs[dst], f.regs[src])
	if o.narrow {
		f.emit(o.alu.Reg32(dst, src))
	} else {
		f.emit(o.alu.Reg(dst, src))
	}
}

func (f *function) immediate(o op, dst bpf.Register, v int32) {
	f.apply(o, dst, v)
	if o.narrow {
		f.emit(o.alu.Imm32(dst, v))
	} else {
		f.emit(o.alu.Imm(dst, v))
	}
}

// apply carries out an operation with a constant and returns the constant.
func (f *function) apply(o op, dst bpf.Register, v int32) int32 {
	f.regs[dst] = o.apply(f.regs[dst], uint64(int64(v)))
	return v
}

// call writes a call of a new subprogram with about n operations, and returns
// the subprogram.
func (w *writer) call(n int) *function {
	a, b := w.work[0], w.work[1+w.r.IntN(3)]
	sub := &function{r: w.r, work: []bpf.Register{bpf.R0, bpf.R1, bpf.R2, bpf.R3}, scratch: bpf.R4, narrow: maxNarrow}
	sub.regs[bpf.R1], sub.regs[bpf.R2] = w.regs[a], w.regs[b]
	sub.emit(bpf.Mov.Reg(bpf.R0, bpf.R1), bpf.Mov.Reg(bpf.R3, bpf.R2))
	sub.regs[bpf.R0], sub.regs[bpf.R3] = sub.regs[bpf.R1], sub.regs[bpf.R2]
	for _, reg := range sub.work {
		sub.constant(reg)
	}
	sub.block(n)
	sub.fold()
	sub.emit(bpf.Exit())
	w.emit(bpf.Mov.Reg(bpf.R1, a), bpf.Mov.Reg(bpf.R2, b))
	w.calls = append(w.calls, len(w.ins))
	w.emit(bpf.CallFunction(0))
	w.emit(bpf.Xor.Reg(a, bpf.R0))
	w.regs[a] ^= sub.regs[bpf.R0]
	return sub
}

// fold brings all working registers together in the first one's place.
func (f *function) fold() {
	first := f.work[0]
	for _, reg := range f.work[1:] {
		f.emit(bpf.Add.Reg(first, reg))
		f.regs[first] += f.regs[reg]
		v := f.r.Int32() | 1
		f.immediate(op{bpf.Mul, false}, first, v)
	}
}

// count adds 1 to the second word of the program's slot. It leaves the working
// registers alone.
func (w *writer) count(slots, slot int) {
	w.emit(bpf.LoadMapValue(bpf.R1, slots, uint32(slot)),
		bpf.LoadMem(bpf.R2, bpf.R1, 8, bpf.DWord),
		bpf.Add.Imm(bpf.R2, 1),
		bpf.StoreMem(bpf.R1, 8, bpf.R2, bpf.DWord))
}

// epilogue writes the end, which hands the answer over, and returns the answer.
func (w *writer) epilogue(slots, slot int) uint32 {
	w.fold()
	// The upper half counts too.
	w.emit(bpf.Mov.Reg(bpf.R0, bpf.R6), bpf.RSh.Imm(bpf.R0, 32), bpf.Xor.Reg(bpf.R0, bpf.R6), bpf.Mov.Reg32(bpf.R0, bpf.R0))
	answer := uint32(w.regs[bpf.R6]>>32) ^ uint32(w.regs[bpf.R6])
	switch w.t {
	case bpf.Kprobe:
		w.emit(bpf.LoadMapValue(bpf.R1, slots, uint32(slot)),
			bpf.StoreMem(bpf.R1, 8, bpf.R0, bpf.DWord),
			bpf.Mov.Imm(bpf.R0, 0))
	case bpf.CgroupSKB:
		// May only return yes or no: the answer goes into the packet's mark.
		w.emit(bpf.LoadMem(bpf.R1, bpf.R10, contextSpill, bpf.DWord),
			bpf.StoreMem(bpf.R1, skbMark, bpf.R0, bpf.Word),
			bpf.Mov.Imm(bpf.R0, 1))
	}
	w.emit(bpf.Exit())
	return answer
}

// MarkAt is where in struct __sk_buff a cgroup program leaves its answer, 32
// bits in the guest's byte order.
const MarkAt = skbMark

// link puts the subprograms behind the main function and sets the calls right.
func (w *writer) link(subs []*function) ([]bpf.Instruction, error) {
	if len(subs) != len(w.calls) {
		return nil, fmt.Errorf("%d calls of %d subprograms", len(w.calls), len(subs))
	}
	// Where each instruction of the main function stands, in slots.
	at := make([]int, 0, len(w.ins))
	slot := 0
	for _, in := range w.ins {
		at = append(at, slot)
		slot += in.Slots()
	}
	ins := w.ins
	start := w.slots
	for i, sub := range subs {
		ins[w.calls[i]].Constant = int64(start - at[w.calls[i]] - 1)
		ins = append(ins, sub.ins...)
		start += sub.slots
	}
	return ins, nil
}
