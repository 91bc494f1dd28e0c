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
)

// PatchesFor is the folder of the carried series that fit the base. Only one
// set is carried; a base it does not fit fails at its first patch, by name.
const PatchesFor = "linux-6.1"

// prepared is a plan whose inputs have been found and checked.
type prepared struct {
	base *source.Base
	// stacks maps each variant to its series, in order.
	stacks map[string][]series.Series
	// commits maps each variant to the commit of its stack on the base.
	commits map[string]string
	// fragments maps each architecture to its kconfig fragments.
	fragments map[string][]kconfig.Fragment
	// notes are what a reader should know of the series.
	notes []string
}

// prepare finds the base and the series and applies every stack.
func (l *Lab) prepare(ctx context.Context, p *plan.Plan) (*prepared, error) {
	prep := &prepared{stacks: map[string][]series.Series{}, commits: map[string]string{}, fragments: map[string][]kconfig.Fragment{}}
	in, err := l.openSeries(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, arch := range p.Arches {
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
	if prep.stacks, err = in.stacks(ctx, p, base); err != nil {
		return nil, err
	}
	for _, v := range p.Variants {
		notes, err := series.CheckBase(ctx, base.Git(), base.Commit, in.tree, prep.stacks[v.Name])
		if err != nil {
			return nil, err
		}
		for _, s := range prep.stacks[v.Name] {
			notes = append(notes, s.Notes...)
		}
		for _, n := range notes {
			if !slices.Contains(prep.notes, n) {
				prep.notes = append(prep.notes, n)
				l.note("%s", n)
			}
		}
		commit, err := series.Apply(ctx, base.Git(), base.Commit, prep.stacks[v.Name])
		if err != nil {
			return nil, err
		}
		prep.commits[v.Name] = commit
		l.emit(Event{Stage: StageSeries, State: Finished, Variant: v.Name, Text: describeStack(prep.stacks[v.Name])})
	}
	return prep, nil
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
