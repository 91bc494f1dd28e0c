// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/probe"
)

// synchronisationMissing says why nobody has to be told of new code.
func synchronisationMissing(env *Env) string {
	if !oracle.SynchronisationNeeded(env.Arch) {
		return "processors of " + env.Arch + " notice by themselves what others write"
	}
	return ""
}

// besideLoads is how many programs are loaded beside others: where nobody tells the
// other processor, its clock interrupts it in many of these loads, and not in all.
const besideLoads = 48

// shapeBeside loads small programs while another processor runs one that stands next
// to them, on and on and without leaving the kernel, and looks whether that processor
// is interrupted each time. What an emulator does with code that changes can't tell.
func shapeBeside(ctx context.Context, s *shapesAttack) error {
	if runtime.NumCPU() < 2 {
		return lack("needs two processors")
	}
	counts, err := s.env.Kernel.OpenInterruptions()
	if err != nil {
		return err
	}
	defer counts.Close()
	tiny, err := s.fleet.Tiny(0)
	if err != nil {
		return err
	}
	if err := s.load(tiny); err != nil {
		return err
	}
	const other = 1
	leave, err := occupied(s.set.programs[len(s.set.programs)-1], other)
	if err != nil {
		return err
	}
	var loads []oracle.Beside
	err = onProcessor(0, func() error {
		for i := range besideLoads {
			if err := ctx.Err(); err != nil {
				return err
			}
			l, beside, err := s.loadBeside(1+i, counts, other)
			if err != nil {
				return err
			}
			if beside {
				loads = append(loads, l)
			}
		}
		return nil
	})
	if err := errors.Join(err, leave()); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	if len(loads) == 0 {
		return lack("every program has pages of its own in this kernel")
	}
	s.watch.report(oracle.Synchronised(loads))
	return nil
}

// loadBeside loads the fleet's next tiny program, and says whether it came to stand on
// a page with others.
func (s *shapesAttack) loadBeside(i int, counts *probe.Interruptions, other int) (l oracle.Beside, beside bool, err error) {
	tiny, err := s.fleet.Tiny(i)
	if err != nil {
		return l, false, err
	}
	pages := map[uint64]bool{}
	infos, err := s.set.infos()
	if err != nil {
		return l, false, err
	}
	for _, in := range infos {
		pages[in.Functions[0].Address/probe.PageBytes] = true
	}
	before, err := counts.Of(other)
	if err != nil {
		return l, false, err
	}
	if err := s.load(tiny); err != nil {
		return l, false, err
	}
	after, err := counts.Of(other)
	if err != nil {
		return l, false, err
	}
	in, err := bpf.ProgramInfo(s.set.programs[len(s.set.programs)-1].fd)
	if err != nil {
		return l, false, err
	}
	at := in.Functions[0].Address
	return oracle.Beside{Program: tiny.Name, Interrupted: after - before}, pages[at/probe.PageBytes], nil
}

// occupied has a processor run a program on and on, until leave is called.
func occupied(p program, processor int) (leave func() error, err error) {
	var stop atomic.Bool
	threads := make([]atomic.Int32, 1)
	done := make(chan error, 1)
	go func() {
		done <- onProcessor(processor, func() error {
			threads[0].Store(int32(unix.Gettid()))
			return bpf.Occupy(p.fd, make([]byte, p.Packet()), &stop)
		})
	}()
	return func() error {
		stop.Store(true)
		interrupt(threads, func() bool { return len(done) == 1 })
		return <-done
	}, nil
}

// interrupt gets threads out of the system calls that they are in, until they are all
// gone. One that was not in it yet when the signal came needs another. A thread's
// number is 0 as long as it has none.
func interrupt(threads []atomic.Int32, gone func() bool) {
	for !gone() {
		for i := range threads {
			if tid := int(threads[i].Load()); tid != 0 {
				// One that has ended is no error. The runtime takes SIGURG for nothing.
				_ = unix.Tgkill(unix.Getpid(), tid, unix.SIGURG)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}
