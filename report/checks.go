// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"slices"
	"strings"

	"packtest/compare"
	faults "packtest/internal/fault"
	"packtest/metric"
	"packtest/results"
)

// Check is one thing that the run was to show, as test reports list them.
type Check struct {
	// Arch is the architecture; "run" for what is about the whole run.
	Arch string
	// Name is unique within Arch, and the same from run to run.
	Name string
	Mark Mark
	// Says is one line; empty only where the check passed.
	Says string
	// Evidence is preformatted text from the guest's console or the compiler.
	Evidence string
	// Seconds is how long it took; 0 where that is not known.
	Seconds float64
}

// Mark is what became of a check.
type Mark string

// The marks. Failed is held against the candidate; Broken is what the harness
// could not carry out, and Skipped what says nothing of the candidate.
const (
	Passed  Mark = "passed"
	Failed  Mark = "failed"
	Broken  Mark = "broken"
	Skipped Mark = "skipped"
)

// wholeRun stands for the architecture of the check on the verdict.
const wholeRun = "run"

// checks lists what the document says as checks. The last is the verdict: no
// test report is green unless that is.
func (b *builder) checks(verdict results.Verdict, why string) []Check {
	var list []Check
	for _, arch := range b.archs {
		for _, v := range b.variants {
			if b.has(arch, v) {
				list = append(list, b.buildCheck(arch, v))
			}
		}
		for _, p := range b.rec.Planned {
			if p.Arch == arch {
				list = append(list, b.scenarioCheck(p))
			}
		}
		list = append(list, b.strayFindings(arch)...)
		list = append(list, b.metricChecks(arch)...)
		list = append(list, b.unmeasuredChecks(arch)...)
	}
	v := Check{Arch: wholeRun, Name: "verdict", Says: string(verdict) + ": " + why, Mark: Passed, Seconds: max(0, b.rec.Finished.Sub(b.rec.Started).Seconds())}
	switch compare.ExitCode(verdict) {
	case 0:
	case 1:
		v.Mark = Failed
	default:
		v.Mark = Broken
	}
	return distinct(append(list, v))
}

// distinct numbers checks of the same name, so that no report loses one.
func distinct(list []Check) []Check {
	seen := map[string]int{}
	for i := range list {
		c := &list[i]
		key := c.Arch + "\x00" + c.Name
		if seen[key]++; seen[key] > 1 {
			c.Name += fmt.Sprintf(", %d", seen[key])
		}
	}
	return list
}

// has tells whether anything was planned or made of a variant on arch.
func (b *builder) has(arch, variant string) bool {
	return slices.ContainsFunc(b.rec.Planned, func(p results.Planned) bool { return p.Arch == arch && p.Variant == variant }) ||
		slices.ContainsFunc(b.rec.Cells, func(c results.Cell) bool { return c.Arch == arch && c.Variant == variant })
}

// mark sorts a problem: what a kernel did wrong is held against the candidate
// alone, and what the harness failed to do is broken on any kernel.
func (b *builder) mark(variant string, k faults.Kind) Mark {
	switch {
	case k != faults.Kernel:
		return Broken
	case variant == b.rec.Candidate:
		return Failed
	}
	return Skipped
}

func (b *builder) buildCheck(arch, variant string) Check {
	c := Check{Arch: arch, Name: "build " + variant, Mark: Passed}
	for _, cell := range b.rec.Cells {
		if cell.Arch != arch || cell.Variant != variant {
			continue
		}
		if !cell.Cached {
			c.Seconds = cell.BuildSeconds
		}
		if strings.Contains(strings.TrimSpace(cell.Error), "\n") {
			c.Evidence = cell.Error
		}
	}
	for _, p := range compare.AuditCell(b.rec, arch, variant) {
		c.Mark, c.Says = b.mark(variant, p.Fault), p.What
	}
	return c
}

// scenarioCheck tells how a scenario went on one kernel: the findings made in
// it, and whether every planned boot of it ended well.
func (b *builder) scenarioCheck(p results.Planned) Check {
	c := Check{Arch: p.Arch, Name: p.Scenario + " on " + p.Variant, Mark: Passed}
	if len(compare.AuditCell(b.rec, p.Arch, p.Variant)) > 0 {
		c.Mark, c.Says = Skipped, "the kernel was not built"
		return c
	}
	if p.LeftOut != "" {
		c.Mark, c.Says = Skipped, "left out: "+p.LeftOut
	}
	for _, problem := range compare.AuditScenario(b.rec, p) {
		c.Mark, c.Says = b.mark(p.Variant, problem.Fault), problem.What
		if c.Mark == Broken {
			break
		}
	}
	for _, boot := range b.rec.Boots {
		// A boot on which the kernel failed counts even if a later one went well.
		if boot.Arch == p.Arch && boot.Variant == p.Variant && slices.Contains(boot.Scenarios, p.Scenario) &&
			boot.Ending != results.EndingDone && boot.Fault == faults.Kernel.String() && c.Mark == Passed {
			c.Mark, c.Says = b.mark(p.Variant, faults.Kernel), fmt.Sprintf("boot %d ended in %s", boot.Number, boot.Ending)
		}
	}
	new := compare.SortFindings(b.rec).New
	for _, f := range b.rec.Findings {
		if f.Arch != p.Arch || f.Variant != p.Variant || !slices.Contains(strings.Split(f.Scenario, "+"), p.Scenario) {
			continue
		}
		b.addFinding(&c, f, slices.ContainsFunc(new, func(n results.Finding) bool { return n.Variant == f.Variant && n.Fault() == f.Fault() }))
	}
	return c
}

// addFinding lays a finding over what a check says.
func (b *builder) addFinding(c *Check, f results.Finding, held bool) {
	says := fmt.Sprintf("%s (%s)", f.Title, f.Kind)
	if !held {
		says += ", not held against " + b.rec.Candidate
	}
	switch {
	case held && c.Mark != Failed:
		c.Mark, c.Says = Failed, says
	case c.Mark == Passed:
		c.Mark, c.Says = Skipped, says
	}
	c.Evidence += says + "\n" + f.Evidence + "\n"
}

// strayFindings are those made in no planned scenario, such as during the boot.
func (b *builder) strayFindings(arch string) []Check {
	var list []Check
	sorted := compare.SortFindings(b.rec)
	for _, held := range []bool{true, false} {
		fs := sorted.New
		if !held {
			fs = slices.Concat(sorted.Alone, sorted.Shared, sorted.Baseline, sorted.Others)
		}
		for _, f := range fs {
			if f.Arch != arch || b.planned(f) {
				continue
			}
			c := Check{Arch: arch, Name: "finding on " + f.Variant + ": " + f.Title, Mark: Passed}
			b.addFinding(&c, f, held)
			list = append(list, c)
		}
	}
	return list
}

func (b *builder) planned(f results.Finding) bool {
	in := strings.Split(f.Scenario, "+")
	return slices.ContainsFunc(b.rec.Planned, func(p results.Planned) bool {
		return p.Arch == f.Arch && p.Variant == f.Variant && slices.Contains(in, p.Scenario) && len(compare.AuditCell(b.rec, p.Arch, p.Variant)) == 0
	})
}

// metricChecks are the judged metrics of the candidate against the baseline.
func (b *builder) metricChecks(arch string) []Check {
	if b.rec.Baseline == "" || b.rec.Baseline == b.rec.Candidate {
		return nil
	}
	var list []Check
	for _, ch := range compare.Between(b.rec, b.rec.Baseline, b.rec.Candidate).Changes {
		if ch.Arch != arch || !compare.Judges(ch.Metric) {
			continue
		}
		c := Check{Arch: arch, Mark: Passed, Name: fmt.Sprintf("%s of %s against %s", metricName(ch), b.rec.Candidate, b.rec.Baseline)}
		c.Says = string(ch.Verdict) + ": " + ch.Why
		if ch.BaseCentre != nil && ch.HeadCentre != nil {
			c.Says += fmt.Sprintf("; %s, was %s (%s)", Quantity(ch.Unit, *ch.HeadCentre), Quantity(ch.Unit, *ch.BaseCentre), compare.Percent(ch))
		}
		switch {
		case ch.Verdict == compare.Worse && ch.Weighs:
			c.Mark = Failed
		case ch.Verdict == compare.Inconclusive || ch.Verdict == compare.Missing:
			c.Mark = Skipped
		}
		list = append(list, c)
	}
	return list
}

// metricName names a change's metric with its labels and, where it is not the
// metric's own, the scenario.
func metricName(c compare.Change) string {
	name := c.Metric
	if l := metric.LabelString(c.Labels); l != "" {
		name += " (" + l + ")"
	}
	return name + " in " + c.Scenario
}

func (b *builder) unmeasuredChecks(arch string) []Check {
	var list []Check
	for _, u := range b.rec.Unmeasured {
		if u.Arch == arch {
			list = append(list, Check{Arch: arch, Name: fmt.Sprintf("%s in %s on %s", u.Metric, u.Scenario, u.Variant), Mark: Skipped, Says: notMeasured + ": " + u.Why})
		}
	}
	return list
}

// suites groups checks by architecture, in their order.
func suites(list []Check) [][]Check {
	var out [][]Check
	for _, c := range list {
		if n := len(out); n == 0 || out[n-1][0].Arch != c.Arch {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], c)
	}
	return out
}
