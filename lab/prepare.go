// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"packtest/internal/fault"
	"packtest/kernel/kconfig"
	"packtest/kernel/series"
	"packtest/kernel/source"
	"packtest/plan"
)

// patchesFor is the folder of the carried series that fit the base. Only one
// set is carried; a base it does not fit fails at its first patch, by name.
const patchesFor = "linux-6.1"

// prepared is a plan whose inputs have been found and checked.
type prepared struct {
	base *source.Base
	// stacks maps each variant to its series, in order.
	stacks map[string][]series.Series
	// commits maps each variant to the commit of its stack on the base.
	commits map[string]string
	// fragments maps each architecture to its kconfig fragments.
	fragments map[string][]kconfig.Fragment
}

// prepare finds the base and the series and applies every stack.
func (l *Lab) prepare(ctx context.Context, p *plan.Plan) (*prepared, error) {
	prep := &prepared{stacks: map[string][]series.Series{}, commits: map[string]string{}, fragments: map[string][]kconfig.Fragment{}}
	for _, v := range p.Variants {
		for _, name := range v.Stack {
			s, err := l.loadSeries(name)
			if err != nil {
				return nil, err
			}
			prep.stacks[v.Name] = append(prep.stacks[v.Name], s)
		}
	}
	for _, arch := range p.Arches {
		frs, err := l.loadFragments(arch, p.Config)
		if err != nil {
			return nil, err
		}
		prep.fragments[arch] = frs
	}
	l.emit(Event{Stage: StageSource, State: Begun, Text: p.Base})
	base, err := source.Resolve(ctx, l.Cache, p.Base, func(what string) {
		l.emit(Event{Stage: StageSource, State: Going, Text: what})
	})
	if err != nil {
		return nil, err
	}
	prep.base = base
	l.emit(Event{Stage: StageSource, State: Finished, Text: base.Name + " " + base.Version})
	for _, v := range p.Variants {
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

// loadSeries finds a series by the name of a carried one or by its path.
func (l *Lab) loadSeries(name string) (series.Series, error) {
	if plan.IsPath(name) {
		return series.Load(os.DirFS(filepath.Dir(name)), filepath.Base(name))
	}
	dir := path.Join(patchesFor, name)
	if _, err := fs.Stat(l.Patches, dir); errors.Is(err, fs.ErrNotExist) {
		return series.Series{}, fault.WithHint(fault.Inputf("packtest carries no series called %q", name),
			"the path of a folder begins with ./ or /")
	}
	return series.Load(l.Patches, dir)
}
