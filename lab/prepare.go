// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"slices"
	"strings"

	"packtest/kernel/kconfig"
	"packtest/kernel/series"
	"packtest/kernel/source"
	"packtest/plan"
	"packtest/vm"
)

// PatchesFor is the folder of the carried series that fit the base. Only one
// set is carried; a base it does not fit fails at its first patch, by name.
const PatchesFor = "linux-6.1"

// prepared is a plan whose inputs have been found and checked.
type prepared struct {
	base *source.Base
	// tree is set if that is in a git tree of the user's own.
	tree bool
	// stacks maps each variant to its series, in order.
	stacks map[string][]series.Series
	// commits maps each variant to the commit of its stack on the base.
	commits map[string]string
	// fragments maps each architecture to its kconfig fragments.
	fragments map[string][]kconfig.Fragment
	// notes are what a reader should know of the series.
	notes []string
	// geometries are the plan's own.
	geometries geometries
}

// prepare finds the base and the series and applies every stack.
func (l *Lab) prepare(ctx context.Context, p *plan.Plan) (*prepared, error) {
	prep, err := l.read(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, v := range p.Variants {
		if err := l.apply(ctx, prep, v.Name); err != nil {
			return nil, err
		}
	}
	return prep, nil
}

// read finds the base and the series and applies nothing.
func (l *Lab) read(ctx context.Context, p *plan.Plan) (*prepared, error) {
	prep := &prepared{stacks: map[string][]series.Series{}, commits: map[string]string{}, fragments: map[string][]kconfig.Fragment{}}
	var err error
	if prep.geometries, err = readGeometries(p); err != nil {
		return nil, err
	}
	in, err := l.openSeries(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, arch := range p.Arches {
		if err := vm.CheckAccel(p.VM.Accelerator, arch); err != nil {
			return nil, err
		}
		frs, err := l.loadFragments(arch, p.Config)
		if err != nil {
			return nil, err
		}
		prep.fragments[arch] = frs
	}
	l.emit(Event{Stage: StageSource, State: Begun, Text: p.Base})
	base, err := source.Resolve(ctx, l.Cache, in.base, func(what string) {
		l.emit(Event{Stage: StageSource, State: Going, Text: what})
	})
	if err != nil {
		return nil, err
	}
	prep.base = base
	l.emit(Event{Stage: StageSource, State: Finished, Text: base.Name + " " + base.Version})
	prep.tree = in.tree
	if prep.stacks, err = in.stacks(ctx, p, base); err != nil {
		return nil, err
	}
	return prep, nil
}

// apply applies a variant's stack.
func (l *Lab) apply(ctx context.Context, prep *prepared, variant string) error {
	base, stack := prep.base, prep.stacks[variant]
	notes, err := series.CheckBase(ctx, base.Git(), base.Commit, prep.tree, stack)
	if err != nil {
		return err
	}
	for _, s := range stack {
		notes = append(notes, s.Notes...)
	}
	for _, n := range notes {
		if !slices.Contains(prep.notes, n) {
			prep.notes = append(prep.notes, n)
			l.note("%s", n)
		}
	}
	if prep.commits[variant], err = series.Apply(ctx, base.Git(), base.Commit, stack); err != nil {
		return err
	}
	l.emit(Event{Stage: StageSeries, State: Finished, Variant: variant, Text: describeStack(stack)})
	return nil
}

func describeStack(stack []series.Series) string {
	if len(stack) == 0 {
		return "the base as it is"
	}
	var parts []string
	for _, s := range stack {
		parts = append(parts, s.Name)
	}
	return strings.Join(parts, " + ")
}
