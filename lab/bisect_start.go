// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/kernel/build"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

// start looks at the whole series, and at what it stands on, until the series
// shows something to search. Why says why there is nothing to search; "" if there
// is.
func (b *bisector) start(ctx context.Context) (why string, err error) {
	whole, tries := map[string][]*outcome{}, map[string][][]*outcome{}
	for try := range b.req.Tries {
		var cells []*cell
		for _, arch := range b.plan.Arches {
			c, why, err := b.ends(ctx, arch, try == 0)
			if err != nil || why != "" {
				return why, err
			}
			cells = append(cells, c...)
		}
		if b.find(); b.sought != nil { // it does not build
			break
		}
		if b.accel == nil {
			if b.accel, err = b.accelerators(ctx); err != nil {
				return "", err
			}
		}
		outcomes, err := b.boot(ctx, cells)
		if err != nil {
			return "", err
		}
		for _, c := range cells {
			if c.variant == b.plan.Baseline {
				whole[c.arch] = outcomes[c]
			} else {
				tries[c.arch] = append(tries[c.arch], outcomes[c])
			}
		}
		if b.find(); b.sought != nil {
			break
		}
	}
	if b.sought == nil {
		return b.nothing(), nil
	}
	b.base = whole[b.sought.arch]
	b.note("looking for %s", b.sought)
	b.search = compare.NewSearch(b.last(), b.sought.sign())
	b.firstLooks(tries[b.sought.arch])
	b.narrow()
	return "", nil
}

// ends builds the series, and its ground too if asked, for arch. Why says that
// there is nothing to search between them.
func (b *bisector) ends(ctx context.Context, arch string, both bool) (cells []*cell, why string, err error) {
	steps := []int{b.last()}
	if both {
		steps = []int{0, b.last()}
	}
	for _, step := range steps {
		c, _, err := b.cellAt(ctx, arch, step)
		switch {
		case err != nil:
			return nil, "", err
		case c.err != nil && step == 0:
			return nil, fmt.Sprintf("%s does not build for %s: nothing can be held against the series", c.variant, arch), nil
		case c.err == nil:
			cells = append(cells, c)
		}
	}
	return cells, "", nil
}

// cellAt returns the kernel of a step, which it builds if it must; first is set
// if it did.
func (b *bisector) cellAt(ctx context.Context, arch string, step int) (c *cell, first bool, err error) {
	variant := b.steps[step].Variant
	if c := b.cells[arch+"\x00"+variant]; c != nil {
		return c, false, nil
	}
	if c, err = b.makeCell(ctx, arch, variant); err == nil {
		b.cells[arch+"\x00"+variant] = c
	}
	return c, true, err
}

// findCommits tells the run what each step is made of. Applying a series makes a
// commit of every patch, so the steps are the whole's ancestors.
func (b *bisector) findCommits(ctx context.Context) error {
	out, err := b.prep.base.Git().Run(ctx, "rev-list", "--first-parent", fmt.Sprintf("--max-count=%d", b.last()+1), b.prep.commits[b.plan.Candidate])
	if err != nil {
		return err
	}
	commits := strings.Fields(out)
	if len(commits) != b.last()+1 || commits[b.last()] != b.prep.commits[b.plan.Baseline] {
		return fault.Harnessf("bisect: %s is not %d patches on %s", b.plan.Candidate, b.last(), b.plan.Baseline)
	}
	for step, s := range b.steps {
		b.prep.stacks[s.Variant], b.prep.commits[s.Variant] = b.stackAt(step), commits[b.last()-step]
	}
	return nil
}

// findKernels tells which steps need not be built.
func (b *bisector) findKernels(ctx context.Context) (err error) {
	for step, s := range b.steps {
		if b.exists[step], err = build.Exists(ctx, b.Cache, b.toBuild(&cell{arch: b.sought.arch, variant: s.Variant})); err != nil {
			return err
		}
	}
	return nil
}

// boot boots each of the kernels once by the plan, and returns what came of it.
func (b *bisector) boot(ctx context.Context, cells []*cell) (map[*cell][]*outcome, error) {
	if err := b.planFor(cells); err != nil {
		return nil, err
	}
	boots := schedule(b.plan, cells)
	for _, bt := range boots {
		bt.keep = false // an outcome of another day is no look
		for _, done := range b.rec.Boots {
			if done.Arch == bt.arch && done.Variant == bt.variant {
				bt.number++
			}
		}
	}
	out, boots, err := b.recall(boots)
	if err != nil || len(boots) == 0 {
		return out, err
	}
	var mu sync.Mutex
	var lost error
	err = b.makeBoots(ctx, boots, b.accel, func(bt *boot, o *outcome) {
		mu.Lock()
		defer mu.Unlock()
		out[bt.cell] = append(out[bt.cell], o)
		lost = errors.Join(lost, b.keepLook(o))
	})
	err = errors.Join(err, lost)
	for _, list := range out {
		for _, o := range list {
			if err == nil && o.harness != nil {
				err = o.harness
			}
		}
	}
	return out, err
}

// planFor puts what the kernels are to do into the record's plan.
func (b *bisector) planFor(cells []*cell) error {
	one := *b.plan
	return b.update(func(rec *results.Record) {
		for _, c := range cells {
			one.Arches, one.Variants = []string{c.arch}, []plan.Variant{{Name: c.variant}}
			for _, p := range planned(&one) {
				if !slices.ContainsFunc(rec.Planned, func(q results.Planned) bool {
					return q.Arch == p.Arch && q.Variant == p.Variant && q.Scenario == p.Scenario
				}) {
					rec.Planned = append(rec.Planned, p)
				}
			}
		}
	})
}

// find sets what is sought, if the record shows it.
func (b *bisector) find() {
	for _, arch := range b.plan.Arches {
		s := &sought{arch: arch}
		for _, f := range b.rec.Findings {
			if f.Arch == arch && f.Variant == b.plan.Baseline {
				s.known.Add(anywhere(f))
			}
		}
		if f := b.finding(s); f != nil {
			s.finding = f
		} else if c := b.change(arch); c != nil {
			s.change = c
		} else {
			continue
		}
		b.sought = s
		return
	}
}

// finding returns the first finding on the series that the request asks for. What
// may be the machine's doing as well is searched only if it is asked for.
func (b *bisector) finding(s *sought) *results.Finding {
	if b.req.Metric != "" {
		return nil
	}
	var first *results.Finding
	for i, f := range b.rec.Findings {
		unclear := b.req.Finding == "" && (f.Kind == results.ScenarioFailed || f.Kind == string(vm.Timeout))
		if f.Arch != s.arch || f.Variant != b.plan.Candidate || unclear || s.known.Has(anywhere(f)) || !asked(f, b.req.Finding) {
			continue
		}
		if first == nil || f.Boot < first.Boot || f.Boot == first.Boot && f.Seconds < first.Seconds {
			first = &b.rec.Findings[i]
		}
	}
	if first != nil {
		f := *first
		return &f
	}
	return nil
}

// asked tells whether a finding is of the kind, or has the text in its title.
func asked(f results.Finding, text string) bool {
	return f.Kind == text || strings.Contains(strings.ToLower(f.Title), strings.ToLower(text))
}

// change returns the first metric that the series makes worse: the one that is
// asked for, or one that weighs.
func (b *bisector) change(arch string) *compare.Change {
	if b.req.Finding != "" {
		return nil
	}
	for _, c := range compare.Between(b.rec, b.plan.Baseline, b.plan.Candidate).Changes {
		if c.Arch == arch && c.Verdict == compare.Worse && (c.Weighs && b.req.Metric == "" || c.Metric == b.req.Metric) {
			return &c
		}
	}
	return nil
}

// nothing says why there is nothing to search.
func (b *bisector) nothing() string {
	what := "nothing that what it stands on does not show"
	switch {
	case b.req.Finding != "":
		what = fmt.Sprintf("no finding of kind %q, or with that in its title, that what it stands on does not show", b.req.Finding)
	case b.req.Metric != "":
		what = fmt.Sprintf("no worse %s", b.req.Metric)
	}
	why := fmt.Sprintf("the whole series showed %s, on %s, in %d looks: there is nothing to search", what, strings.Join(b.plan.Arches, " and "), b.req.Tries)
	if list := b.unclear(); len(list) > 0 {
		why += "; but not all of them were clear: " + strings.Join(list, ", ")
	}
	return why
}

// unclear names the boots of the series that prove nothing by showing nothing.
func (b *bisector) unclear() []string {
	var list []string
	for _, bt := range b.rec.Boots {
		if bt.Variant == b.plan.Candidate && bt.Ending != results.EndingDone {
			list = append(list, fmt.Sprintf("boot %d on %s ended in %s", bt.Number, bt.Arch, bt.Ending))
		}
	}
	for _, f := range b.rec.Findings {
		if f.Variant == b.plan.Candidate && f.Kind == results.ScenarioFailed {
			list = append(list, fmt.Sprintf("boot %d on %s could not carry out %s", f.Boot, f.Arch, f.Scenario))
		}
	}
	return list
}

// firstLooks takes what led to the search into it.
func (b *bisector) firstLooks(tries [][]*outcome) {
	ground, whole := b.cells[b.sought.arch+"\x00"+b.plan.Baseline], b.cells[b.sought.arch+"\x00"+b.plan.Candidate]
	if whole.err == nil && whole.kernel.SHA256 == ground.kernel.SHA256 {
		b.search.Same(0, b.last())
	}
	if b.sought.build() {
		b.count(0, false, "")
		b.count(b.last(), true, "")
		return
	}
	if b.sought.change != nil {
		b.search.RuleOut(0) // it is what the metric is compared with
	} else {
		bad, unclear := b.sought.judge(b.plan, b.plan.Baseline, b.base, b.base, b.accel)
		b.count(0, bad, unclear)
	}
	for _, outcomes := range tries {
		bad, unclear := b.sought.judge(b.plan, b.plan.Candidate, b.base, outcomes, b.accel)
		b.count(b.last(), bad, unclear)
	}
}

// narrow leaves out of the plan what further looks have no use for: other
// architectures, and what came after the thing was seen or in other boots. What
// came before it in the same boot may have led to it.
func (b *bisector) narrow() {
	boot := b.sought.boot(b.rec, b.plan.Candidate)
	last := -1
	for _, name := range strings.Split(b.sought.scenario(), "+") {
		last = max(last, slices.Index(boot, name))
	}
	p := *b.plan
	p.Arches = []string{b.sought.arch}
	if !b.sought.noisy() {
		p.Boots = 1
	}
	if last >= 0 { // what every boot has, such as its time, is in none of them
		p.Scenarios = slices.DeleteFunc(slices.Clone(p.Scenarios), func(s plan.Scenario) bool {
			return !slices.Contains(boot[:last+1], s.Name)
		})
	}
	b.plan = &p
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
