// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"fmt"
	"slices"

	"packtest/compare"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

// sought is what a search is for: a finding, or a metric that got worse.
type sought struct {
	arch    string
	finding *results.Finding
	change  *compare.Change
	// known is what the series' ground showed when it was first looked at.
	known compare.Known
}

// anywhere returns a finding as one of whichever scenario: a search looks for it
// in one, and it may have been seen in another.
func anywhere(f results.Finding) results.Finding {
	f.Scenario = ""
	return f
}

// String names it in messages.
func (s *sought) String() string {
	if s.change != nil {
		return fmt.Sprintf("a worse %s on %s (%s)", s.change.Metric, s.arch, compare.Percent(*s.change))
	}
	return fmt.Sprintf("%q on %s (%s, %s)", s.finding.Title, s.arch, s.finding.Kind, s.finding.Scenario)
}

// into describes it in the record.
func (s *sought) into(b *results.Bisection) {
	b.Arch = s.arch
	if c := s.change; c != nil {
		b.Metric, b.Scenario, b.Title = c.Metric, c.Scenario, compare.Percent(*c)
		return
	}
	b.Kind, b.Title, b.Scenario = s.finding.Kind, s.finding.Title, s.finding.Scenario
}

// build tells whether it is that the kernel doesn't build.
func (s *sought) build() bool { return s.finding != nil && s.finding.Scenario == buildScenario }

// noisy tells whether it takes a test of several values.
func (s *sought) noisy() bool { return s.change != nil && !s.change.Exact }

func (s *sought) sign() compare.Sign {
	switch {
	case s.noisy():
		return compare.Timed()
	case s.change != nil || s.build():
		return compare.Counted()
	}
	return compare.Seen()
}

// scenario returns the scenario in which it was seen; several are joined by "+".
func (s *sought) scenario() string {
	if s.change != nil {
		return s.change.Scenario
	}
	return s.finding.Scenario
}

// boot returns the scenarios of the variant's boot in which it was seen.
func (s *sought) boot(rec *results.Record, variant string) []string {
	for _, b := range rec.Boots {
		if b.Arch != s.arch || b.Variant != variant {
			continue
		}
		if s.finding != nil && b.Number == s.finding.Boot || s.change != nil && slices.Contains(b.Scenarios, s.change.Scenario) {
			return b.Scenarios
		}
	}
	return nil
}

// judge tells whether a look at a variant shows it. Unclear says why the look
// says neither: a boot that did not come to its end, say, proves nothing by not
// showing it. base is what the same scenarios gave on the ground.
func (s *sought) judge(p *plan.Plan, variant string, base, look []*outcome, accel map[string]string) (bad bool, unclear string) {
	if s.change != nil {
		return s.judgeMetric(p, variant, base, look, accel)
	}
	for _, o := range look {
		if slices.ContainsFunc(o.Findings, func(f results.Finding) bool {
			return f.Kind == s.finding.Kind && f.Title == s.finding.Title && !s.known.Has(anywhere(f))
		}) {
			return true, ""
		}
	}
	return false, incomplete(s.arch, variant, look, p)
}

// judgeMetric compares the look with the ground by the rules of every run.
func (s *sought) judgeMetric(p *plan.Plan, variant string, base, look []*outcome, accel map[string]string) (bad bool, unclear string) {
	if unclear := incomplete(s.arch, variant, look, p); unclear != "" {
		return false, unclear
	}
	rec := &results.Record{Baseline: p.Baseline, Candidate: variant, Tolerances: p.Tolerances, Provenance: results.Provenance{Accelerator: accel}}
	for _, o := range slices.Concat(base, look) {
		rec.Samples = mergeSamples(rec.Samples, o.Samples)
	}
	any := false
	for _, c := range compare.Between(rec, p.Baseline, variant).Changes {
		if c.Arch != s.arch || c.Metric != s.change.Metric || c.Scenario != s.change.Scenario {
			continue
		}
		any = true
		switch {
		case c.Verdict == compare.Worse && (c.Weighs || !s.change.Weighs):
			return true, ""
		case c.Verdict == compare.Missing, c.Verdict == compare.Inconclusive:
			unclear = c.Metric + ": " + c.Why
		}
	}
	if !any {
		unclear = s.change.Metric + " was not measured"
	}
	return false, unclear
}

// incomplete says why a look does not show that nothing is wrong; "" if it came
// to its end and did all that was planned.
func incomplete(arch, variant string, look []*outcome, p *plan.Plan) string {
	rec := &results.Record{}
	for _, o := range look {
		switch {
		case o.Boot.Ending != string(vm.Done):
			return fmt.Sprintf("boot %d ended in %s: %s", o.Boot.Number, o.Boot.Ending, firstLine(o.Boot.Detail))
		case o.failedScenario():
			return fmt.Sprintf("a scenario of boot %d could not be carried out", o.Boot.Number)
		}
		rec.Boots = append(rec.Boots, o.Boot)
		rec.Samples = mergeSamples(rec.Samples, o.Samples)
		rec.Unmeasured = append(rec.Unmeasured, o.Unmeasured...)
	}
	one := *p
	one.Arches, one.Variants = []string{arch}, []plan.Variant{{Name: variant}}
	for _, want := range planned(&one) {
		if problems := compare.AuditScenario(rec, want); len(problems) > 0 {
			return problems[0].What
		}
	}
	return ""
}
