// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"

	"packtest/guest/bpf"
	"packtest/guest/probe"
	"packtest/guest/scenario/fleet"
)

const (
	// fillings is how many programs, at most, take the room of executable memory
	// that is there before the next program has to have new memory.
	fillings = 3
	// fillingEdge is what a large one of them leaves, in bytes: its size is known
	// only when it is compiled.
	fillingEdge = 16 << 10
	// sampleSteps is the length of the program that tells how much code the JIT
	// makes of a step.
	sampleSteps = 2000
)

// firstOperations prepares what has to make executable memory, however the kernel
// allocates it: the load of a program for which there is no room, and a run
// through a dispatcher for whose page there is none. To tell of error paths that
// no fault came to would be worse than not to try them, so that what finds room is
// said to be unmeasured.
func (f *faultAttack) firstOperations(ctx context.Context) ([]operation, error) {
	small, err := f.fleet.Of(bpf.SocketFilter, 400, 2)
	if err != nil {
		return nil, err
	}
	var list []operation
	fresh, err := f.fillUp(ctx, small)
	if err != nil {
		return nil, err
	}
	if fresh {
		op := f.loading("first_load", small)
		op.fresh = true
		list = append(list, op)
	} else {
		f.env.Report.Unmeasured("faults_injected", "first_load: there is always room for another program")
	}
	if dispatcherMissing(f.env) != "" {
		return list, nil
	}
	// It has memory of its own, and leaves no room in it.
	giant, err := f.asXDP(ctx, giantBytes)
	if err != nil {
		return nil, err
	}
	if err := f.load(giant); err != nil {
		return nil, err
	}
	p := f.set.programs[len(f.set.programs)-1]
	if fresh, err = f.freshDispatcher(p); err != nil {
		return nil, err
	}
	if fresh {
		op := f.dispatching("first_run_xdp", p)
		op.fresh = true
		list = append(list, op)
	} else {
		f.env.Report.Unmeasured("faults_injected", "first_run_xdp: the dispatcher has memory already")
	}
	return list, nil
}

// fillUp takes what room there is in executable memory, until p would get new
// memory, and says whether it came to that.
func (a *attack) fillUp(ctx context.Context, p fleet.Program) (bool, error) {
	for range fillings {
		new, err := a.getsNew(ctx, p)
		if err != nil || new {
			return new, err
		}
		room, _, err := a.watch.room()
		if err != nil {
			return false, err
		}
		if room > 2*fillingEdge {
			steps, err := a.stepsOf(ctx, room-fillingEdge)
			if err != nil {
				return false, err
			}
			if err := a.load(longProgram(rand.New(rand.NewPCG(uint64(room), 3)), 0, steps)); err != nil {
				return false, err
			}
		}
		for i := range 2 * edgeSmall {
			small, err := a.fleet.Small(i)
			if err != nil {
				return false, err
			}
			if new, err = a.getsNew(ctx, small); err != nil {
				return false, err
			}
			if new {
				break
			}
		}
	}
	return false, nil
}

// getsNew loads p, and says whether it got memory that was not there before. If
// it did, p is freed again.
func (a *attack) getsNew(ctx context.Context, p fleet.Program) (bool, error) {
	before, err := a.count()
	if err != nil {
		return false, err
	}
	areas, err := a.env.Kernel.Vmalloc()
	if err != nil {
		return false, err
	}
	if err := a.load(p); err != nil {
		return false, err
	}
	loaded := a.set.programs[len(a.set.programs)-1]
	in, err := bpf.ProgramInfo(loaded.fd)
	if err != nil {
		return false, err
	}
	now, err := a.env.Kernel.Vmalloc()
	if err != nil || !isNew(in.Functions[0].Address, areas, now) {
		return false, err
	}
	return true, a.unload(ctx, loaded, before)
}

// unload frees p, and waits until the counts are no higher than before.
func (a *attack) unload(ctx context.Context, p program, before steadyState) error {
	a.set.keep(func(other program) bool { return other.fd != p.fd })
	_, err := a.backTo(ctx, before)
	return err
}

// backTo waits until there are no more programs than before, and no more is charged. It
// returns what it has seen last: that is more where something is lost for good.
func (a *attack) backTo(ctx context.Context, before steadyState) (steadyState, error) {
	return a.await(ctx, func(now steadyState) bool { return now.charged <= before.charged && now.programs <= before.programs })
}

// isNew says whether an address lies in an area that was not there before.
func isNew(address uint64, before, now []probe.Area) bool {
	i := probe.FindArea(now, address)
	return i >= 0 && !slices.ContainsFunc(before, func(a probe.Area) bool { return a.Start == now[i].Start && !a.Unpurged })
}

// stepsOf returns how many steps of a long program are so many bytes of code.
func (a *attack) stepsOf(ctx context.Context, bytes int64) (int, error) {
	before, err := a.count()
	if err != nil {
		return 0, err
	}
	if err := a.load(longProgram(rand.New(rand.NewPCG(uint64(bytes), 4)), 0, sampleSteps)); err != nil {
		return 0, err
	}
	sample := a.set.programs[len(a.set.programs)-1]
	in, err := bpf.ProgramInfo(sample.fd)
	if err != nil {
		return 0, err
	}
	return int(bytes * sampleSteps / int64(in.JITBytes)), a.unload(ctx, sample, before)
}

// asXDP makes a long XDP program of at least so many bytes of code.
func (f *faultAttack) asXDP(ctx context.Context, bytes int64) (fleet.Program, error) {
	steps, err := f.stepsOf(ctx, bytes)
	p := longProgram(rand.New(rand.NewPCG(f.seed, 5)), 0, steps)
	// A packet's length is nothing that it could read.
	copy(p.Code, encode([]bpf.Instruction{bpf.Mov.Imm(bpf.R6, int32(p.Input))}))
	p.Type = bpf.XDP
	return p, err
}

// freshDispatcher says whether the dispatcher gets memory that was not there
// before when an XDP program is attached.
func (f *faultAttack) freshDispatcher(p program) (_ bool, err error) {
	before, err := f.env.Kernel.Vmalloc()
	if err != nil {
		return false, err
	}
	link, err := bpf.AttachXDP(loopback, p.fd)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, bpf.Close(link)) }()
	symbols, err := f.env.Kernel.Symbols(func(name string) bool { return name == "bpf_dispatcher_xdp" })
	if err != nil {
		return false, err
	}
	now, err := f.env.Kernel.Vmalloc()
	for _, s := range symbols {
		if s.Module == "bpf" {
			return isNew(s.Address, before, now), err
		}
	}
	return false, errors.Join(err, errors.New("an XDP program is attached, and there is no symbol of a dispatcher"))
}
