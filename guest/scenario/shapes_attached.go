// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
)

// noTrampolines makes a lack of the error of a kernel that has no trampolines:
// s390x has them since 6.3. On x86_64 it stays an error.
func (s *shapesAttack) noTrampolines(err error) error {
	if s.env.Arch == "s390x" && errors.Is(err, errNoSupport) {
		return lack("this kernel has no trampolines on s390x")
	}
	return err
}

// attachments are programs that are attached.
type attachments []int

func (a *attachments) add(program int) error {
	fd, err := bpf.Attach(program)
	if err == nil {
		*a = append(*a, fd)
	}
	return err
}

func (a *attachments) close() error {
	var err error
	for _, fd := range *a {
		err = errors.Join(err, unix.Close(fd))
	}
	*a = nil
	return err
}

// The functions that the kernel has to be traced, what it calls them with
// (bpf_prog_test_run_tracing in net/bpf/test_run.c), and how many programs are
// put at each.
const (
	tracedFunction             = "bpf_fentry_test2"
	tracedA, tracedB, tracedIs = 2, 3, 5
	changedFunction            = "bpf_modify_return_test"
	tracers                    = 6
)

// shapeTracing attaches programs to the beginning and the end of one of the
// kernel's functions, and lets others answer in the place of a function, more
// and more of them. They are called by trampolines, which are written anew for
// each that comes or goes.
func shapeTracing(ctx context.Context, s *shapesAttack) (err error) {
	types, err := bpf.KernelTypes()
	if err != nil {
		return err
	}
	function, err := types.Function(tracedFunction)
	if err != nil {
		return err
	}
	slots, err := bpf.NewArray(8 * 2 * tracers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, slots.Close()) }()
	var links attachments
	defer func() { err = errors.Join(err, links.close()) }()
	var all []program
	var want []uint64
	for i := range 2 * tracers {
		as, factor, plus := uint32(bpf.AtEntry), s.r.Int32(), s.r.Int32()
		answer := uint64(tracedA)*uint64(int64(factor)) + tracedB + uint64(int64(plus))
		code := []bpf.Instruction{
			bpf.LoadMem(bpf.R6, bpf.R1, 0, bpf.DWord),
			bpf.LoadMem(bpf.R7, bpf.R1, 8, bpf.DWord),
			bpf.Mul.Imm(bpf.R6, factor),
			bpf.Add.Reg(bpf.R6, bpf.R7),
			bpf.Add.Imm(bpf.R6, plus),
		}
		if i%2 == 1 { // and what the function returns
			as = bpf.AtExit
			code = append(code, bpf.LoadMem(bpf.R7, bpf.R1, 16, bpf.DWord), bpf.Xor.Reg(bpf.R6, bpf.R7))
			answer ^= tracedIs
		}
		code = append(code, bpf.LoadMapValue(bpf.R2, slots.FD(), uint32(8*i)), bpf.StoreMem(bpf.R2, 0, bpf.R6, bpf.DWord),
			bpf.Mov.Imm(bpf.R0, 0), bpf.Exit())
		p, err := s.typed(bpf.Tracing, 1, code, bpf.Typed{As: as, Target: function})
		if err != nil {
			return err
		}
		if err := links.add(p.fd); err != nil {
			return s.noTrampolines(err)
		}
		all, want = append(all, p), append(want, answer)
		if err := s.trace(all, want, slots); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	// While trampolines are there.
	if err := s.watch.look(ctx); err != nil {
		return err
	}
	for len(links) > 0 {
		if err := unix.Close(links[0]); err != nil {
			return err
		}
		links, want[len(want)-len(links)] = links[1:], 0
		if err := s.trace(all, want, slots); err != nil {
			return err
		}
	}
	return s.modify(ctx, types)
}

// trace has the kernel call its function, once, and looks what each program left
// in its slot, which is 0 before.
func (s *shapesAttack) trace(all []program, want []uint64, slots *bpf.Array) error {
	if err := slots.Write(make([]byte, slots.Bytes())); err != nil {
		return err
	}
	if _, err := bpf.TestRunAlone(all[0].fd); err != nil {
		return fmt.Errorf("program %s: %w", all[0].Name, err)
	}
	got, err := slots.Read()
	if err != nil {
		return err
	}
	for i, p := range all {
		s.judge(p, "attached to "+tracedFunction, binary.NativeEndian.Uint64(got[8*i:]), want[i])
	}
	return nil
}

// modify lets programs answer in the place of a function: the last one that was
// attached, as far as it returns anything but 0.
func (s *shapesAttack) modify(ctx context.Context, types *bpf.Types) (err error) {
	function, err := types.Function(changedFunction)
	if err != nil {
		return err
	}
	var links attachments
	defer func() { err = errors.Join(err, links.close()) }()
	for range tracers {
		// What it returns is told in 16 bits.
		answer := 1 + s.r.Int32N(1<<16-1)
		p, err := s.typed(bpf.Tracing, 1, []bpf.Instruction{bpf.Mov.Imm(bpf.R0, answer), bpf.Exit()}, bpf.Typed{As: bpf.ModifyReturn, Target: function})
		if err != nil {
			return err
		}
		if err := links.add(p.fd); err != nil {
			return err
		}
		got, err := bpf.TestRunAlone(p.fd)
		if err != nil {
			return fmt.Errorf("program %s: %w", p.Name, err)
		}
		s.judge(p, "in the place of "+changedFunction, uint64(got), uint64(answer))
		if err := links.close(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// dummyOps is the kernel's structure of functions that is there for tests
// (net/bpf/bpf_dummy_struct_ops.c).
const dummyOps = "bpf_dummy_ops"

// shapeStructOps runs programs as functions of one of the kernel's structures,
// through a trampoline that is made for each call.
func shapeStructOps(ctx context.Context, s *shapesAttack) error {
	types, err := bpf.KernelTypes()
	if err != nil {
		return err
	}
	structure, err := types.Struct(dummyOps)
	if err != nil {
		return err
	}
	member, err := types.Member(dummyOps, "test_2")
	if err != nil {
		return err
	}
	for range 8 {
		factor, plus := s.r.Int32(), s.r.Int32()
		p, err := s.typed(bpf.StructOps, 1, []bpf.Instruction{
			bpf.LoadMem(bpf.R3, bpf.R1, 0, bpf.DWord),
			bpf.LoadMem(bpf.R0, bpf.R1, 8, bpf.DWord),
			bpf.Mul.Imm(bpf.R0, factor),
			bpf.LoadMem(bpf.R2, bpf.R1, 16, bpf.DWord),
			bpf.Xor.Reg(bpf.R0, bpf.R2),
			bpf.LoadMem(bpf.R2, bpf.R1, 24, bpf.DWord),
			bpf.Add.Reg(bpf.R0, bpf.R2),
			bpf.LoadMem(bpf.R2, bpf.R1, 32, bpf.DWord),
			bpf.Xor.Reg(bpf.R0, bpf.R2),
			bpf.Add.Imm(bpf.R0, plus),
			bpf.LoadMem(bpf.R3, bpf.R3, 0, bpf.Word), // the state
			bpf.Add.Reg(bpf.R0, bpf.R3),
			bpf.Exit(),
		}, bpf.Typed{As: uint32(member.Index), Target: structure})
		if err != nil {
			return err
		}
		for range 3 {
			// The state is an int; then there are an int, an unsigned short, a char and
			// an unsigned long.
			state, v := make([]byte, 4), s.r.Uint32()
			binary.NativeEndian.PutUint32(state, v)
			a, b, c, d := uint64(s.r.Int32()), uint64(s.r.IntN(1<<16)), uint64(s.r.IntN(1<<7)), s.r.Uint64()
			want := (((a*uint64(int64(factor)) ^ b) + c) ^ d) + uint64(int64(plus)) + uint64(v)
			got, err := bpf.TestRunMember(p.fd, state, a, b, c, d)
			if err != nil {
				return s.noTrampolines(err)
			}
			s.judge(p, "as a function of "+dummyOps, uint64(got), uint64(uint32(want)))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// shapeReplaced runs a program one of whose functions is replaced by another
// program, and comes back when that goes. The kernel writes a jump over the
// function's beginning.
func shapeReplaced(ctx context.Context, s *shapesAttack) (err error) {
	const input = 100
	factor := s.r.Int32()
	main := []bpf.Instruction{
		bpf.LoadMem(bpf.R1, bpf.R1, 0, bpf.Word),
		bpf.CallFunction(1),
		bpf.Exit(),
	}
	function := []bpf.Instruction{bpf.Mov.Reg(bpf.R0, bpf.R1), bpf.Mul.Imm(bpf.R0, factor), bpf.Exit()}
	target, err := s.typed(bpf.SchedCLS, 2, append(main, function...),
		bpf.Typed{Functions: []bpf.TypedFunction{{}, {Start: len(main), Arguments: 1, Global: true}}})
	if err != nil {
		return err
	}
	s.set.programs[len(s.set.programs)-1].Input, target.Input = input, input
	in, err := bpf.ProgramInfo(target.fd)
	if err != nil {
		return err
	}
	s.watch.patched[in.ID] = true
	own := uint32(input * factor)
	if err := s.answers(target, own); err != nil {
		return err
	}
	for range 8 {
		plus := s.r.Int32()
		p, err := s.typed(bpf.Extension, 1, []bpf.Instruction{bpf.Mov.Reg(bpf.R0, bpf.R1), bpf.Add.Imm(bpf.R0, plus), bpf.Exit()},
			bpf.Typed{Functions: []bpf.TypedFunction{{Arguments: 1, Global: true}}, Target: bpf.FunctionID(1), Program: target.fd})
		if err != nil {
			return err
		}
		link, err := bpf.Attach(p.fd)
		if err != nil {
			return s.noTrampolines(err)
		}
		err = s.answers(target, uint32(input+plus))
		if err == nil {
			err = s.watch.look(ctx)
		}
		if err := errors.Join(err, unix.Close(link)); err != nil {
			return err
		}
		if err := s.answers(target, own); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
