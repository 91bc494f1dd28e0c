// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// backtraces reads from QEMU, not from the kernel, where each CPU is and how it
// came there: a kernel that hangs may not be able to say, and one that was asked
// by an interrupt says it of one CPU. The machine must be stopped.
//
// It takes frame pointers on x86_64 and back chains on s390x, as the kernels
// that packtest builds have them. Beside the text it returns one word for where
// each CPU was. What can't be read is said in the text: it is no sign that QEMU
// is gone.
func (r *running) backtraces(ctx context.Context) (text string, at []string) {
	symbols, err := loadSymbols(r.m.SystemMap)
	if err != nil {
		fmt.Fprintf(&r.notes, "backtraces: %v\n", err)
	}
	var b strings.Builder
	for i := range r.m.CPUs {
		c := cpuState{run: func(line string) (string, error) { return r.hmp(ctx, i, line) }}
		if err := c.load(); err != nil {
			fmt.Fprintf(&r.notes, "backtraces: CPU %d: %v\n", i, err)
			fmt.Fprintf(&b, "CPU %d: %v\n", i, err)
			at = append(at, "a place that can't be read")
			continue
		}
		fmt.Fprintf(&r.notes, "registers of CPU %d:\n%s\n", i, c.registers)
		fmt.Fprintf(&b, "CPU %d:%s\n", i, c.mode())
		for _, pc := range c.unwind() {
			fmt.Fprintf(&b, "  %s\n", symbols.name(pc))
		}
		at = append(at, symbols.name(c.pc))
	}
	return b.String(), at
}

// hmp runs a command of QEMU's monitor for humans on behalf of a CPU.
func (r *running) hmp(ctx context.Context, cpu int, line string) (string, error) {
	out, err := r.mon.run(ctx, "human-monitor-command", map[string]any{"command-line": line, "cpu-index": cpu})
	return strings.ReplaceAll(unquote(out), "\r\n", "\n"), err
}

// cpuState is a CPU that stands still.
type cpuState struct {
	run       func(line string) (string, error)
	registers string
	s390x     bool
	early     bool // x86 code of 32 or 16 bits, such as that of a CPU that no kernel has started
	pc, mask  uint64
}

var (
	psw       = regexp.MustCompile(`PSW=mask ([0-9a-f]{16}) addr ([0-9a-f]{16})`)
	memory    = regexp.MustCompile(`(?m)^[0-9a-f]+: 0x([0-9a-f]{16})(?: 0x([0-9a-f]{16}))?`)
	privilege = regexp.MustCompile(`\bCPL=(\d)`)
)

const (
	pswProblem = 1 << 48 // the mask's bit 15: a user's program
	pswWait    = 1 << 49 // bit 14: it waits for an interrupt
)

func (c *cpuState) load() (err error) {
	if c.registers, err = c.run("info registers"); err != nil {
		return err
	}
	if m := psw.FindStringSubmatch(c.registers); m != nil {
		c.s390x = true
		c.mask, c.pc = hex(m[1]), hex(m[2])
		return nil
	}
	var ok bool
	if c.pc, ok = c.register("RIP", 64); ok {
		return nil
	}
	if c.pc, ok = c.register("EIP", 32); !ok {
		return fmt.Errorf("read the registers: QEMU says %.200q", c.registers)
	}
	c.early = true
	return nil
}

func hex(s string) uint64 {
	n, _ := strconv.ParseUint(s, 16, 64)
	return n
}

func (c *cpuState) register(name string, bits int) (uint64, bool) {
	_, rest, ok := strings.Cut(" "+strings.ReplaceAll(c.registers, "\n", " "), " "+name+"=")
	if !ok || len(rest) < bits/4 {
		return 0, false
	}
	n, err := strconv.ParseUint(rest[:bits/4], 16, bits)
	return n, err == nil
}

func (c *cpuState) user() bool {
	if c.s390x {
		return c.mask&pswProblem != 0
	}
	m := privilege.FindStringSubmatch(c.registers)
	return m != nil && m[1] == "3"
}

func (c *cpuState) mode() string {
	switch {
	case c.user():
		return fmt.Sprintf(" in a program of the guest's, at %#x", c.pc)
	case c.s390x && c.mask&pswWait != 0, strings.Contains(c.registers, "HLT=1"):
		return " waiting for an interrupt"
	}
	return ""
}

// words reads two words of memory as the CPU sees it.
func (c *cpuState) words(at uint64) (a, b uint64, err error) {
	out, err := c.run(fmt.Sprintf("x /2gx 0x%x", at))
	if err != nil {
		return 0, 0, err
	}
	m := memory.FindStringSubmatch(out)
	if m == nil || m[2] == "" {
		return 0, 0, errors.New(out)
	}
	return hex(m[1]), hex(m[2]), nil
}

// maxDepth bounds a backtrace; a chain of frames can be a circle.
const maxDepth = 32

// unwind returns the addresses from the innermost function outwards: where the
// CPU is, then where it returns to. It ends where memory can't be read or a
// frame makes no sense.
func (c *cpuState) unwind() []uint64 {
	switch {
	case c.user():
		return nil
	case c.s390x:
		return c.unwindBackChain()
	case c.early:
		return []uint64{c.pc}
	}
	return c.unwindFramePointer()
}

// Offsets in the kernel's struct pt_regs of x86_64.
const (
	x86RegsBP = 32
	x86RegsIP = 128 // followed by CS
)

func (c *cpuState) unwindFramePointer() []uint64 {
	out := []uint64{c.pc}
	bp, _ := c.register("RBP", 64)
	for len(out) < maxDepth {
		// The entry code marks saved registers by an odd frame pointer.
		if bp&1 == 1 {
			ip, cs, err := c.words(bp - 1 + x86RegsIP)
			if err != nil || cs&3 != 0 {
				break
			}
			out = append(out, ip)
			if bp, _, err = c.words(bp - 1 + x86RegsBP); err != nil {
				break
			}
			continue
		}
		next, ret, err := c.words(bp)
		if err != nil || ret == 0 {
			break
		}
		out = append(out, ret)
		bp = next
	}
	return out
}

// Offsets in the kernel's stack frames, which are packed, and struct pt_regs of
// s390x: arch/s390/include/asm/stacktrace.h and ptrace.h.
const (
	s390Save14    = 136 // register 14 of whom the frame's owner called
	s390BackChain = 152
	s390Frame     = 160 // a frame without locals; saved registers follow the last
	s390RegsPSW   = 8
	s390RegsGPR15 = 144
)

func (c *cpuState) unwindBackChain() []uint64 {
	out := []uint64{c.pc}
	sp, _ := c.register("R15", 64)
	for len(out) < maxDepth {
		back, _, err := c.words(sp + s390BackChain)
		if err != nil {
			break
		}
		if back != 0 {
			ret, _, err := c.words(back + s390Save14)
			if err != nil || ret == 0 || back <= sp {
				break
			}
			out = append(out, ret)
			sp = back
			continue
		}
		// The outermost frame, or that of an interrupt.
		mask, addr, err := c.words(sp + s390Frame + s390RegsPSW)
		if err != nil || addr == 0 || mask&pswProblem != 0 {
			break
		}
		out = append(out, addr)
		if sp, _, err = c.words(sp + s390Frame + s390RegsGPR15); err != nil {
			break
		}
	}
	return out
}
