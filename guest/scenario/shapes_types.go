// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/scenario/fleet"
)

// lack is an error that says why a kernel doesn't have what a shape takes.
type lack string

func (l lack) Error() string { return string(l) }

// typesMissing says why there is no program that is attached to one of the
// kernel's functions, or follows its pointers.
func typesMissing(*Env) string {
	if exists("/sys/kernel/btf/vmlinux") {
		return ""
	}
	return bpf.ErrNoTypes.Error() + ": --config btf"
}

// typed loads a program of instructions for a type.
func (s *shapesAttack) typed(t bpf.Type, functions int, code []bpf.Instruction, typed bpf.Typed) (program, error) {
	p, err := s.functioned(fleet.Program{Type: t, Functions: functions}, code, typed)
	if err != nil {
		s.env.refused(err)
	}
	return p, err
}

// functioned loads code as p, which gets its number and name here.
func (s *shapesAttack) functioned(p fleet.Program, code []bpf.Instruction, typed bpf.Typed) (program, error) {
	p.Index, p.Name = s.number, fmt.Sprintf("shape_%d", s.number)
	fd, err := bpf.LoadTyped(p.Type, p.Name, encode(code), typed)
	if err != nil {
		return program{}, err
	}
	s.number++
	s.loads++
	s.env.Loads++
	s.set.programs = append(s.set.programs, program{p, fd})
	if len(typed.Functions) > 0 {
		err = s.lines(fd)
	}
	return s.set.programs[len(s.set.programs)-1], err
}

// lines holds what the kernel tells of a program's source lines against its functions.
func (s *shapesAttack) lines(fd int) error {
	in, err := bpf.ProgramInfo(fd)
	if err != nil {
		return err
	}
	lines, err := bpf.ProgramLines(fd)
	if err != nil {
		return err
	}
	s.watch.report(oracle.Lined(in, lines))
	return nil
}

// judge takes the answer to one run.
func (s *shapesAttack) judge(p program, what string, got, want uint64) {
	s.runs++
	if got != want {
		s.wrong = append(s.wrong, fmt.Sprintf("program %s (%s), %s: answered %#x, must be %#x", p.Name, p.Type, what, got, want))
	}
}

const (
	// readers is how many programs read memory that isn't there.
	readers = 8
	// landmark is the symbol of memory that everybody may read and nobody writes.
	landmark = "linux_banner"
)

// shapeExceptionTable runs programs that follow one of the kernel's pointers,
// which the thread itself sets (set_robust_list(2) takes any address): first to
// memory that is there, then to where there is none. Such a read faults, and the
// kernel finds in the program's exception table how to go on: with 0 in the
// register that was to be read into.
func shapeExceptionTable(ctx context.Context, s *shapesAttack) (err error) {
	types, err := bpf.KernelTypes()
	if err != nil {
		return err
	}
	pointer, err := types.Member("task_struct", "robust_list")
	if err != nil {
		return err
	}
	field, err := types.Member("robust_list_head", "futex_offset")
	if err != nil {
		return err
	}
	symbols, err := s.env.Kernel.Symbols(func(name string) bool { return name == landmark })
	if err != nil {
		return err
	}
	if len(symbols) != 1 {
		return fmt.Errorf("the kernel has %d symbols called %s", len(symbols), landmark)
	}
	there := symbols[0].Address
	memory := make([]byte, 8)
	if err := s.watch.core.ReadAt(memory, there+uint64(field.Offset)); err != nil {
		return err
	}
	// The last page of all is nobody's: errors are told by addresses in it. On
	// x86_64 there are addresses that are none, which fault in another way.
	nowhere := []uint64{^uint64(0) - 4095}
	if s.env.Arch == "x86_64" {
		nowhere = append(nowhere, 1<<63)
	}
	var made []reading
	for i := range readers {
		r := s.newReading(pointer.Offset, field.Offset, i%2 == 1)
		if r.program, err = s.typed(bpf.RawTracepoint, 1+i%2, r.code, bpf.Typed{}); err != nil {
			return err
		}
		made = append(made, r)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() { err = errors.Join(err, setPointer(0)) }()
	for range 3 {
		for _, address := range append([]uint64{there}, nowhere...) {
			if err := setPointer(address); err != nil {
				return err
			}
			var found []byte
			if address == there {
				found = memory
			}
			for _, r := range made {
				got, err := bpf.TestRunAlone(r.program.fd)
				if err != nil {
					return fmt.Errorf("program %s: %w", r.program.Name, err)
				}
				s.judge(r.program, fmt.Sprintf("reading at %#x", address), uint64(got), uint64(r.answer(found)))
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// setPointer sets the calling thread's list of robust futexes, which nobody
// follows before the thread ends.
func setPointer(address uint64) error {
	const head = 24 // the size of struct robust_list_head, which the kernel checks
	if _, _, errno := unix.RawSyscall(unix.SYS_SET_ROBUST_LIST, uintptr(address), head, 0); errno != 0 {
		return fmt.Errorf("set a thread's list of robust futexes: %w", errno)
	}
	return nil
}

// reading is a program that reads through a pointer of the kernel's again and
// again, into several registers, and makes one number of it all.
type reading struct {
	program program
	code    []bpf.Instruction
	// loads are where in the eight bytes each reads, how many, and what the
	// number is multiplied with before.
	loads []struct{ at, bytes, factor int32 }
	start int32
}

// newReading makes a reading of what is at field behind pointer. It is done by a
// subprogram, which has an exception table of its own then, or by the program.
func (s *shapesAttack) newReading(pointer, field int, inFunction bool) reading {
	r := reading{start: s.r.Int32()}
	r.code = []bpf.Instruction{
		bpf.Call(bpf.CurrentTask),
		bpf.LoadMem(bpf.R6, bpf.R0, int16(pointer), bpf.DWord),
	}
	if inFunction {
		r.code = append(r.code, bpf.Mov.Reg(bpf.R1, bpf.R6), bpf.CallFunction(1), bpf.Exit(), bpf.Mov.Reg(bpf.R6, bpf.R1))
	}
	r.code = append(r.code, bpf.Mov.Imm(bpf.R7, r.start))
	into := []bpf.Register{bpf.R0, bpf.R1, bpf.R2, bpf.R3, bpf.R4, bpf.R5, bpf.R8, bpf.R9}
	n := 1 + s.r.IntN(60)
	for i := range n {
		register := into[s.r.IntN(len(into))]
		if i == n-1 {
			register = bpf.R6 // over the pointer itself
		}
		at, bytes, size := int32(0), int32(8), bpf.DWord
		if s.r.IntN(2) == 0 {
			at, bytes, size = 4*s.r.Int32N(2), 4, bpf.Word
		}
		factor := s.r.Int32() | 1
		r.loads = append(r.loads, struct{ at, bytes, factor int32 }{at, bytes, factor})
		if register != bpf.R6 {
			r.code = append(r.code, bpf.Mov.Imm(register, s.r.Int32()))
		}
		r.code = append(r.code, bpf.LoadMem(register, bpf.R6, int16(field)+int16(at), size),
			bpf.Mul.Imm(bpf.R7, factor), bpf.Add.Reg(bpf.R7, register))
	}
	r.code = append(r.code, bpf.Mov.Reg(bpf.R0, bpf.R7), bpf.RSh.Imm(bpf.R0, 32), bpf.Xor.Reg(bpf.R0, bpf.R7), bpf.Exit())
	return r
}

// answer is what the program makes of the eight bytes in memory, nil if there
// are none.
func (r reading) answer(memory []byte) uint32 {
	v := uint64(int64(r.start))
	for _, l := range r.loads {
		v *= uint64(int64(l.factor))
		switch {
		case memory == nil:
		case l.bytes == 4:
			v += uint64(binary.NativeEndian.Uint32(memory[l.at:]))
		default:
			v += binary.NativeEndian.Uint64(memory)
		}
	}
	return uint32(v>>32) ^ uint32(v)
}
