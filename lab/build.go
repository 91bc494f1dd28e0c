// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/kconfigs"
	"packtest/kernel/build"
	"packtest/kernel/kconfig"
	"packtest/results"
)

// cell is one kernel of the run.
type cell struct {
	arch, variant string
	kernel        *build.Kernel
	configSum     string
	err           error // why there is no kernel
}

// loadFragments reads the fragments of one architecture and configuration, in
// the order in which they are merged.
func (l *Lab) loadFragments(arch, config string) ([]kconfig.Fragment, error) {
	return kconfig.Load(l.Kconfigs, kconfigs.Fragments(arch, config)...)
}

// buildCells builds the run's kernels one after the other, variants of one
// architecture in a row, so that each build compiles only what differs.
// A kernel that does not build is a finding, and the others are still built.
func (r *run) buildCells(ctx context.Context) error {
	for _, arch := range r.plan.Arches {
		for _, v := range r.plan.Variants {
			if _, err := r.buildCell(ctx, arch, v.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// buildScenario is the scenario of the finding that a kernel does not build.
const buildScenario = "build"

// buildCell builds one kernel and puts it, or that it could not be built, into
// the record. The error is what ends the run.
func (r *run) buildCell(ctx context.Context, arch, variant string) (*cell, error) {
	if c := r.builtBefore(arch, variant); c != nil {
		r.cells = append(r.cells, c)
		return c, nil
	}
	c := &cell{arch: arch, variant: variant}
	r.emit(Event{Stage: StageBuild, State: Begun, Arch: arch, Variant: variant})
	c.kernel, c.err = r.buildOne(ctx, c)
	if c.err != nil && fault.Of(c.err) != fault.Kernel {
		return nil, c.err
	}
	r.cells = append(r.cells, c)
	return c, r.recordCell(c)
}

func (r *run) buildOne(ctx context.Context, c *cell) (*build.Kernel, error) {
	started := r.Now()
	k, err := build.Build(ctx, r.Cache, r.toBuild(c), r.buildOptions(c))
	return k, r.builtOrNot(c, k, err, started)
}

// toBuild is a cell as the builder is told of it.
func (r *run) toBuild(c *cell) build.Cell {
	return build.Cell{
		Arch: c.arch, Variant: c.variant, Config: r.plan.Config,
		Base: r.prep.base, Commit: r.prep.commits[c.variant],
		Stack: r.prep.stacks[c.variant], Fragments: r.prep.fragments[c.arch],
	}
}

func (r *run) buildOptions(c *cell) build.Options {
	return build.Options{
		Jobs: runtime.NumCPU(),
		Progress: func(p build.Progress) {
			r.emit(Event{Stage: StageBuild, State: Going, Arch: c.arch, Variant: c.variant, Text: p.What, Done: p.Done, Total: p.Total, Left: max(0, p.ETA)})
		},
		Say: func(what string) {
			r.emit(Event{Stage: StageBuild, State: Noted, Arch: c.arch, Variant: c.variant, Text: what})
		},
	}
}

// builtOrNot tells how a build ended, and returns its error.
func (r *run) builtOrNot(c *cell, k *build.Kernel, err error, started time.Time) error {
	if fault.Of(err) == fault.Interrupted {
		r.emit(Event{Stage: StageBuild, State: Noted, Arch: c.arch, Variant: c.variant, Text: "interrupted"})
		return err
	}
	if err != nil {
		r.emit(Event{Stage: StageBuild, State: Failed, Arch: c.arch, Variant: c.variant, Text: err.Error()})
		return err
	}
	text := fmt.Sprintf("%d objects compiled in %s", k.Objects, r.Now().Sub(started).Round(time.Second))
	if k.Cached {
		text = "from the cache"
	}
	r.emit(Event{Stage: StageBuild, State: Finished, Arch: c.arch, Variant: c.variant, Text: text})
	return nil
}

// recordCell writes a built cell, or the finding that it could not be built,
// into the record and keeps its effective configuration beside it.
func (r *run) recordCell(c *cell) error {
	rc := results.Cell{Arch: c.arch, Variant: c.variant, Config: r.plan.Config, Commit: r.prep.commits[c.variant]}
	for _, s := range r.prep.stacks[c.variant] {
		rc.Stack = append(rc.Stack, s.Name)
	}
	if c.err != nil {
		rc.Error, rc.Fault = c.err.Error(), fault.Of(c.err).String()
		return r.update(func(rec *results.Record) {
			rec.Cells = append(rec.Cells, rc)
			rec.Findings = append(rec.Findings, results.Finding{Arch: c.arch, Variant: c.variant, Scenario: buildScenario,
				Kind: "build", Title: "the kernel does not build", Evidence: c.err.Error()})
		})
	}
	k := c.kernel
	config, err := k.EffectiveConfig()
	if err != nil {
		return fmt.Errorf("keep the configuration of %s %s: %w", c.arch, c.variant, err)
	}
	rc.ConfigFile = filepath.Join("configs", c.arch+"-"+c.variant+".config")
	dst := filepath.Join(r.dir, rc.ConfigFile)
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return fmt.Errorf("keep the configuration of %s %s: %w", c.arch, c.variant, err)
	}
	if err := cache.WriteFile(dst, []byte(config), 0o644); err != nil {
		return err
	}
	if c.configSum, err = cache.FileSum(dst); err != nil {
		return err
	}
	rc.Modules = k.ModulesSHA256
	rc.ConfigSHA256, rc.Image, rc.Objects, rc.BuildSeconds, rc.Incremental, rc.Cached = c.configSum, k.SHA256, k.Objects, k.Seconds, k.Incremental, k.Cached
	for _, other := range r.cells {
		if other != c && other.arch == c.arch && other.kernel != nil && other.kernel.Same(k) {
			rc.SameAs = other.variant
			break
		}
	}
	if err := r.putCell(rc); err != nil {
		return err
	}
	return r.update(func(rec *results.Record) { rec.Provenance.Tools["gcc-"+c.arch] = k.Toolchain })
}
