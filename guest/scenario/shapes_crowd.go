// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
)

const (
	// dispatched is how many programs are put into the XDP dispatcher: all that it
	// takes (BPF_DISPATCHER_MAX in include/linux/bpf.h).
	dispatched = 48
	// crowdWait bounds the wait for them to be in it, since the last that came:
	// each waits for a grace period.
	crowdWait = 10 * time.Second
)

// crowdDispatcher has as many programs in the dispatcher at once as it takes, each
// kept there by a thread that runs it on and on. Meanwhile every program is run
// for its answer, and one more, for which there is no room.
func (s *shapesAttack) crowdDispatcher(ctx context.Context) (err error) {
	restore, err := expedited()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	counts, err := bpf.NewArray(8 * dispatched)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, counts.Close()) }()
	var all []program
	for i := range dispatched {
		answer := s.r.Uint32()
		p, err := s.program(bpf.XDP, fleetPacket, answer, []bpf.Instruction{
			bpf.Mov.Imm(bpf.R1, 1),
			bpf.LoadMapValue(bpf.R2, counts.FD(), uint32(8*i)),
			bpf.StoreMem(bpf.R2, 0, bpf.R1, bpf.DWord),
			bpf.Mov.Imm(bpf.R0, int32(answer)),
			bpf.Exit(),
		})
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	more, err := s.drawn(bpf.XDP, 300)
	if err != nil {
		return err
	}
	var stop atomic.Bool
	var gone atomic.Int32
	var work sync.WaitGroup
	threads, errs := make([]atomic.Int32, len(all)), make([]error, len(all))
	for i, p := range all {
		work.Go(func() {
			defer gone.Add(1)
			// The thread goes, and its priority with it. All of them are on one processor:
			// each that comes has the call of the dispatcher patched, and where others run
			// through that meanwhile, QEMU 7.2's TCG was seen to run the breakpoint that
			// stands there for a moment after it was gone, of which the kernel dies.
			runtime.LockOSThread()
			var one unix.CPUSet
			one.Set(0)
			if errs[i] = unix.SchedSetaffinity(0, &one); errs[i] != nil {
				return
			}
			threads[i].Store(int32(unix.Gettid()))
			errs[i] = bpf.Occupy(p.fd, make([]byte, p.Packet()), &stop)
		})
	}
	in, err := s.awaitCrowd(ctx, counts, threads)
	if err == nil && in < len(all) {
		s.env.Report.Unmeasured("shape_runs", fmt.Sprintf("xdp_dispatcher: one with many programs; of %d programs %d came to run in %v", len(all), in, crowdWait))
	}
	if err == nil && in == len(all) {
		_, err = s.dispatched(ctx, all...)
	}
	for _, p := range all {
		if err == nil && in == len(all) {
			err = s.answers(p, p.Answer)
		}
	}
	if err == nil && in == len(all) {
		err = s.dispatch(more)
	}
	stop.Store(true)
	interrupt(threads, func() bool {
		s.env.Report.Progress(int(gone.Load()), len(all), "programs out of the dispatcher")
		return int(gone.Load()) == len(all)
	})
	work.Wait()
	return errors.Join(err, errors.Join(errs...))
}

// expeditedFile has the kernel not wait longer for grace periods than it must.
const expeditedFile = "/sys/kernel/rcu_expedited"

// expedited makes grace periods short, dozens of which are waited for one
// after another, until restore is called.
func expedited() (restore func() error, err error) {
	was, err := os.ReadFile(expeditedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("make grace periods short: %w", err)
	}
	set := func(value []byte) error {
		if err := os.WriteFile(expeditedFile, value, 0); err != nil {
			return fmt.Errorf("make grace periods short, or long again: %w", err)
		}
		return nil
	}
	return func() error { return set(was) }, set([]byte("1"))
}

// fleetPacket is the length of a packet for which no program asks.
const fleetPacket = 100

// awaitCrowd waits until every program has run, and returns how many have. Those
// that have make way for those that are still to come.
func (s *shapesAttack) awaitCrowd(ctx context.Context, counts *bpf.Array, threads []atomic.Int32) (int, error) {
	n, low := 0, map[int]bool{}
	_, err := s.env.await(ctx, newPatience(crowdWait), "waiting for programs to be in the dispatcher", 2*time.Millisecond, func() (progress, error) {
		b, err := counts.Read()
		if err != nil {
			return still, err
		}
		was := n
		n = 0
		for at := 0; at < len(b); at += 8 {
			if binary.NativeEndian.Uint64(b[at:]) == 0 {
				continue
			}
			n++
			if !low[at] {
				low[at] = true
				if err := unix.Setpriority(unix.PRIO_PROCESS, int(threads[at/8].Load()), 19); err != nil {
					return still, fmt.Errorf("lower a thread's priority: %w", err)
				}
			}
		}
		switch {
		case n == len(b)/8:
			return there, nil
		case n > was:
			return nearer, nil
		}
		return still, nil
	})
	return n, err
}
