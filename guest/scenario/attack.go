// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

// attack is what the scenarios share that try to break the allocator: a fleet,
// what the kernel had before, and a watch that looks for broken rules.
type attack struct {
	*workload
	watch *watch
	// executable is how much could be executed before.
	executable int64
	loads      int
	runs       int
}

// newAttack prepares an attack with up to n programs, if spec says no number.
func (env *Env) newAttack(ctx context.Context, spec wire.ScenarioSpec, n int) (_ *attack, err error) {
	if spec.Programs == 0 {
		spec.Programs = n
	}
	w, err := newWorkload(ctx, env, spec)
	if err != nil {
		env.refused(err)
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close(ctx))
		}
	}()
	// Without it no leak of the charge would be seen.
	if w.reader.noCharge != nil {
		return nil, w.reader.noCharge
	}
	a := &attack{workload: w}
	if a.watch, err = newWatch(ctx, env); err != nil {
		return nil, err
	}
	if err := env.Kernel.KmemleakClear(); err != nil && !errors.Is(err, probe.ErrNoKmemleak) {
		return nil, errors.Join(err, a.watch.close())
	}
	for _, s := range a.watch.before {
		a.executable += int64(len(s.Bytes))
	}
	return a, nil
}

// close ends the attack, whatever its outcome.
func (a *attack) close(ctx context.Context) error {
	return errors.Join(a.workload.close(ctx), a.watch.close())
}

// add loads programs from..to-1 of the fleet.
func (a *attack) add(ctx context.Context, from, to int, makeOne func(i int) (fleet.Program, error)) error {
	for i := from; i < to; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := makeOne(i)
		if err != nil {
			return err
		}
		if err := a.load(p); err != nil {
			return err
		}
	}
	a.env.Report.Progress(a.loads, 0, "programs loaded")
	return nil
}

// load loads a program that any kernel must take. One that doesn't is at fault,
// and what was to be done with the program can't be done: so there is both a
// finding and an error.
func (a *attack) load(p fleet.Program) error {
	if err := a.set.load(a.env, p); err != nil {
		a.env.refused(err)
		return err
	}
	a.loads++
	return nil
}

// refused reports that a load failed, unless it may have been the verifier that
// refused the program, which an older kernel's may, or what the process may have.
func (env *Env) refused(err error) {
	var load *bpf.LoadError
	var errno unix.Errno
	if !errors.As(err, &load) || !errors.As(load, &errno) {
		return
	}
	switch errno {
	case unix.EINVAL, unix.EACCES, unix.E2BIG, unix.EPERM, unix.ENOSYS, unix.EMFILE, unix.ENFILE:
	default:
		env.Report.Finding(wire.Finding{Kind: "load-failed", Title: "the kernel can't load a program that it must take", Evidence: err.Error()})
	}
}

// check runs every program that is loaded.
func (a *attack) check(ctx context.Context) error {
	a.runs += len(a.set.programs)
	return a.set.check(ctx, a.env, a.slots)
}

// checkFast runs every program that BPF_PROG_TEST_RUN can run: setting off
// kprobes takes longer than all else.
func (a *attack) checkFast(ctx context.Context) error {
	var fast loaded
	for _, p := range a.set.programs {
		if p.Type != bpf.Kprobe {
			fast.programs = append(fast.programs, p)
		}
	}
	a.runs += len(fast.programs)
	return fast.check(ctx, a.env, a.slots)
}

// keep frees the programs that want doesn't want.
func (l *loaded) keep(want func(p program) bool) {
	var kept []program
	for _, p := range l.programs {
		if want(p) {
			kept = append(kept, p)
		} else {
			bpf.Close(p.fd)
		}
	}
	l.programs = kept
}

// finish frees everything, sees that all comes back, and reports how much was
// done: a scenario that did nothing proved nothing.
func (a *attack) finish(ctx context.Context) error {
	a.set.close()
	if err := a.returned(ctx, "all programs were freed"); err != nil {
		return err
	}
	if err := a.watch.look(ctx); err != nil {
		return err
	}
	a.watch.report(oracle.Reused(a.watch.moments))
	if err := a.lost(ctx); err != nil {
		return err
	}
	a.env.Report.Sample(metric.New("attack_loads", nil, float64(a.loads)))
	a.env.Report.Sample(metric.New("attack_runs", nil, float64(a.runs)))
	a.env.Report.Sample(metric.New("attack_looks", nil, float64(a.watch.looks)))
	return nil
}

// kmemleakFile is there if the kernel has kmemleak.
const kmemleakFile = "/sys/kernel/debug/kmemleak"

// kmemleakAge is how old memory has to be for kmemleak to look at it.
const kmemleakAge = 5 * time.Second

// lost has the kernel look for memory that nobody points to, if it can.
func (a *attack) lost(ctx context.Context) error {
	for end := time.Now().Add(kmemleakAge + time.Second); exists(kmemleakFile) && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		a.env.Report.Progress(0, 1, "waiting for memory to grow old") // a sign of life
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	reports, err := a.env.Kernel.KmemleakScan()
	if errors.Is(err, probe.ErrNoKmemleak) {
		return nil
	}
	a.watch.report(oracle.Pointed(reports))
	return err
}

// returned holds what there is against what was there before, when nothing of
// the attack's is loaded any more.
func (a *attack) returned(ctx context.Context, what string) error {
	now, err := a.reader.settle(ctx, a.before, nil)
	if err != nil {
		return err
	}
	executable, err := a.watch.await(ctx, a.executable, neverFreed, a.watch.executable)
	if err != nil {
		return err
	}
	locked, err := a.watch.await(ctx, a.watch.locked, stillLocked, a.watch.lockedNow)
	if err != nil {
		return err
	}
	what = fmt.Sprintf("%s (waited up to %v)", what, settleLimit)
	a.watch.report(oracle.Returned([]oracle.Figure{
		{Name: "programs", Title: programsStay,
			Was: int64(a.before.programs), Is: int64(now.programs)},
		{Name: "bpf_jit_current", Title: chargeStays, Unit: "bytes", Was: a.before.charged, Is: now.charged},
		{Name: "executable memory", Title: neverFreed, Unit: "bytes", Was: a.executable, Is: executable},
		{Name: "the direct map's part that can't be written", Title: stillLocked, Unit: "bytes", Was: a.watch.locked, Is: locked},
	}, what))
	return nil
}

// What is told of figures that don't come back.
const (
	programsStay = "programs are still there after their last reference was closed"
	chargeStays  = "the charge for JIT memory is not what it was"
	neverFreed   = "memory that held JIT code is never freed"
	stillLocked  = "memory that held JIT code is not given back writable"
)

// await waits until read returns what is wanted, and returns what it last did. It
// doesn't wait for what was told before.
func (w *watch) await(ctx context.Context, want int64, told string, read func() (int64, error)) (int64, error) {
	var now int64
	var l least
	_, err := w.env.awaitFreed(ctx, settleLimit, time.Second, func() (_ progress, err error) {
		now, err = read()
		return l.progress(now == want || w.wasTold(told), now), err
	})
	return now, err
}

// executable returns how many bytes of vmalloc areas can be executed, not
// counting areas that were not there before and belong to somebody else.
func (w *watch) executable() (int64, error) {
	areas, table, err := w.memory()
	if err != nil {
		return 0, err
	}
	var sum int64
	var new []probe.Area
	for _, a := range oracle.Executable(areas, table) {
		sum += int64(a.Bytes())
		if b, ok := w.before[a.Start]; !ok || uint64(len(b.Bytes)) != a.Bytes() {
			new = append(new, a)
		}
	}
	if len(new) == 0 {
		return sum, nil
	}
	other, err := w.others(areas)
	if err != nil {
		return 0, err
	}
	for _, a := range new {
		for _, r := range other {
			if r.Start == a.Start && r.End == a.End {
				sum -= int64(a.Bytes())
				break
			}
		}
	}
	return sum, nil
}

// errNoSupport is what a load gets whose program the JIT could not take.
const errNoSupport = unix.Errno(524)

// encode returns instructions in this machine's byte order.
func encode(list []bpf.Instruction) []byte {
	var order binary.ByteOrder = binary.LittleEndian
	if runtime.GOARCH == "s390x" {
		order = binary.BigEndian
	}
	return bpf.Encode(list, order)
}
