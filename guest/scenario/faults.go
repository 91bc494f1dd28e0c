// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/wire"
	"packtest/metric"
)

const (
	// maxPoints is at how many points, at most, one operation is made to fail.
	maxPoints = 2000
	// pointsAtOnce is after how many faults the kernel is held against what it
	// was: to wait for RCU after each would take most of the time.
	pointsAtOnce = 16
)

// faults has every allocation fail that loading a program takes, one after the
// other, until the load succeeds, and the same for running one through the
// dispatcher and for a classic filter of an unprivileged user whose constants are
// hidden. Then the functions that may be made to fail: those that write code, above
// all. That is done twice: when each of them has to have new executable memory,
// and when there is room. Whatever fails, nothing may be left behind, and the
// kernel has nothing to complain about.
//
// Samples: faults_injected for each site and operation; attack_loads, _runs, _looks.
func faults(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	injector, err := env.Kernel.Faults()
	if errors.Is(err, probe.ErrNoFaults) {
		env.Report.Unmeasured("faults_injected", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	a, err := env.newAttack(ctx, spec, 64)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	defer func() { err = errors.Join(err, injector.Off()) }()
	f, err := newFaultAttack(a, injector, spec.Seed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	// Writing the dispatcher waits for one.
	restore, err := expedited()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	sites := f.sites()
	for _, prepare := range []func(context.Context) ([]operation, error){f.firstOperations, f.operations} {
		operations, err := prepare(ctx)
		if err != nil {
			return err
		}
		if err := f.sweep(ctx, sites, operations); err != nil {
			return err
		}
		if err := f.lose(ctx, sites, operations); err != nil {
			return fmt.Errorf("again and again: %w", err)
		}
		if err := f.links.close(); err != nil {
			return err
		}
		a.set.close()
		// What is still being freed must not count as what was there.
		if _, err := a.reader.settle(ctx, a.before, nil); err != nil {
			return err
		}
	}
	if err := f.withoutLarge(ctx); err != nil {
		return fmt.Errorf("without large pages: %w", err)
	}
	return a.finish(ctx)
}

// sweep injects faults into all operations at all sites.
func (f *faultAttack) sweep(ctx context.Context, sites []site, operations []operation) error {
	start, err := f.count()
	if err != nil {
		return err
	}
	// Once without a fault: what is allocated once and kept is there then.
	for _, op := range operations {
		if err := f.alone(op, func(*probe.ThreadFaults) error { return f.faultless(op) }); err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
	}
	// What is still being freed must not count as what was there.
	if _, err := f.backTo(ctx, start); err != nil {
		return err
	}
	before, err := f.steady(ctx)
	if err != nil {
		return err
	}
	executable, err := f.watch.executable()
	if err != nil {
		return err
	}
	used, err := f.vmallocUsed(ctx, 0)
	if err != nil {
		return err
	}
	for _, s := range sites {
		for _, op := range operations {
			if s.fresh && !op.fresh {
				continue
			}
			if before, err = f.inject(ctx, s, op, before); err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, op.name, err)
			}
		}
		if executable, used, err = f.compareMemory(ctx, executable, used, s.name); err != nil {
			return err
		}
		if err := f.watch.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// faultless calls op, and undoes it.
func (f *faultAttack) faultless(op operation) error {
	for {
		switch errno := op.call(); errno {
		case 0:
			op.undo()
			return nil
		case unix.EAGAIN, unix.EINTR:
			op.undo() // the verifier gave way to a signal
		default:
			return fmt.Errorf("without any fault: %w", errno)
		}
	}
}

// faultAttack makes calls fail.
type faultAttack struct {
	*attack
	injector *probe.Faults
	log      *complaints
	// classic is a classic filter, for an unprivileged user.
	classic *classicOnce
	// links keep programs in the dispatcher.
	links attachments
	// found is how many points there were at a site for an operation.
	found map[string]int
	seed  uint64
}

func newFaultAttack(a *attack, injector *probe.Faults, seed uint64) (*faultAttack, error) {
	f := &faultAttack{attack: a, injector: injector, seed: seed, found: map[string]int{}}
	const constants = 20
	var err error
	if f.classic, err = newClassicOnce(a.newClassic(constants, rand.New(rand.NewPCG(seed, 1)).Uint32)); err != nil {
		return nil, err
	}
	if f.log, err = newComplaints(a.env, a.watch); err != nil {
		err = errors.Join(err, f.classic.f.close())
	}
	return f, err
}

func (f *faultAttack) close() error {
	return errors.Join(f.links.close(), f.log.close(), f.classic.f.close())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// alone calls do on a thread of its own whose calls can be made to fail, and with
// constants hidden if that belongs to op.
func (f *faultAttack) alone(op operation, do func(*probe.ThreadFaults) error) (err error) {
	if op.blinded {
		if err := f.env.Kernel.SetSysctl("net.core.bpf_jit_harden", "2"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.env.Kernel.SetSysctl("net.core.bpf_jit_harden", "0")) }()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The verifier gives way to a signal, and Go's runtime sends some to threads
	// that run for long.
	release, err := holdSignals()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	thread, err := f.injector.Thread()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, thread.Close()) }()
	return do(thread)
}

// inject has op fail at one point of s after the other. It returns the state in which
// the kernel is then.
func (f *faultAttack) inject(ctx context.Context, s site, op operation, before steadyState) (_ steadyState, err error) {
	injected := 0
	err = f.alone(op, func(thread *probe.ThreadFaults) error {
		for _, w := range s.ways {
			var n int
			if n, before, err = f.points(ctx, thread, op, s.name, w, before); err != nil {
				return err
			}
			injected += n
		}
		return idle(s.name, op.name, injected)
	})
	if err == nil {
		f.found[s.name+" "+op.name] = injected
		f.env.Report.Sample(metric.New("faults_injected", map[string]string{"site": s.name, "operation": op.name}, float64(injected)))
	}
	return before, err
}

// points has op fail in one way at one point after the other. It returns how many
// there are, and the state in which the kernel is then.
func (f *faultAttack) points(ctx context.Context, thread *probe.ThreadFaults, op operation, site string, w way, before steadyState) (injected int, _ steadyState, err error) {
	if err := w.choose(f.injector); err != nil {
		return 0, before, err
	}
	defer func() { err = errors.Join(err, f.injector.Off()) }()
	if w.after != nil {
		defer func() { err = errors.Join(err, w.after()) }()
	}
	first := 1
	for nth := 1; nth <= maxPoints; nth++ {
		if w.before != nil {
			if err := w.before(); err != nil {
				return injected, before, err
			}
		}
		hit, succeeded, err := f.point(thread, op, site, nth)
		if err != nil {
			return injected, before, err
		}
		if hit {
			injected++
		}
		last := !hit || w.lasting && succeeded
		// What op has made must be gone where it is to find nothing.
		if nth%pointsAtOnce == 0 || last || op.fresh && !f.lossTold() {
			if before, err = f.compare(ctx, before, fmt.Sprintf("%s failed at points %d to %d of %s", op.name, first, nth, site)); err != nil {
				return injected, before, err
			}
			if err := f.log.judge(); err != nil {
				return injected, before, err
			}
			first = nth + 1
		}
		f.env.Report.Progress(nth, 0, "faults")
		if last {
			return injected, before, nil
		}
	}
	f.env.Report.Unmeasured("faults_injected", fmt.Sprintf("%s, %s: there are more than %d points", site, op.name, maxPoints))
	return injected, before, nil
}

// idle is the error of an injector under which nothing failed although the
// operation cannot do without: loading a program allocates.
func idle(site, operation string, injected int) error {
	if injected == 0 && site == "slab" && strings.HasPrefix(operation, "load") {
		return errors.New("no allocation failed: the kernel's fault injection does nothing")
	}
	return nil
}

// point has op fail at one point, and says whether there is such a point, and
// whether op succeeded nevertheless.
func (f *faultAttack) point(thread *probe.ThreadFaults, op operation, site string, nth int) (hit, succeeded bool, err error) {
	for {
		var errno unix.Errno
		hit, err := thread.During(nth, func() { errno = op.call() })
		if err != nil {
			return false, false, err
		}
		switch {
		case errno == unix.EAGAIN || errno == unix.EINTR:
			// The verifier gave way to a signal.
			op.undo()
			continue
		case errno != 0 && !hit:
			// It did not fail before the first fault. Of memory and of files there may
			// be too few: what is held to make faults takes some.
			if errno != unix.ENOMEM && errno != unix.EMFILE && errno != unix.ENFILE {
				f.watch.report([]wire.Finding{{Kind: "load-failed", Title: "a call that succeeded before fails without any fault",
					Evidence: fmt.Sprintf("%s, without any fault, after faults at %s: %v", op.name, site, errno)}})
			}
			return false, false, fmt.Errorf("without any fault: %w", errno)
		case errno == 0:
			// Some allocations may fail.
			err := f.inspect(op, hit, fmt.Sprintf("%s, with a fault at point %d of %s", op.name, nth, site))
			f.runs++
			op.undo()
			if err != nil {
				return false, false, err
			}
		default:
			op.undo()
		}
		return hit, errno == 0, nil
	}
}

// inspect looks at what op made in spite of a fault, or without one.
func (f *faultAttack) inspect(op operation, hit bool, when string) error {
	what, err := op.check()
	if err != nil {
		return err
	}
	if what != "" {
		f.watch.report([]wire.Finding{{Kind: "wrong-answer", Title: "programs give wrong answers after a fault", Evidence: fmt.Sprintf("%s: %s", when, what)}})
	}
	if !hit || !op.fresh {
		return nil
	}
	// The executable memory may not be what it must be.
	table, err := f.watch.tables.Read()
	if err != nil {
		return err
	}
	f.watch.report(oracle.WritableCode(f.env.Arch, table))
	return nil
}

// steadyState is what a failing operation must leave as it was, as far as it is read in
// no time. For the rest the kernel walks its page tables, which takes it a second where
// every page is mapped by itself.
type steadyState struct{ charged, programs int64 }

// count reads what is counted.
func (a *attack) count() (steadyState, error) {
	n, err := countPrograms()
	if err != nil {
		return steadyState{}, err
	}
	charged, err := a.reader.charged()
	return steadyState{charged: charged, programs: int64(n)}, err
}

// steady waits until the counts don't change for a while, and returns the state.
func (f *faultAttack) steady(ctx context.Context) (steadyState, error) {
	last, err := f.count()
	for same := 0; err == nil && same < 3; {
		time.Sleep(30 * time.Millisecond)
		var now steadyState
		if now, err = f.count(); now == last {
			same++
		} else {
			last, same = now, 0
		}
		if ctx.Err() != nil {
			return last, ctx.Err()
		}
	}
	return last, err
}

// What is told of a state that isn't what it was.
const (
	leftPrograms   = "programs are left behind by a call that failed"
	leftCharge     = "the charge for JIT memory is not what it was before a call that failed"
	leftExecutable = "executable memory is not what it was before a call that failed"
)

// await waits, while programs are freed, until the counts are as wanted, or for as
// long as settle would, and returns them.
func (a *attack) await(ctx context.Context, wanted func(steadyState) bool) (steadyState, error) {
	limit := settleLimit
	if a.lossTold() {
		limit = settleAgain
	}
	var now steadyState
	var l least
	_, err := a.env.awaitFreed(ctx, limit, 10*time.Millisecond, func() (_ progress, err error) {
		now, err = a.count()
		return l.progress(wanted(now), now.charged, now.programs), err
	})
	return now, err
}

// lossTold says whether something was told of that may be lost for good.
func (a *attack) lossTold() bool { return a.watch.wasTold(leftPrograms) || a.watch.wasTold(leftCharge) }

// compare holds the state against what it was, when what is freed is freed, and
// returns it: what is lost for good is told once.
func (f *faultAttack) compare(ctx context.Context, before steadyState, after string) (steadyState, error) {
	now, err := f.await(ctx, func(now steadyState) bool { return now == before })
	if err != nil {
		return now, err
	}
	f.watch.report(oracle.Returned([]oracle.Figure{
		{Name: "programs", Title: leftPrograms, Was: before.programs, Is: now.programs},
		{Name: "bpf_jit_current", Title: leftCharge, Unit: "bytes", Was: before.charged, Is: now.charged},
	}, after))
	return now, nil
}

// compareMemory holds executable memory, and memory of that sort altogether, against
// what they were before anything failed at a site. It returns what they are to be held
// against next: what was told of as lost is not waited for again.
func (f *faultAttack) compareMemory(ctx context.Context, executable, used int64, site string) (int64, int64, error) {
	after := "calls failed at each point of " + site
	now, err := f.watch.await(ctx, executable, leftExecutable, f.watch.executable)
	if err != nil {
		return now, used, err
	}
	f.watch.report(oracle.Returned([]oracle.Figure{{Name: "executable memory", Title: leftExecutable, Unit: "bytes", Was: executable, Is: now}}, after))
	nowUsed, err := f.vmallocUsed(ctx, used+vmallocSpare)
	if err != nil {
		return now, used, err
	}
	if lost := unreturned(used, nowUsed, after); lost != nil {
		f.watch.report(lost)
		used = nowUsed
	}
	return now, used, nil
}
