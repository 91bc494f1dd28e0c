// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"errors"
	"slices"
	"strings"

	"packtest/guest/wire"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/kernel/build"
	"packtest/kernel/checkpatch"
	"packtest/kernel/series"
	"packtest/plan"
	"packtest/results"
)

// CheckRequest is what is asked of a check.
type CheckRequest struct {
	Check   *plan.Check
	Command []string
}

// Check looks at a series patch by patch: it applies, checks, builds and boots
// one patch after the other, on what the series stands on. The record is a run's,
// with what was seen in it; the error is as Run's. A series of which not even
// the first patch applies is an input error.
func (l *Lab) Check(ctx context.Context, req CheckRequest) (*results.Record, error) {
	if err := req.Check.Validate(); err != nil {
		return nil, err
	}
	k := &checker{check: req.Check, inspect: build.Inspect, build: build.Build}
	k.boot = k.bootAccelerated
	return k.start(ctx, l, req.Command)
}

// start begins a run and carries the check out in it.
func (k *checker) start(ctx context.Context, l *Lab, command []string) (*results.Record, error) {
	p := *k.check.Plan
	r, end, err := l.beginWith(ctx, Request{Plan: &p, Command: command}, func(ctx context.Context, p *plan.Plan) (*prepared, error) {
		return k.prepare(ctx, l, p)
	})
	if err != nil {
		return nil, err
	}
	defer end()
	k.run = r
	return r.finish(k.carryOut(ctx))
}

// checker is one check on its way.
type checker struct {
	*run
	check  *plan.Check
	series series.Series // all of what is checked
	// applied is how many of its patches apply, and refused why the next does not.
	applied int
	refused *series.ApplyError

	// A test puts others here.
	inspect func(context.Context, *cache.Cache, build.Cell, build.Options) (*build.Kernel, *build.Inspection, error)
	build   func(context.Context, *cache.Cache, build.Cell, build.Options) (*build.Kernel, error)
	boot    func(context.Context, []*boot) error
}

// prepare makes of the plan's one variant one for every step.
func (k *checker) prepare(ctx context.Context, l *Lab, p *plan.Plan) (*prepared, error) {
	whole := p.Variants[0]
	ground := plan.Variant{Name: results.CheckVariant(0), Stack: whole.Stack[:len(whole.Stack)-1]}
	p.Variants = []plan.Variant{ground, whole}
	prep, err := l.read(ctx, p)
	if err != nil {
		return nil, err
	}
	stack := prep.stacks[whole.Name]
	below := stack[:len(stack)-1]
	k.series = stack[len(below)]
	if err := l.apply(ctx, prep, ground.Name); err != nil {
		return nil, err
	}
	if err := k.apply(ctx, l, prep, whole.Name, below); err != nil {
		return nil, err
	}
	list, err := prep.base.Git().Run(ctx, "rev-list", "--reverse", prep.commits[ground.Name]+".."+prep.commits[whole.Name])
	if err != nil {
		return nil, err
	}
	commits := strings.Fields(list)
	if len(commits) != k.applied {
		return nil, fault.Harnessf("check %s: %d patches became %d commits", k.series.Name, k.applied, len(commits))
	}
	delete(prep.stacks, whole.Name)
	delete(prep.commits, whole.Name)
	p.Variants = []plan.Variant{ground}
	for i, commit := range commits {
		v := plan.Variant{Name: results.CheckVariant(i + 1), Stack: whole.Stack, First: i + 1}
		p.Variants = append(p.Variants, v)
		part := k.series.First(i + 1)
		part.Name = k.series.Name // a compiler error says which of its patches it may come from
		prep.stacks[v.Name] = append(slices.Clone(below), part)
		prep.commits[v.Name] = commit
	}
	p.Baseline, p.Candidate = ground.Name, results.CheckVariant(k.applied)
	return prep, nil
}

// apply applies as many patches of the series as apply.
func (k *checker) apply(ctx context.Context, l *Lab, prep *prepared, variant string, below []series.Series) error {
	k.applied = len(k.series.Patches)
	err := l.apply(ctx, prep, variant)
	if !errors.As(err, &k.refused) {
		return err
	}
	k.applied = slices.IndexFunc(k.series.Patches, func(p series.Patch) bool { return p.Name == k.refused.Patch })
	if k.refused.Series != k.series.Name || k.applied < 1 {
		return fault.WithHint(err, "nothing can be checked: is the base, or what the series stands on, the right one?")
	}
	prep.stacks[variant] = append(slices.Clone(below), k.series.First(k.applied))
	return l.apply(ctx, prep, variant)
}

// carryOut looks at everything, what is quick first.
func (k *checker) carryOut(ctx context.Context) error {
	if err := k.begin(ctx); err != nil {
		return err
	}
	if err := k.style(ctx); err != nil {
		return err
	}
	for _, arch := range k.plan.Arches {
		if err := k.buildSteps(ctx, arch); err != nil {
			return err
		}
	}
	if err := k.bootSteps(ctx); err != nil {
		return err
	}
	return k.buildConfigs(ctx)
}

// name is what the user calls the series, or else what its file is called.
func (k *checker) name() string {
	if v := k.check.Variants[0].Name; v != plan.SeriesVariant {
		return v
	}
	return k.series.Name
}

// begin writes down what is going to be looked at.
func (k *checker) begin(ctx context.Context) error {
	c := results.Check{Series: k.name(), Arches: k.plan.Arches, EveryPatch: k.check.EveryPatch, Steps: []results.CheckStep{}}
	for i, p := range k.series.Patches {
		one := results.CheckPatch{Subject: p.Subject, Applied: i < k.applied}
		if i == k.applied {
			one.Error = k.refused.Error()
		}
		c.Patches = append(c.Patches, one)
	}
	missing := map[results.CheckKind]string{results.Checkpatch: checkpatch.Missing(ctx, k.prep.base)}
	version, err := build.Sparse(ctx)
	if err != nil {
		return err
	}
	if version == "" {
		missing[results.NoSparse] = "sparse is not installed; as root: apt-get install --no-install-recommends sparse"
	}
	for _, kind := range results.CheckKinds() {
		if why := missing[kind]; why != "" {
			c.NotMeasured = append(c.NotMeasured, results.CheckGap{Kind: kind, Why: why})
		} else {
			c.Planned = append(c.Planned, kind)
		}
	}
	for _, arch := range k.plan.Arches {
		for _, config := range k.check.AxisOf(arch) {
			c.Configs = append(c.Configs, results.CheckConfig{Arch: arch, Config: config})
		}
	}
	return k.update(func(rec *results.Record) {
		rec.Check = &c
		// As a whole, not step by step.
		rec.Provenance.Series = nil
		for _, s := range append(slices.Clone(k.prep.stacks[k.plan.Baseline]), k.series) {
			rec.Provenance.Series = append(rec.Provenance.Series, seriesRecord(s))
		}
		if version != "" {
			rec.Provenance.Tools["sparse"] = version
		}
	})
}

// style has checkpatch.pl look at what applies.
func (k *checker) style(ctx context.Context) error {
	if !slices.Contains(k.rec.Check.Planned, results.Checkpatch) {
		return nil
	}
	var commits []string
	for i := range k.applied {
		commits = append(commits, k.prep.commits[results.CheckVariant(i+1)])
	}
	k.emit(Event{Stage: StageSeries, State: Going, Text: "checkpatch"})
	reports, err := checkpatch.Run(ctx, k.Cache, k.prep.base, commits, func(what string) { k.note("%s", what) })
	if err != nil {
		return err
	}
	return k.update(func(rec *results.Record) {
		for i, r := range reports {
			rec.Check.Patches[i].Style = &results.Style{Errors: r.Errors, Warnings: r.Warnings, Checks: r.Checks, Text: r.Text}
		}
	})
}

// bootSteps boots every kernel once that no earlier step has.
func (k *checker) bootSteps(ctx context.Context) error {
	var boots []*boot
	for _, b := range scheduleOnce(k.plan, k.cells) {
		if rc := cellOf(k.rec, b.arch, b.variant); rc.SameAs == "" {
			boots = append(boots, b)
			continue
		}
		k.emit(Event{Stage: StageBoot, State: Noted, Arch: b.arch, Variant: b.variant, Text: "not booted: its kernel is an earlier one"})
	}
	if len(boots) == 0 {
		return nil // nothing was built; the record says so
	}
	return k.boot(ctx, boots)
}

func (k *checker) bootAccelerated(ctx context.Context, boots []*boot) error {
	accel, err := k.accelerators(ctx)
	if err != nil {
		return err
	}
	return k.bootAll(ctx, boots, accel, nil)
}

// scheduleOnce lists one boot of every cell with all of the plan's scenarios.
func scheduleOnce(p *plan.Plan, cells []*cell) []*boot {
	var job wire.Job
	for _, s := range p.Scenarios {
		job.Scenarios = append(job.Scenarios, p.Spec(s))
	}
	var boots []*boot
	for _, c := range cells {
		if c.kernel != nil {
			boots = append(boots, &boot{cell: c, number: 1, job: job})
		}
	}
	return boots
}
