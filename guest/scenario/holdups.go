// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"packtest/guest/bpf"
	"packtest/guest/probe"
)

// Two processors that get into each other's way do so within a few instructions,
// between looking for room and taking it, say. An emulated machine of two
// processors hardly ever has both of them there. So processors are held up there:
// a clock interrupts each of them as often as the machine can, and where the instruction that
// it interrupted is one of the functions that executable memory is made of, a program
// does nothing for a while.

// A processor is looked at every clockPeriod nanoseconds of its time in the kernel, of
// which an emulated one comes to a tenth, and held up by up to 2^heldUpMost turns of a
// loop, as often by hundreds as by ten thousands: from what a processor takes to set
// some bits to what the kernel takes to free programs that it has waited to free.
const (
	clockPeriod = 50_000
	heldUpMost  = 16
	heldUpLeast = heldUpMost - 8
)

// heldUp says whether processors are held up in a function of the kernel, by its
// name: it is likely to be one that an allocator of executable memory is made of, or
// calls where it keeps its books.
func heldUp(name string) bool {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	return has("bitmap_find", "__bitmap_set", "__bitmap_clear", "bitmap_empty", "find_next_bit", "find_next_zero_bit", "find_first_bit", "find_first_zero_bit", "gen_pool_",
		"pack_", "_pack", "chunk_", "bpf_jit_", "text_alloc", "text_free", "exec_alloc", "exec_free", "execmem_", "module_alloc", "module_memfree",
		"set_memory_x", "set_memory_nx", "set_memory_ro", "set_memory_rw") &&
		!has("packet", "unpack", "package", "packed", "dev_", "virt", "swnode", "clump", "context_", "pcpu_", "jit_prog", "jit_insn", "jit_probe", "jit_blind")
}

// heldUpBytes is the most that a function has which is held up: longer ones
// compile, and hold nothing that another processor would want.
const heldUpBytes = 4 << 10

// heldUpRanges is the most ranges of code that the program tells apart. Functions
// with no more than heldUpGap bytes between them are one range.
const (
	heldUpRanges = 40
	heldUpGap    = 128
)

// findHeldUp finds the code in which processors are held up.
func (env *Env) findHeldUp() ([][2]uint64, error) {
	// The symbols come in the order of addresses: where one ends the next begins.
	follows := false
	symbols, err := env.Kernel.Symbols(func(name string) bool {
		wanted := heldUp(name)
		keep := wanted || follows
		follows = wanted
		return keep
	})
	if err != nil {
		return nil, err
	}
	return codeRanges(symbols), nil
}

// codeRanges returns where the code is of those symbols that processors are held up
// in; each is followed by the next of the kernel.
func codeRanges(symbols []probe.Symbol) (list [][2]uint64) {
	for i, s := range symbols[:max(len(symbols)-1, 0)] {
		next := symbols[i+1]
		bytes := next.Address - s.Address
		if s.Module != "" || !strings.ContainsRune("tTwW", rune(s.Kind)) || !heldUp(s.Name) || next.Address <= s.Address || bytes > heldUpBytes {
			continue
		}
		if n := len(list); n > 0 && list[n-1][1]+heldUpGap >= s.Address {
			list[n-1][1] = next.Address
		} else if n < heldUpRanges {
			list = append(list, [2]uint64{s.Address, next.Address})
		}
	}
	return list
}

// newHoldUp loads the program that does nothing for a while if any of the ranges
// was interrupted.
func newHoldUp(arch string, ranges [][2]uint64) (idler, error) {
	at, err := bpf.InterruptedAt(arch)
	if err != nil {
		return idler{}, err
	}
	var look []bpf.Instruction
	for i := len(ranges) - 1; i >= 0; i-- {
		start, end := ranges[i][0], ranges[i][1]
		// What is not in this range goes on with the next one, and what is jumps over
		// all of them.
		one := []bpf.Instruction{
			bpf.Mov.Reg(bpf.R7, bpf.R6),
			bpf.LoadImm(bpf.R8, start),
			bpf.Sub.Reg(bpf.R7, bpf.R8),
			bpf.JumpGT(bpf.R7, int32(end-start-1), 1),
			bpf.Jump(int16(slots(look) + slots(returning()))),
		}
		look = append(one, look...)
	}
	return newIdler(bpf.PerfEvent, "hold_up", append([]bpf.Instruction{bpf.LoadMem(bpf.R6, bpf.R1, at, bpf.DWord)}, look...), []bpf.Instruction{
		bpf.Call(bpf.Random),
		bpf.And.Imm(bpf.R0, heldUpMost-heldUpLeast-1),
		bpf.Mov.Imm(bpf.R1, 1<<(heldUpLeast+1)),
		bpf.LSh.Reg(bpf.R1, bpf.R0),
	})
}

// newHoldUps loads the program that holdUp has processors held up by.
func (env *Env) newHoldUps() (idler, error) {
	ranges, err := env.findHeldUp()
	if err != nil {
		return idler{}, err
	}
	if len(ranges) == 0 {
		return idler{}, errors.New("no function of the kernel's is one to hold processors up in")
	}
	return newHoldUp(env.Arch, ranges)
}

// holdUp holds processors up by a program until the function that it returns is called.
func holdUp(program idler) (stop func() error, err error) {
	var clocks []int
	stop = func() (err error) {
		for _, fd := range clocks {
			err = errors.Join(err, bpf.Close(fd))
		}
		return err
	}
	for i := range runtime.NumCPU() {
		clock, err := bpf.AtClock(i, clockPeriod, program.fd)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("hold processors up: %w", err), stop())
		}
		clocks = append(clocks, clock)
	}
	return stop, nil
}
