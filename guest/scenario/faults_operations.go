// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
)

// largeSteps is how long the long one is of the programs that fail: 20 KiB of
// code or more. Where there are no pages in a row for its buffer, kvmalloc() falls
// back on single ones.
const largeSteps = 850

// operation is something that the kernel does for programs, and that can fail
// at any allocation it makes.
type operation struct {
	name string
	// call does it with raw system calls alone, and returns the error's number.
	call func() unix.Errno
	// check says what is wrong after it succeeded, in spite of a fault or without.
	check func() (string, error)
	// undo takes it back. It may be called after a failure too.
	undo func()
	// blinded has the JIT hide constants meanwhile.
	blinded bool
	// fresh says that it makes executable memory.
	fresh bool
	// apart says that the program's functions are compiled apart from each other.
	apart bool
}

// operations prepares what is made to fail where there is room for it: the XDP
// program stays meanwhile, and the memory that it is in.
func (f *faultAttack) operations(context.Context) ([]operation, error) {
	xdp, err := f.fleet.Of(bpf.XDP, 600, 0)
	if err != nil {
		return nil, err
	}
	if err := f.load(xdp); err != nil {
		return nil, err
	}
	small, err := f.fleet.Of(bpf.SocketFilter, 400, 1)
	if err != nil {
		return nil, err
	}
	list := []operation{f.loading("load", small)}
	// One with subprograms takes another way through the JIT.
	for i := range f.n {
		p, err := f.fleet.Program(i)
		if err != nil {
			return nil, err
		}
		if p.Functions > 2 && p.TargetBytes < 3000 && p.Type != bpf.Kprobe {
			op := f.loading("load_subprograms", p)
			op.apart = true
			list = append(list, op)
			break
		}
	}
	// The buffer of more than a few pages may be had in another way.
	list = append(list, f.loading("load_large", longProgram(rand.New(rand.NewPCG(f.seed, 2)), 0, largeSteps)))
	run, err := f.beside("run_xdp", f.set.programs[len(f.set.programs)-1])
	if err != nil {
		return nil, err
	}
	list = append(list, run)
	return append(list, operation{name: "classic", call: f.classic.call, check: f.classic.check, undo: f.classic.undo, blinded: true}), nil
}

// dispatching is the operation of running p through the dispatcher, which only
// repeated runs go through.
func (f *faultAttack) dispatching(name string, p program) operation {
	run := bpf.NewRunOnce(p.fd, make([]byte, p.Packet()), 2)
	var answer uint32
	return operation{
		name:  name,
		call:  func() (errno unix.Errno) { answer, errno = run.Call(); return errno },
		check: func() (string, error) { return differs("the XDP program", answer, p.Answer), nil },
		undo:  func() {},
	}
}

// beside is dispatching while another program stays in the dispatcher, if there is
// one: whatever comes of p, that one must answer from there.
func (f *faultAttack) beside(name string, p program) (operation, error) {
	op := f.dispatching(name, p)
	if dispatcherMissing(f.env) != "" {
		return op, nil
	}
	other, err := f.fleet.Of(bpf.XDP, 700, 1)
	if err != nil {
		return op, err
	}
	if err := f.load(other); err != nil {
		return op, err
	}
	fd := f.set.programs[len(f.set.programs)-1].fd
	link, err := bpf.AttachXDP(loopback, fd)
	if err != nil {
		return op, err
	}
	f.links = append(f.links, link)
	check, run := op.check, bpf.NewRunOnce(fd, make([]byte, other.Packet()), 2)
	op.check = func() (string, error) {
		what, err := check()
		if what != "" || err != nil {
			return what, err
		}
		got, errno := run.Call()
		if errno != 0 {
			return "", fmt.Errorf("run the program that stays in the dispatcher: %w", errno)
		}
		f.runs++
		return differs("the XDP program that stays in the dispatcher", got, other.Answer), nil
	}
	return op, nil
}

func differs(what string, got, want uint32) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%s answered %#x, must be %#x", what, got, want)
}

// loading is the operation of loading p.
func (f *faultAttack) loading(name string, p fleet.Program) operation {
	once := bpf.NewLoadOnce(p.Type, p.Name, p.Code)
	fd := -1
	packet, ctxOut := make([]byte, 4096), make([]byte, 512)
	return operation{
		name: name,
		call: func() (errno unix.Errno) { fd, errno = once.Call(); return errno },
		check: func() (string, error) {
			f.loads++
			f.env.Loads++
			got, err := runPacket(program{p, fd}, packet, ctxOut)
			return differs("the program", got, p.Answer), err
		},
		undo: func() {
			if fd >= 0 {
				unix.Close(fd)
			}
			fd = -1
		},
	}
}
