// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"packtest/internal/fault"
	"packtest/kernel/series"
	"packtest/kernel/source"
	"packtest/plan"
)

// opened is a plan's series, and the base they are to stand on.
type opened struct {
	// base is the plan's; a tree without a revision is at the commit on which
	// the series say they were made, if they do.
	base string
	// tree is set if that is a git tree of the user's own.
	tree   bool
	series map[string]series.Series // by the stack's element
	spans  map[string]series.Span
}

// openSeries reads what the plan's stacks name, before anything is unpacked:
// ranges, whose patches are read once their tree is at hand, as far as they can
// be.
func (l *Lab) openSeries(ctx context.Context, p *plan.Plan) (*opened, error) {
	in := &opened{base: p.Base, series: map[string]series.Series{}, spans: map[string]series.Span{}}
	rest, tree := strings.CutPrefix(p.Base, "tree:")
	in.tree = tree
	dir, rev, _ := strings.Cut(rest, "@")
	if tree {
		if _, err := source.TreeFolder(rest); err != nil {
			return nil, err
		}
	}
	var list []series.Series
	var spans []series.Span
	for _, v := range p.Variants {
		for _, name := range v.Stack {
			if text, ok := plan.Range(name); ok {
				s, err := series.OpenSpan(ctx, dir, text)
				if err != nil {
					return nil, err
				}
				in.spans[name] = s
				spans = append(spans, s)
				continue
			}
			s, err := l.awaitSeries(ctx, name)
			if err != nil {
				return nil, err
			}
			in.series[name] = s
			list = append(list, s)
		}
	}
	if tree && rev == "" {
		commit, err := series.Place(ctx, dir, list, spans)
		if err != nil {
			return nil, err
		}
		if commit != "" {
			in.base = "tree:" + dir + "@" + commit
		}
	}
	return in, nil
}

// stacks returns each variant's series, in order.
func (in *opened) stacks(ctx context.Context, p *plan.Plan, base *source.Base) (map[string][]series.Series, error) {
	stacks := map[string][]series.Series{}
	for _, v := range p.Variants {
		for i, name := range v.Stack {
			s := in.series[name]
			if span, ok := in.spans[name]; ok {
				var err error
				if s, err = span.Load(ctx, base.Git()); err != nil {
					return nil, err
				}
			}
			if v.First > 0 && i == len(v.Stack)-1 {
				s = s.First(v.First)
			}
			stacks[v.Name] = append(stacks[v.Name], s)
		}
	}
	return stacks, nil
}

// awaitSeries reads a series, unless the context ends first: what comes from a
// pipe or a terminal may be long in coming, and no read is broken off.
func (l *Lab) awaitSeries(ctx context.Context, name string) (series.Series, error) {
	read := make(chan struct{})
	var got series.Series
	var failed error
	go func() {
		defer close(read)
		got, failed = l.loadSeries(name)
	}()
	select {
	case <-read:
		return got, failed
	case <-ctx.Done():
		return series.Series{}, ctx.Err()
	}
}

// loadSeries finds a series by the name of a carried one or by its path.
func (l *Lab) loadSeries(name string) (series.Series, error) {
	if plan.IsPath(name) {
		return series.Open(name)
	}
	if d, ok := plan.Defect(name); ok {
		return series.LoadFile(l.Patches, path.Join(PatchesFor, "defects", d+".patch"))
	}
	dir := path.Join(PatchesFor, name)
	if _, err := fs.Stat(l.Patches, dir); errors.Is(err, fs.ErrNotExist) {
		return series.Series{}, fault.WithHint(fault.Inputf("packtest carries no series called %q", name),
			"the path of a folder or an mbox begins with ./ or /")
	}
	return series.Load(l.Patches, dir)
}
