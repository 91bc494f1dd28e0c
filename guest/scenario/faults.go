// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

const (
	// maxPoints is at how many points, at most, one operation is made to fail.
	maxPoints = 2000
	// pointsAtOnce is after how many faults the kernel is held against what it
	// was: to wait for RCU after each would take most of the time.
	pointsAtOnce = 16
	// largeSteps is how long the long one is of the programs that fail: 20 KiB of
	// code or more. Where there are no pages in a row for its buffer, kvmalloc()
	// falls back on single ones.
	largeSteps = 850
)

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
}

// site is where faults are injected.
type site struct {
	name   string
	choose func(*probe.Faults) error
}

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
	sites := f.sites()
	for _, prepare := range []func(context.Context) ([]operation, error){f.firstOperations, f.operations} {
		operations, err := prepare(ctx)
		if err != nil {
			return err
		}
		if err := f.sweep(ctx, sites, operations); err != nil {
			return err
		}
		a.set.close()
		// What is still being freed must not count as what was there.
		if _, err := a.reader.settle(ctx, a.before, nil); err != nil {
			return err
		}
	}
	return a.finish(ctx)
}

// sweep injects faults into all operations at all sites.
func (f *faultAttack) sweep(ctx context.Context, sites []site, operations []operation) error {
	for _, s := range sites {
		for _, op := range operations {
			if err := f.inject(ctx, s, op); err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, op.name, err)
			}
		}
		if err := f.watch.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// faultAttack makes calls fail.
type faultAttack struct {
	*attack
	injector *probe.Faults
	log      *complaints
	// classic is a classic filter, for an unprivileged user.
	classic *classicOnce
	seed    uint64
}

func newFaultAttack(a *attack, injector *probe.Faults, seed uint64) (*faultAttack, error) {
	f := &faultAttack{attack: a, injector: injector, seed: seed}
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

func (f *faultAttack) close() error { return errors.Join(f.log.close(), f.classic.f.close()) }

// sites returns where this kernel can inject faults.
func (f *faultAttack) sites() []site {
	list := []site{{"slab", (*probe.Faults).Slab}, {"pages", (*probe.Faults).Pages}}
	if f.env.Arch == "x86_64" && exists("/proc/lockdep_stats") {
		f.env.Report.Unmeasured("faults_injected", "functions: the injector sits in a breakpoint and draws a random number there, about which lockdep complains")
		return list
	}
	n := len(list)
	for _, name := range f.injector.Functions {
		if handlesCode(name) {
			list = append(list, site{name, func(p *probe.Faults) error { return p.Function(name, unix.ENOMEM) }})
		}
	}
	if len(list) == n {
		f.env.Report.Unmeasured("faults_injected", "functions: none that writes, protects or allocates code may be made to fail in this kernel")
	}
	return list
}

// handlesCode says whether a function that may be made to fail is, by its name,
// one that allocators call to get, write, protect or give back code, whatever they
// call it. System calls may fail too, on all kernels, and are not meant.
func handlesCode(name string) bool {
	words := []string{"jit", "pack", "text_", "module_alloc", "execmem", "set_memory_", "set_direct_map_"}
	return !strings.Contains(name, "sys_") && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
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
			list = append(list, f.loading("load_subprograms", p))
			break
		}
	}
	// The buffer of more than a few pages may be had in another way.
	list = append(list, f.loading("load_large", longProgram(rand.New(rand.NewPCG(f.seed, 2)), 0, largeSteps)))
	list = append(list, f.dispatching("run_xdp", f.set.programs[len(f.set.programs)-1]))
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

// inject has op fail at one point of s after the other.
func (f *faultAttack) inject(ctx context.Context, s site, op operation) (err error) {
	if err := s.choose(f.injector); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.injector.Off()) }()
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
	// Once without a fault: what is allocated once and kept is there then.
	start, err := f.count()
	if err != nil {
		return err
	}
	if errno := op.call(); errno != 0 {
		return fmt.Errorf("without any fault: %w", errno)
	}
	op.undo()
	if _, err := f.await(ctx, func(now steadyState) bool { return now.charged <= start.charged && now.programs <= start.programs }); err != nil {
		return err
	}
	before, err := f.steady(ctx)
	if err != nil {
		return err
	}
	injected, first := 0, 1
	for nth := 1; nth <= maxPoints; nth++ {
		hit, err := f.point(thread, op, s, nth)
		if err != nil {
			return err
		}
		if hit {
			injected++
		}
		if nth%pointsAtOnce == 0 || !hit {
			if before, err = f.compare(ctx, before, fmt.Sprintf("%s failed at points %d to %d of %s", op.name, first, nth, s.name)); err != nil {
				return err
			}
			if err := f.log.judge(); err != nil {
				return err
			}
			first = nth + 1
		}
		f.env.Report.Progress(nth, 0, "faults")
		if !hit {
			break
		}
	}
	if injected == maxPoints {
		f.env.Report.Unmeasured("faults_injected", fmt.Sprintf("%s, %s: there are more than %d points", s.name, op.name, maxPoints))
	}
	if err := idle(s.name, op.name, injected); err != nil {
		return err
	}
	f.env.Report.Sample(metric.New("faults_injected", map[string]string{"site": s.name, "operation": op.name}, float64(injected)))
	return nil
}

// idle is the error of an injector under which nothing failed although the
// operation cannot do without: loading a program allocates.
func idle(site, operation string, injected int) error {
	if injected == 0 && site == "slab" && strings.HasPrefix(operation, "load") {
		return errors.New("no allocation failed: the kernel's fault injection does nothing")
	}
	return nil
}

// point has op fail at one point, and says whether there is such a point.
func (f *faultAttack) point(thread *probe.ThreadFaults, op operation, s site, nth int) (bool, error) {
	for {
		var errno unix.Errno
		hit, err := thread.During(nth, func() { errno = op.call() })
		if err != nil {
			return false, err
		}
		switch {
		case errno == unix.EAGAIN || errno == unix.EINTR:
			// The verifier gave way to a signal.
			op.undo()
			continue
		case errno != 0 && !hit:
			return false, fmt.Errorf("without any fault: %w", errno)
		case errno == 0:
			// Some allocations may fail.
			what, err := op.check()
			f.runs++
			op.undo()
			if err != nil {
				return false, err
			}
			if what != "" {
				f.watch.report([]wire.Finding{{Kind: "wrong-answer", Title: "programs give wrong answers after a fault",
					Evidence: fmt.Sprintf("%s, with a fault at point %d of %s: %s", op.name, nth, s.name, what)}})
			}
		default:
			op.undo()
		}
		return hit, nil
	}
}

// steadyState is what a failing operation must leave as it was.
type steadyState struct{ charged, programs, executable int64 }

// counted are the parts that are read in no time. For the rest the kernel walks
// its page tables, which takes it a second where every page is mapped by itself.
func (s steadyState) counted() steadyState {
	return steadyState{charged: s.charged, programs: s.programs}
}

// count reads what is counted.
func (f *faultAttack) count() (steadyState, error) {
	n, err := countPrograms()
	if err != nil {
		return steadyState{}, err
	}
	charged, err := f.reader.charged()
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
	if err == nil {
		last.executable, err = f.watch.executable()
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
func (f *faultAttack) await(ctx context.Context, wanted func(steadyState) bool) (steadyState, error) {
	limit := settleLimit
	if f.watch.told[leftPrograms] || f.watch.told[leftCharge] {
		// It may be lost for good.
		limit = settleAgain
	}
	var now steadyState
	var l least
	_, err := f.env.awaitFreed(ctx, limit, 200*time.Millisecond, func() (_ progress, err error) {
		now, err = f.count()
		return l.progress(wanted(now), now.charged, now.programs), err
	})
	return now, err
}

// compare holds the state against what it was, when what is freed is freed, and
// returns it: what is lost for good is told once.
func (f *faultAttack) compare(ctx context.Context, before steadyState, after string) (steadyState, error) {
	now, err := f.await(ctx, func(now steadyState) bool { return now == before.counted() })
	if err != nil {
		return now, err
	}
	if now.executable, err = f.watch.await(ctx, before.executable, leftExecutable, f.watch.executable); err != nil {
		return now, err
	}
	f.watch.report(oracle.Returned([]oracle.Figure{
		{Name: "programs", Title: leftPrograms, Was: before.programs, Is: now.programs},
		{Name: "bpf_jit_current", Title: leftCharge, Unit: "bytes", Was: before.charged, Is: now.charged},
		{Name: "executable memory", Title: leftExecutable, Unit: "bytes", Was: before.executable, Is: now.executable},
	}, after))
	return now, nil
}
