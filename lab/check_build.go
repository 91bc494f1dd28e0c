// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"errors"

	"packtest/internal/fault"
	"packtest/kconfigs"
	"packtest/kernel/build"
	"packtest/kernel/kconfig"
	"packtest/results"
)

// buildSteps builds one step after the other, in one build tree, and holds each
// against the last one before it that was built. A step that does not build is
// written down, and the next is tried.
func (k *checker) buildSteps(ctx context.Context, arch string) error {
	var last *build.Inspection
	since := -1
	for step := 0; step <= k.applied; step++ {
		c := &cell{arch: arch, variant: results.CheckVariant(step)}
		k.emit(Event{Stage: StageBuild, State: Begun, Arch: arch, Variant: c.variant, Done: step, Total: k.applied + 1})
		started := k.Now()
		kernel, seen, err := k.inspect(ctx, k.Cache, k.toBuild(c), k.buildOptions(c))
		if c.err = k.builtOrNot(c, kernel, own(err, step), started); c.err != nil && fault.Of(c.err) != fault.Kernel {
			return c.err
		}
		c.kernel = kernel
		k.cells = append(k.cells, c)
		if err := k.recordCell(c); err != nil {
			return err
		}
		if c.err != nil {
			continue
		}
		symbols := results.KernelSize(seen.Symbols.Size)
		s := results.CheckStep{Arch: arch, Step: step, Since: since, Warnings: len(seen.Warnings.All()), Size: results.KernelSize(seen.Size), Symbols: &symbols}
		if last != nil {
			s.Functions = growth(seen.Symbols.Since(last.Symbols))
			for _, w := range seen.Warnings.Since(last.Warnings) {
				s.New = append(s.New, results.BuildWarning(w))
			}
		}
		if err := k.update(func(rec *results.Record) { rec.Check.Steps = append(rec.Check.Steps, s) }); err != nil {
			return err
		}
		last, since = seen, step
	}
	return nil
}

func growth(g build.Growth) *results.Growth {
	out := results.Growth{Added: g.Added, Removed: g.Removed, Grown: g.Grown, Shrunk: g.Shrunk, Up: g.Up, Down: g.Down, Most: []results.Grown{}}
	for _, f := range g.Most {
		out.Most = append(out.Most, results.Grown(f))
	}
	return &out
}

// own makes an option that a patch takes away the patch's fault: the same
// configuration was to be had without it.
func own(err error, step int) error {
	var unmet *kconfig.UnmetError
	if step > 0 && errors.As(err, &unmet) {
		return &fault.Error{Kind: fault.Kernel, Err: err}
	}
	return err
}

// buildConfigs builds what is only built: each step, or the last; and where the
// last does not build, what it takes to find the first that does not.
func (k *checker) buildConfigs(ctx context.Context) error {
	for _, x := range k.rec.Check.Configs {
		var err error
		if k.check.EveryPatch {
			err = k.configEvery(ctx, x)
		} else {
			err = k.configLast(ctx, x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *checker) configEvery(ctx context.Context, x results.CheckConfig) error {
	for step := 0; step <= k.applied; step++ {
		if _, err := k.buildConfig(ctx, x, step); err != nil {
			return err
		}
	}
	return nil
}

func (k *checker) configLast(ctx context.Context, x results.CheckConfig) error {
	good, bad := 0, k.applied
	if ok, err := k.buildConfig(ctx, x, bad); ok || err != nil {
		return err
	}
	// Without the series it may not build either, and then it is nobody's fault.
	if ok, err := k.buildConfig(ctx, x, good); !ok || err != nil {
		return err
	}
	for bad-good > 1 {
		step := (good + bad) / 2
		ok, err := k.buildConfig(ctx, x, step)
		if err != nil {
			return err
		}
		if ok {
			good = step
		} else {
			bad = step
		}
	}
	return nil
}

// buildConfig builds a step in a configuration and writes down what came of it.
func (k *checker) buildConfig(ctx context.Context, x results.CheckConfig, step int) (ok bool, err error) {
	c := &cell{arch: x.Arch, variant: results.CheckVariant(step)}
	fragments, err := kconfig.Load(k.Kconfigs, kconfigs.Axis(x.Config)...)
	if err != nil {
		return false, err
	}
	what := k.toBuild(c)
	what.Config = "check-" + x.Config
	if what.Fragments, err = k.loadFragments(x.Arch, "measure"); err != nil {
		return false, err
	}
	for _, f := range fragments {
		what.Fragments = kconfig.Override(what.Fragments, f)
	}
	k.emit(Event{Stage: StageBuild, State: Begun, Arch: x.Arch, Variant: c.variant, Text: "configuration " + x.Config})
	started := k.Now()
	kernel, err := k.build(ctx, k.Cache, what, k.buildOptions(c))
	if err = k.builtOrNot(c, kernel, own(err, step), started); err != nil && fault.Of(err) != fault.Kernel {
		return false, err
	}
	b := results.ConfigBuild{Arch: x.Arch, Config: x.Config, Step: step}
	if err != nil {
		b.Error, b.Fault = err.Error(), fault.Of(err).String()
	} else {
		b.Objects, b.Seconds, b.Cached = kernel.Objects, kernel.Seconds, kernel.Cached
	}
	return err == nil, k.update(func(rec *results.Record) { rec.Check.Builds = append(rec.Check.Builds, b) })
}
