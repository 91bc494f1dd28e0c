// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

// load loads a fleet, looks at where its code lies, and runs every program. If
// drain comes next, it leaves the fleet to it.
//
// Samples: all of the catalogue's for JIT memory, and load_time_per_program.
// Findings: a wrong answer; code that overlaps, lies outside of any area, or is
// writable or not executable.
func load(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	w, err := newWorkload(ctx, env, spec)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil && env.Next == "drain" {
			env.held = w
			return
		}
		err = errors.Join(err, w.close(ctx))
	}()
	if err := w.load(ctx); err != nil {
		return err
	}
	after, err := w.reader.read()
	if err != nil {
		return err
	}
	table, err := env.Kernel.PageTable()
	if err != nil {
		return err
	}
	if err := checkSizes(w.set.programs, w.infos); err != nil {
		return err
	}
	newTextLayout("loaded", w.infos, after.areas, table).report(env)
	for _, f := range oracle.Scattered(oracle.Images(w.infos)) {
		env.Report.Finding(f)
	}
	w.reportGrowth(after)
	env.Report.Sample(metric.New("load_time_per_program", nil, float64(w.set.spent.Nanoseconds())/float64(len(w.set.programs))))
	return w.set.check(ctx, env, w.slots)
}

// workload is a fleet on its way through a kernel: what load and drain share.
type workload struct {
	env    *Env
	n      int
	fleet  *fleet.Fleet
	slots  *bpf.Array
	reader *reader
	before figures
	set    loaded
	infos  []bpf.Info
}

// newWorkload prepares the kernel, warms it up, and reads the figures before.
func newWorkload(ctx context.Context, env *Env, spec wire.ScenarioSpec) (_ *workload, err error) {
	n, err := programs(spec)
	if err != nil {
		return nil, err
	}
	w := &workload{env: env, n: n}
	if w.fleet, err = fleet.New(env.Arch, spec.Seed); err != nil {
		return nil, err
	}
	if err := env.prepare(n); err != nil {
		return nil, err
	}
	w.reader = newReader(env)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close(ctx))
		}
	}()
	if w.slots, err = bpf.NewArray(slotsBytes(n)); err != nil {
		return nil, err
	}
	w.fleet.Slots = w.slots.FD()
	cold, err := w.reader.read()
	if err != nil {
		return nil, err
	}
	if err := env.warmUp(ctx, w.fleet, w.slots); err != nil {
		return nil, err
	}
	return w, w.warmedUp(ctx, cold)
}

// load loads the fleet and asks the kernel about it.
func (w *workload) load(ctx context.Context) error {
	if err := w.set.loadMany(ctx, w.env, w.n, w.fleet.Program); err != nil {
		return err
	}
	var err error
	w.infos, err = w.set.infos()
	return err
}

// reportGrowth reports what loading has added to the kernel's own counters.
func (w *workload) reportGrowth(after figures) {
	w.env.Report.Sample(metric.New("vmalloc_used", nil, float64(after.vmallocUsed-w.before.vmallocUsed)))
	if w.reader.noCharge != nil {
		w.env.Report.Unmeasured("jit_charged", w.reader.noCharge.Error())
		return
	}
	w.env.Report.Sample(metric.New("jit_charged", nil, float64(after.charged-w.before.charged)))
}

// close frees everything and waits until it is gone, so that the next scenario
// finds the kernel as this one did. That something stays is drain's to judge.
func (w *workload) close(ctx context.Context) error {
	var err error
	held := heldBy(w.infos, nil)
	if areas, e := w.env.Kernel.Vmalloc(); e == nil {
		held = heldBy(w.infos, areas)
	}
	w.set.close()
	if w.slots != nil {
		err = w.slots.Close()
	}
	if w.before.areas != nil {
		if _, e := w.reader.settle(ctx, w.before, held); !errors.Is(e, errTooSlow) {
			err = errors.Join(err, e) // that other was told, and ends what comes next
		}
	}
	w.reader.close()
	return err
}

// sizeShares are the fleet's shape: at least and at most such a share of
// programs has less machine code than so many bytes. The programs are the same on
// every kernel, and what JITs make of them is not: 41 % have less than 500 bytes
// on s390x with Linux 6.12.
var sizeShares = []struct {
	bytes    uint32
	min, max float64
}{{500, 0.35, 0.6}, {2048, 0.62, 0.82}, {80 << 10, 1, 1}}

// checkSizes sees to it that the kernel's JIT made of the fleet what was meant:
// otherwise the figures would be another fleet's. A few programs show no shape.
func checkSizes(programs []program, infos []bpf.Info) error {
	if len(infos) < 200 {
		return nil
	}
	for i, in := range infos {
		if len(in.Functions) != programs[i].Functions {
			return fmt.Errorf("program %d: the kernel tells of %d functions, it has %d", programs[i].Index, len(in.Functions), programs[i].Functions)
		}
	}
	for _, s := range sizeShares {
		n := 0
		for _, in := range infos {
			if in.JITBytes < s.bytes {
				n++
			}
		}
		if share := float64(n) / float64(len(infos)); share < s.min || share > s.max {
			return fmt.Errorf("%.0f %% of the programs have less than %d bytes of machine code; a fleet has %.0f to %.0f %%",
				100*share, s.bytes, 100*s.min, 100*s.max)
		}
	}
	return nil
}

// since returns the time from start until now on env's clock.
func (env *Env) since(start time.Time) time.Duration { return env.Now().Sub(start) }
