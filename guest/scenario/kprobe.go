// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
)

// The kernel has no test run for kprobe programs, so they must be set off by a
// real probe: one on a system call that nobody else makes. Taking a program off
// a probe waits for a grace period, a tenth of a second each. So only one
// program is ever attached, which does nothing but a tail call, and what it
// continues with is changed each time. Programs leave their answers in an array
// that all share.

const (
	tracing   = "/sys/kernel/tracing"
	probeName = "packtest/answer"
)

// slotsBytes is the size of the array for programs 0 to n-1. The last eight
// bytes stay zero: see newTrampoline.
func slotsBytes(n int) int { return n*fleet.SlotBytes + 8 }

// runTraced runs kprobe programs of a fleet whose array slots is, and returns
// their answers.
func runTraced(programs []program, slots *bpf.Array) (_ []uint32, err error) {
	data := make([]byte, slots.Bytes())
	for _, p := range programs {
		slot := data[p.Slot():]
		binary.NativeEndian.PutUint64(slot, uint64(p.Input))
		// Not what any program leaves there: it clears the upper half.
		binary.NativeEndian.PutUint64(slot[8:], ^uint64(0))
	}
	if err := slots.Write(data); err != nil {
		return nil, err
	}
	if err := fire(programs, slots); err != nil {
		return nil, err
	}
	if data, err = slots.Read(); err != nil {
		return nil, err
	}
	answers := make([]uint32, 0, len(programs))
	for _, p := range programs {
		v := binary.NativeEndian.Uint64(data[p.Slot()+8:])
		answer := uint32(v)
		if v>>32 != 0 {
			// It did not run, or wrote what it may not.
			answer = ^p.Answer
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// fire sets off each program once.
func fire(programs []program, slots *bpf.Array) (err error) {
	next, err := bpf.NewNext()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, next.Close()) }()
	trampoline, err := newTrampoline(slots, next)
	if err != nil {
		return err
	}
	defer bpf.Close(trampoline)
	remove, err := attach(trampoline)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	for _, p := range programs {
		if err := next.Set(p.fd); err != nil {
			return err
		}
		if _, err := unix.Getpgid(0); err != nil {
			return fmt.Errorf("set off %s: %w", probeName, err)
		}
	}
	return nil
}

// newTrampoline loads the program that continues with the one in next. It takes
// the index 0 from the array's end: had it known the index, the kernel would
// rewrite its code at every change.
func newTrampoline(slots *bpf.Array, next *bpf.Next) (int, error) {
	var order binary.ByteOrder = binary.LittleEndian
	if runtime.GOARCH == "s390x" {
		order = binary.BigEndian
	}
	code := bpf.Encode([]bpf.Instruction{
		bpf.LoadMapValue(bpf.R3, slots.FD(), uint32(slots.Bytes()-8)),
		bpf.LoadMem(bpf.R3, bpf.R3, 0, bpf.DWord),
		bpf.LoadMap(bpf.R2, next.FD()),
		bpf.Call(bpf.TailCall),
		bpf.Mov.Imm(bpf.R0, 0),
		bpf.Exit(),
	}, order)
	return bpf.Load(bpf.Kprobe, "trampoline", code)
}

// attach puts a kprobe on getpgid(2) and the program on it. The function it
// returns takes both away.
func attach(program int) (remove func() error, err error) {
	target := "__x64_sys_getpgid"
	if runtime.GOARCH == "s390x" {
		target = "__s390x_sys_getpgid"
	}
	if err := writeEvents("p:" + probeName + " " + target); err != nil {
		return nil, fmt.Errorf("set a kprobe on %s: %w", target, err)
	}
	return attachEvent(probeName, program)
}

// attachEvent has a program set off by a dynamic trace event, whatever probes it
// has. The function it returns takes both away; after an error the event is gone.
func attachEvent(name string, program int) (remove func() error, err error) {
	removeEvent := func() error { return writeEvents("-:" + name) }
	defer func() {
		if err != nil {
			err = errors.Join(err, removeEvent())
		}
	}()
	id, err := os.ReadFile(tracing + "/events/" + name + "/id")
	if err != nil {
		return nil, err
	}
	event, err := strconv.ParseUint(strings.TrimSpace(string(id)), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("number of event %s: %w", name, err)
	}
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Config: event,
		Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Sample: 1,
	}
	// A program is set off on every processor, whichever the event is opened for.
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open event %s: %w", name, err)
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, program); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("attach a program to %s: %w", name, err)
	}
	return func() error { return errors.Join(unix.Close(fd), removeEvent()) }, nil
}

// writeEvents gives the kernel a line about dynamic trace events.
func writeEvents(line string) error {
	f, err := os.OpenFile(tracing+"/kprobe_events", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}
