// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"packtest/guest/oracle"
	"packtest/guest/wire"
	"packtest/metric"
)

// drain frees a fleet, the one that load has left or one of its own, and holds
// what the kernel has left against what it had before it was loaded. Programs are freed by work queues after an RCU grace
// period, so it waits, and the time it waits for is the one it reports.
//
// Three figures must return exactly to what they were, or something leaks: the
// number of programs with an ID; bpf_jit_current, which the kernel charges
// for every image and gives back when it is freed; and the areas that held
// code. The last means that no pack may stay: the kernel frees a pack with the
// last program in it, unless something else has room in it, which was there
// before the load and is not counted then. VmallocUsed is reported too and not
// judged: the kernel's other users share it.
//
// Samples: free_time_per_program, drain_residue, vmalloc_residue.
func drain(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	w, err := loadedWorkload(ctx, env, spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	loaded, err := w.reader.read()
	if err != nil {
		return err
	}
	held := heldBy(w.infos, loaded.areas)
	n := len(w.set.programs)

	start := env.Now()
	w.set.close()
	if w.reader.noCharge == nil {
		// The charge is given back last, and costs the least to look at.
		came, err := w.awaitCharge(ctx)
		if err != nil {
			return err
		}
		spent := env.since(start)
		if came {
			env.Report.Sample(metric.New("free_time_per_program", nil, float64(spent.Nanoseconds())/float64(n)))
		} else {
			env.Report.Unmeasured("free_time_per_program", "the charge for JIT memory never came back to what it was")
		}
		if came && slowFree(n, w.set.spent, spent) {
			env.Report.Finding(wire.Finding{Kind: "slow-free", Title: "programs are freed more slowly than they were loaded",
				Evidence: fmt.Sprintf("%d programs were loaded in %v and freed in %v", n, w.set.spent.Round(time.Millisecond), spent.Round(time.Millisecond))})
		}
	}
	after, err := w.reader.settle(ctx, w.before, held)
	if err != nil {
		return err
	}
	if w.reader.noCharge != nil {
		env.Report.Unmeasured("free_time_per_program", w.reader.noCharge.Error())
	}
	w.judge(after, held, n)
	return nil
}

// slowFree tells whether freeing n programs took far too long. It is a small part
// of loading them, with the verifier and several passes of the JIT: a twentieth
// under TCG, where an invalidate that went over the whole pack for every program
// made it eight times as much. The RCU grace periods and the work queues, which a
// busy host makes slow, are the five seconds.
func slowFree(n int, load, free time.Duration) bool {
	return n >= 100 && free > 2*load+5*time.Second
}

// loadedWorkload returns the fleet that load has left, if it is the one that spec
// asks for, or loads one. A spec that says no number takes what there is.
func loadedWorkload(ctx context.Context, env *Env, spec wire.ScenarioSpec) (*workload, error) {
	if w := env.held; w != nil {
		env.held = nil
		if spec.Programs == 0 || spec.Programs == w.n {
			return w, nil
		}
		if err := w.close(ctx); err != nil {
			return nil, err
		}
	}
	w, err := newWorkload(ctx, env, spec)
	if err != nil {
		return nil, err
	}
	if err := w.load(ctx); err != nil {
		return nil, errors.Join(err, w.close(ctx))
	}
	return w, nil
}

// awaitCharge waits until bpf_jit_current is what it was before the load, and says
// whether it became that. It looks often: the time that it takes is measured.
func (w *workload) awaitCharge(ctx context.Context) (came bool, err error) {
	var l least
	return w.env.awaitFreed(ctx, settleLimit, time.Millisecond, func() (progress, error) {
		v, err := w.reader.charged()
		return l.progress(v <= w.before.charged, v), err
	})
}

// judge reports what is left.
func (w *workload) judge(after figures, held map[uint64]bool, n int) {
	list := []oracle.Figure{{Name: "jit_areas", Title: neverFreed, Unit: "bytes", Is: areasSince(w.before.areas, after.areas, held)}}
	if w.reader.noCharge == nil {
		list = append(list, oracle.Figure{Name: "bpf_jit_current", Title: chargeStays, Unit: "bytes", Was: w.before.charged, Is: after.charged})
	} else {
		w.env.Report.Unmeasured("drain_residue", "bpf_jit_current: "+w.reader.noCharge.Error())
	}
	w.env.Report.Sample(metric.New("vmalloc_residue", nil, float64(after.vmallocUsed-w.before.vmallocUsed)))
	for _, f := range list {
		w.env.Report.Sample(metric.New("drain_residue", map[string]string{"figure": f.Name}, float64(f.Is-f.Was)))
	}
	list = append(list, oracle.Figure{Name: "programs", Title: programsStay, Was: int64(w.before.programs), Is: int64(after.programs)})
	for _, f := range oracle.Returned(list, fmt.Sprintf("all of %d programs were freed (waited up to %v)", n, settleLimit)) {
		w.env.Report.Finding(f)
	}
}
