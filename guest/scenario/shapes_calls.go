// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
)

// tailTargets is how many programs a tail call continues with in turn.
const tailTargets = 12

// shapeTailCalls runs a program that continues with others, which come and go.
// On x86_64 the kernel writes a jump to the other program into its code, since it
// knows where in the array that is, and takes it out again.
func shapeTailCalls(ctx context.Context, s *shapesAttack) (err error) {
	next, err := bpf.NewNext()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, next.Close()) }()
	const alone = 4711
	makeCaller := func() (program, error) {
		p, err := s.program(bpf.SchedCLS, 100, alone, []bpf.Instruction{
			bpf.Mov.Reg(bpf.R6, bpf.R1),
			bpf.LoadMap(bpf.R2, next.FD()),
			bpf.Mov.Imm(bpf.R3, 0),
			bpf.Call(bpf.TailCall),
			bpf.Mov.Imm(bpf.R0, alone),
			bpf.Exit(),
		})
		if err != nil {
			return p, err
		}
		in, err := bpf.ProgramInfo(p.fd)
		s.watch.patched[in.ID] = true
		return p, err
	}
	caller, err := makeCaller()
	if err != nil {
		return err
	}
	callers := []program{caller}
	calling, err := s.tailCallInFunction(next, alone)
	var lacks lack
	if errors.As(err, &lacks) {
		s.env.Report.Unmeasured("shape_runs", "tail_calls: "+lacks.Error())
	} else if err != nil {
		return err
	} else {
		callers = append(callers, calling)
	}
	for i := range tailTargets {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.answerAll(callers, alone); err != nil {
			return err
		}
		var code []bpf.Instruction
		for range s.r.IntN(200) {
			v := s.r.Int32()
			code = append(code, bpf.Mov.Imm(bpf.R0, v))
		}
		answer := s.r.Int32()
		target, err := s.program(bpf.SchedCLS, 100, uint32(answer), append(code, bpf.Mov.Imm(bpf.R0, answer), bpf.Exit()))
		if err != nil {
			return err
		}
		if err := next.Set(target.fd); err != nil {
			return err
		}
		if err := s.answerAll(callers, uint32(answer)); err != nil {
			return err
		}
		if i < 2 {
			// One that comes when there is something to continue with gets its
			// jump when it is loaded, and loses it later like the others.
			late, err := makeCaller()
			if err != nil {
				return err
			}
			if err := s.answers(late, uint32(answer)); err != nil {
				return err
			}
			if i == 0 {
				s.set.keep(func(p program) bool { return p.Index != late.Index })
			}
		}
		if i%2 == 0 {
			// The array holds on to a program that nobody else has.
			s.set.keep(func(p program) bool { return p.Index != target.Index })
			if err := s.answerAll(callers, uint32(answer)); err != nil {
				return err
			}
		}
		if err := next.Clear(); err != nil {
			return err
		}
	}
	return s.answerAll(callers, alone)
}

// answerAll runs programs, each of which must answer want.
func (s *shapesAttack) answerAll(list []program, want uint32) error {
	for _, p := range list {
		if err := s.answers(p, want); err != nil {
			return err
		}
	}
	return nil
}

// tailCallInFunction loads a program whose function has the tail call: what is
// continued with returns to the program. It lacks on kernels that can't
// have both in a program: s390x before 6.3.
func (s *shapesAttack) tailCallInFunction(next *bpf.Next, alone int32) (program, error) {
	main := []bpf.Instruction{bpf.CallFunction(1), bpf.Exit()}
	p, err := s.functioned(fleet.Program{Type: bpf.SchedCLS, Functions: 2, Input: 100, Answer: uint32(alone)}, append(main,
		bpf.LoadMap(bpf.R2, next.FD()),
		bpf.Mov.Imm(bpf.R3, 0),
		bpf.Call(bpf.TailCall),
		bpf.Mov.Imm(bpf.R0, alone),
		bpf.Exit(),
	), bpf.Typed{Functions: []bpf.TypedFunction{{}, {Start: len(main)}}})
	if s.env.Arch == "s390x" && errors.Is(err, unix.EINVAL) {
		return p, lack("this kernel has no tail calls from subprograms on s390x")
	}
	if err != nil {
		s.env.refused(err)
		return p, err
	}
	in, err := bpf.ProgramInfo(p.fd)
	s.watch.patched[in.ID] = true
	return p, err
}

// shapeCallbacks runs programs with functions that helpers call back: bpf_loop
// and bpf_for_each_map_elem.
func shapeCallbacks(ctx context.Context, s *shapesAttack) error {
	for i := range 8 {
		if err := ctx.Err(); err != nil {
			return err
		}
		rounds, factor, plus := 1+s.r.Int32N(50), s.r.Int32()|1, s.r.Int32()
		input := uint32(64 + 16*i)
		// On the stack is the state; the function gets its number and the state.
		main := []bpf.Instruction{
			bpf.LoadMem(bpf.R6, bpf.R1, 0, bpf.Word),
			bpf.StoreMem(bpf.R10, -8, bpf.R6, bpf.DWord),
			bpf.Mov.Imm(bpf.R1, rounds),
			{}, // the function
			bpf.Mov.Reg(bpf.R3, bpf.R10),
			bpf.Add.Imm(bpf.R3, -8),
			bpf.Mov.Imm(bpf.R4, 0),
			bpf.Call(bpf.Loop),
		}
		end := []bpf.Instruction{bpf.LoadMem(bpf.R0, bpf.R10, -8, bpf.DWord), bpf.Exit()}
		callback := []bpf.Instruction{
			bpf.LoadMem(bpf.R3, bpf.R2, 0, bpf.DWord),
			bpf.Mul.Imm(bpf.R3, factor),
			bpf.Add.Imm(bpf.R3, plus),
			bpf.Xor.Reg(bpf.R3, bpf.R1),
			bpf.StoreMem(bpf.R2, 0, bpf.R3, bpf.DWord),
			bpf.Mov.Imm(bpf.R0, 0),
			bpf.Exit(),
		}
		state := uint64(input)
		for n := range uint64(rounds) {
			state = (state*uint64(int64(factor)) + uint64(int64(plus))) ^ n
		}
		answer := uint32(state)
		if i%2 == 1 {
			answer = uint32(uint64(input) + uint64(int64(plus)))
			main, callback = s.forEach(main, plus)
		}
		if err := s.functions(main, end, callback, input, answer); err != nil {
			return err
		}
	}
	return nil
}

// forEach makes a callback program of one for the only element of an array,
// whose address the function gets as its third argument, and the state as its
// fourth.
func (s *shapesAttack) forEach(loop []bpf.Instruction, plus int32) (main, callback []bpf.Instruction) {
	main = append([]bpf.Instruction{}, loop...)
	main[2] = bpf.LoadMap(bpf.R1, s.slots.FD())
	main[len(main)-1] = bpf.Call(bpf.ForEachMapElem)
	return main, []bpf.Instruction{
		bpf.LoadMem(bpf.R1, bpf.R4, 0, bpf.DWord),
		bpf.Add.Imm(bpf.R1, plus),
		bpf.StoreMem(bpf.R4, 0, bpf.R1, bpf.DWord),
		bpf.Mov.Imm(bpf.R0, 0),
		bpf.Exit(),
	}
}

// functions links, loads and runs a program whose fourth instruction loads the
// callback.
func (s *shapesAttack) functions(main, end, callback []bpf.Instruction, input, answer uint32) error {
	const at = 3
	main[at] = bpf.LoadFunction(bpf.R2, 0)
	main = append(main, end...)
	main[at] = bpf.LoadFunction(bpf.R2, int32(slots(main[at+1:])))
	p, err := s.calledBack(main, callback, input, answer)
	if err != nil {
		return err
	}
	return s.answers(p, answer)
}

// calledBack loads a program and the function behind it that a helper calls back.
func (s *shapesAttack) calledBack(main, callback []bpf.Instruction, input, answer uint32) (program, error) {
	return s.functioned(fleet.Program{Type: bpf.SchedCLS, Functions: 2, Input: input, Answer: answer},
		append(main, callback...), bpf.Typed{Functions: []bpf.TypedFunction{{}, {Start: slots(main)}}})
}

// slots counts the slots that instructions take.
func slots(list []bpf.Instruction) (n int) {
	for _, in := range list {
		n += in.Slots()
	}
	return n
}

// shapeProbeReads runs programs that read kernel memory which may not be there:
// the helper comes back with an error, and nothing else happens.
func shapeProbeReads(ctx context.Context, s *shapesAttack) error {
	for i := range 4 {
		if err := ctx.Err(); err != nil {
			return err
		}
		// An address in the last page, which no kernel maps; then with the
		// program's own stack, which is there.
		answer := ^uint32(unix.EFAULT) + 1
		address := []bpf.Instruction{bpf.Mov.Imm(bpf.R3, -8*int32(1+i))}
		if i%2 == 1 {
			answer = 0
			address = []bpf.Instruction{bpf.Mov.Reg(bpf.R3, bpf.R10), bpf.Add.Imm(bpf.R3, -16)}
		}
		code := append([]bpf.Instruction{
			bpf.Mov.Imm(bpf.R0, 0),
			bpf.StoreMem(bpf.R10, -8, bpf.R0, bpf.DWord),
			bpf.StoreMem(bpf.R10, -16, bpf.R0, bpf.DWord),
			bpf.Mov.Reg(bpf.R1, bpf.R10),
			bpf.Add.Imm(bpf.R1, -8),
			bpf.Mov.Imm(bpf.R2, 8),
		}, address...)
		p, err := s.program(bpf.SchedCLS, 100, answer, append(code, bpf.Call(bpf.ProbeReadKernel), bpf.Exit()))
		if err != nil {
			return err
		}
		if err := s.answers(p, answer); err != nil {
			return err
		}
	}
	return nil
}
