// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/kernel/series"
	"packtest/metric"
	"packtest/plan"
	"packtest/results"
)

// BisectRequest asks which patch of a series brings what the series shows.
type BisectRequest struct {
	// Request's plan names the series as its candidate and what the series
	// stands on as its baseline; other variants are left alone.
	Request
	// Finding is the kind of a finding, or part of its title; Metric is a metric
	// that gets worse. With neither it is what the series shows first.
	Finding, Metric string
	// Confidence is how likely an answer has to be.
	Confidence float64
	// Tries is how often the whole series is looked at until it shows something,
	// and Looks how many looks there are at most in all.
	Tries, Looks int
}

// validate checks the request; every error is an input error.
func (q *BisectRequest) validate() error {
	ground, err := q.Plan.Variant(q.Plan.Baseline)
	if err != nil {
		return err
	}
	whole, err := q.Plan.Variant(q.Plan.Candidate)
	if err != nil {
		return err
	}
	n := len(ground.Stack)
	switch {
	case len(whole.Stack) <= n || !slices.Equal(whole.Stack[:n], ground.Stack):
		return fault.WithHint(fault.Inputf("bisect: %s does not stand on %s: there are no patches from the one to the other", whole.Name, ground.Name),
			"the candidate's stack must begin with the baseline's and go on")
	case q.Finding != "" && q.Metric != "":
		return fault.Inputf("bisect: a finding and a metric can't be looked for at once")
	case q.Confidence <= 0.5 || q.Confidence >= 1:
		return fault.Inputf("bisect: a confidence of %g makes no sense: it must lie between 0.5 and 1", q.Confidence)
	case q.Tries < 1 || q.Looks < 2:
		return fault.Inputf("bisect: it takes at least one try and two looks")
	case q.Metric == "":
		return nil
	}
	if err := plan.KnownMetric(q.Metric); err != nil {
		return err
	}
	if d, _ := metric.Lookup(q.Metric); d.Better != metric.Lower && d.Better != metric.Higher {
		return fault.Inputf("bisect: %s only describes; it can't get worse", q.Metric)
	}
	return nil
}

// Bisect searches the patch that brings what a series shows. The record is a
// run's, with the search in it; the error is as Run's.
func (l *Lab) Bisect(ctx context.Context, req BisectRequest) (*results.Record, error) {
	if err := req.validate(); err != nil {
		return nil, err
	}
	p := *req.Plan
	p.Variants = slices.DeleteFunc(slices.Clone(p.Variants), func(v plan.Variant) bool {
		return v.Name != p.Baseline && v.Name != p.Candidate
	})
	p.Scenarios = slices.Clone(p.Scenarios)
	req.Plan = &p
	r, end, err := l.begin(ctx, req.Request)
	if err != nil {
		return nil, err
	}
	defer end()
	b := newBisector(r, req)
	if err := b.findCommits(ctx); err != nil {
		return r.finish(err)
	}
	if err := b.keepSearch(); err != nil {
		return r.finish(err)
	}
	return r.finish(b.carryOut(ctx))
}

// bisector is one search on its way.
type bisector struct {
	*run
	req BisectRequest
	// ground is what the series stands on, series what is searched.
	ground, series []series.Series
	cells          map[string]*cell // by architecture and variant
	accel          map[string]string
	sought         *sought
	search         *compare.Search
	steps          []results.BisectStep // one for every step, looked at or not
	looks          int
	result         results.Bisection
	base           []*outcome // of the first look at the ground, on the arch that is searched

	exists []bool // the step's kernel is in the cache
	// before are the outcomes of boots that were made before the search was cut short.
	before map[oneBoot]*outcome

	// A test puts others here.
	makeCell  func(ctx context.Context, arch, variant string) (*cell, error)
	seek      func(context.Context) error
	makeBoots func(ctx context.Context, boots []*boot, accel map[string]string, told func(*boot, *outcome)) error
}

func newBisector(r *run, req BisectRequest) *bisector {
	b := &bisector{run: r, req: req, cells: map[string]*cell{}}
	b.makeCell, b.makeBoots, b.seek = r.buildCell, r.bootAll, b.findKernels
	b.ground = r.prep.stacks[r.plan.Baseline]
	b.series = r.prep.stacks[r.plan.Candidate][len(b.ground):]
	b.result = results.Bisection{Confidence: req.Confidence, Patches: []string{}, Steps: []results.BisectStep{}, Suspects: []results.Suspects{}}
	b.steps = append(b.steps, results.BisectStep{Variant: r.plan.Baseline})
	for _, s := range b.series {
		for _, p := range s.Patches {
			n := len(b.steps)
			b.result.Patches = append(b.result.Patches, s.Name+"/"+p.Name)
			b.steps = append(b.steps, results.BisectStep{Step: n, Variant: fmt.Sprintf("%s-%d", r.plan.Candidate, n)})
		}
	}
	b.steps[len(b.steps)-1].Variant = r.plan.Candidate
	b.exists = make([]bool, len(b.steps))
	return b
}

// last is the step that is the whole series.
func (b *bisector) last() int { return len(b.steps) - 1 }

// stackAt returns the first step patches of the series on their ground.
func (b *bisector) stackAt(step int) []series.Series {
	stack := slices.Clone(b.ground)
	for _, s := range b.series {
		if step > 0 {
			stack = append(stack, s.First(step))
		}
		step -= len(s.Patches)
	}
	return stack
}

// carryOut looks for something to search, and then for the patch that brings it.
func (b *bisector) carryOut(ctx context.Context) error {
	defer b.removePlugin()
	if err := b.keep("the search has not ended"); err != nil {
		return err
	}
	why, err := b.start(ctx)
	if err != nil {
		return err
	}
	if why != "" {
		return b.keep(why)
	}
	if err := b.seek(ctx); err != nil {
		return err
	}
	for b.looks < b.req.Looks && b.search.Best().P < b.req.Confidence {
		step, ok := b.search.Next(b.cost)
		if !ok {
			break
		}
		if err := b.look(ctx, step); err != nil {
			return err
		}
	}
	return b.keep(b.answer())
}

// buildCost is what a build is held to cost, in looks.
const buildCost = 3

func (b *bisector) cost(step int) float64 {
	if b.exists[step] || b.cells[b.sought.arch+"\x00"+b.steps[step].Variant] != nil {
		return 1
	}
	return 1 + buildCost
}

// look looks at a step once, having built it if it is the first time.
func (b *bisector) look(ctx context.Context, step int) error {
	c, first, err := b.cellAt(ctx, b.sought.arch, step)
	if err != nil {
		return err
	}
	switch {
	case b.sought.build():
		b.count(step, c.err != nil, "")
		return b.keep("the search has not ended")
	case c.err != nil:
		b.skip(step, "it does not build: "+firstLine(c.err.Error()))
		return b.keep("the search has not ended")
	case first && b.twin(step, c):
		return b.keep("the search has not ended")
	}
	cells := []*cell{c}
	if b.sought.noisy() {
		// A time is worth something beside one that was taken at the same time.
		cells = []*cell{b.cells[b.sought.arch+"\x00"+b.plan.Baseline], c}
	}
	outcomes, err := b.boot(ctx, cells)
	if err != nil {
		return err
	}
	base := b.base
	if b.sought.noisy() {
		base = outcomes[cells[0]]
	}
	bad, unclear := b.sought.judge(b.plan, c.variant, base, outcomes[c], b.accel)
	b.count(step, bad, unclear)
	return b.keep("the search has not ended")
}

// count takes what a look showed into the search.
func (b *bisector) count(step int, bad bool, unclear string) {
	s := &b.steps[step]
	b.looks++
	says := "does not show it"
	switch {
	case bad:
		s.Bad++
		b.search.Bad(step)
		says = "shows it"
	case unclear == "":
		s.Good++
		b.search.Good(step)
	default:
		s.Unclear++
		says = "says neither: " + unclear
	}
	if s.Unclear > 1 && s.Unclear > s.Bad+s.Good {
		b.skip(step, unclear)
	}
	b.note("%s, with %d of %d patches, %s; left: %s", s.Variant, step, b.last(), says, b.name(b.search.Span(b.req.Confidence)))
}

// skip leaves a step out, as git bisect skip does.
func (b *bisector) skip(step int, why string) {
	b.steps[step].Skipped = why
	b.search.Blind(step)
	b.note("%s, with %d of %d patches, is left out: %s", b.steps[step].Variant, step, b.last(), why)
}

// twin tells whether a step is the same kernel as another, which acquits the
// patches between the two.
func (b *bisector) twin(step int, c *cell) bool {
	for i := range b.steps {
		other := b.cells[c.arch+"\x00"+b.steps[i].Variant]
		if i == step || other == nil || other.kernel == nil || !other.kernel.Same(c.kernel) {
			continue
		}
		b.steps[step].SameAs = b.steps[i].Variant
		b.search.Same(i, step)
		b.note("%s is the same kernel as %s: the patches between the two are not it", b.steps[step].Variant, b.steps[i].Variant)
		return true
	}
	return false
}

// name says which patches a group is.
func (b *bisector) name(g compare.Suspects) string {
	sure := fmt.Sprintf(" (%s)", percent(g.P))
	switch {
	case g.To == 0:
		return "what the series stands on" + sure
	case g.From == 0:
		return fmt.Sprintf("what the series stands on, or its first %d patches%s", g.To, sure)
	case g.From == g.To:
		return fmt.Sprintf("patch %d, %s%s", g.To, b.result.Patches[g.To-1], sure)
	}
	return fmt.Sprintf("one of the patches %d to %d, %s to %s%s", g.From, g.To, b.result.Patches[g.From-1], b.result.Patches[g.To-1], sure)
}

// percent writes a chance so that it never looks surer than it is.
func percent(p float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", math.Floor(p*1000+1e-6)/10), ".0") + " %"
}

// answer ends the search and says what came of it.
func (b *bisector) answer() string {
	best := b.search.Best()
	switch {
	case best.P < b.req.Confidence:
		return fmt.Sprintf("after %d looks at %s no patch is as likely as %s; what is left is %s", b.looks, b.sought, percent(b.req.Confidence), b.name(b.search.Span(b.req.Confidence)))
	case best.From == 0 && best.To > 0:
		return fmt.Sprintf("%s is there without the series, or comes with its first patches, up to number %d: what it stands on can't be looked at", b.sought, best.To)
	case best.From == 0:
		return fmt.Sprintf("%s is there without the series, too: %s", b.sought, b.name(best))
	}
	best = b.search.Narrow(best)
	b.result.From, b.result.To, b.result.P = best.From, best.To, best.P
	if best.From == best.To {
		return fmt.Sprintf("patch %d of %d, %s, brings %s; %s sure after %d looks", best.To, b.last(), b.result.Patches[best.To-1], b.sought, percent(best.P), b.looks)
	}
	return fmt.Sprintf("one of the patches %d to %d of %d, which can't be told apart, brings %s; %s sure after %d looks",
		best.From, best.To, b.last(), b.sought, percent(best.P), b.looks)
}

// keep puts the search as it stands into the record.
func (b *bisector) keep(why string) error {
	b.result.Why = why
	b.result.Steps = slices.DeleteFunc(slices.Clone(b.steps), func(s results.BisectStep) bool {
		return s.Bad+s.Good+s.Unclear == 0 && s.Skipped == "" && s.SameAs == ""
	})
	b.result.Suspects = []results.Suspects{}
	if b.search != nil {
		for _, g := range b.search.Suspects() {
			b.result.Suspects = append(b.result.Suspects, results.Suspects(g))
		}
	}
	if b.sought != nil {
		b.sought.into(&b.result)
	}
	result := b.result
	return b.update(func(rec *results.Record) {
		rec.Bisection = &result
	})
}
