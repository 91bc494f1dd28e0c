// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"fmt"

	"packtest/guest/bpf"
)

// Two processors that get into each other's way do so within a few instructions,
// between looking for room and taking it, say. An emulated machine of two
// processors hardly ever has both of them there. So the functions that executable
// memory is made of are made slow: a kprobe where each begins, and where it has
// returned, runs a program that now and then does nothing for a while.

// slowable are functions that an allocator calls, or is likely to be made of. Those
// that a kernel doesn't have, or doesn't let anybody probe, are left alone.
var slowable = []string{
	"bitmap_find_next_zero_area_off", "__bitmap_set", "__bitmap_clear",
	"bpf_jit_alloc_exec", "bpf_jit_free_exec", "module_alloc", "module_memfree", "vfree",
	"set_memory_nx", "set_memory_ro", "set_memory_x", "set_memory_rw",
	"bpf_arch_text_copy", "bpf_arch_text_invalidate", "text_poke_copy", "text_poke_set", "s390_kernel_write",
	"bpf_prog_pack_alloc", "bpf_prog_pack_free", "bpf_jit_binary_alloc", "bpf_jit_binary_free",
	"bpf_jit_binary_pack_alloc", "bpf_jit_binary_pack_finalize", "bpf_jit_binary_pack_free",
	"bpf_jit_charge_modmem", "bpf_jit_uncharge_modmem",
	"__cond_resched",
}

// Of calls, one in delayOneIn is delayed, by up to 2^delayMost turns of a loop, as
// often by hundreds as by thousands: from what a processor takes to set some bits
// to what the kernel takes to notice that a grace period is over.
const (
	delayOneIn = 2
	delayMost  = 17
)

// newDelay loads the program that now and then does nothing for a while.
func newDelay() (idler, error) {
	look := []bpf.Instruction{
		bpf.Call(bpf.Random),
		bpf.Mov.Reg(bpf.R2, bpf.R0),
		bpf.And.Imm(bpf.R2, delayOneIn-1),
		bpf.JumpGT(bpf.R2, delayOneIn-2, int16(slots(returning()))),
	}
	return newIdler(bpf.Kprobe, "delay", look, []bpf.Instruction{
		bpf.RSh.Imm(bpf.R0, 16),
		bpf.And.Imm(bpf.R0, 15),
		bpf.Mov.Imm(bpf.R1, 1<<(delayMost-15)),
		bpf.LSh.Reg(bpf.R1, bpf.R0),
	})
}

// slowDown makes functions slow by a program until the function that it returns is
// called.
func slowDown(program idler) (stop func() error, err error) {
	var undo []func() error
	stop = func() (err error) {
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
		return err
	}
	for name, sort := range map[string]string{"packtest/begun": "p", "packtest/returned": "r"} {
		probed := 0
		var last error
		for _, function := range slowable {
			// More than one of a name are one event.
			if err := writeEvents(sort + ":" + name + " " + function); err != nil {
				last = err
			} else {
				probed++
			}
		}
		if probed == 0 {
			return nil, errors.Join(fmt.Errorf("set kprobes on %d functions: %w", len(slowable), last), stop())
		}
		remove, err := attachEvent(name, program.fd)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		undo = append(undo, remove)
	}
	return stop, nil
}
