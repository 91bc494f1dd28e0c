// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"slices"
	"strings"

	faults "packtest/internal/fault"
	"packtest/metric"
	"packtest/results"
)

// ExitCode returns the exit code for a verdict. A run that proved nothing never
// exits with 0: an inconclusive one, whose judged metrics could not be told
// apart or whose baseline failed, has code 3 like a failed harness.
func ExitCode(v results.Verdict) int {
	switch v {
	case results.Pass, results.Improved, results.Unchanged:
		return 0
	case results.Regressed, results.KernelFailed:
		return 1
	case results.Interrupted:
		return 130
	}
	return 3
}

// Judge draws the run's verdict from its record, with one sentence that says
// why. It is closed: whatever it can't show to be right is no pass. A record
// whose verdict says that the harness failed or the user ended the run keeps
// it, since only the harness can know; but what is proved stays proved, and a
// finding on the candidate outweighs a harness that failed later.
//
// Where the verdict is good, the sentence also says what was left out.
func Judge(rec *results.Record) (results.Verdict, string) {
	if rec.Bisection != nil {
		return judgeBisection(rec)
	}
	if rec.Check != nil {
		return judgeCheck(rec)
	}
	v, why := judgeRun(rec)
	if ExitCode(v) == 0 {
		why = strings.Join(append([]string{why}, LeftOut(rec)...), "; ")
	}
	return v, why
}

func judgeRun(rec *results.Record) (results.Verdict, string) {
	problems := Audit(rec)
	guilty, guiltyWhy := kernelAtFault(rec, problems)
	switch {
	case rec.Verdict == results.Interrupted:
		return rec.Verdict, orElse(rec.Why, "the user ended the run")
	case guilty:
		return results.KernelFailed, guiltyWhy
	case rec.Verdict == results.HarnessFailed:
		return rec.Verdict, orElse(rec.Why, "the harness said so and gave no reason")
	}
	if v, why := incomplete(rec, problems); v != "" {
		return v, why
	}
	alone := rec.Baseline == "" || rec.Baseline == rec.Candidate
	if archs := sameImages(rec); !alone && len(archs) == len(plannedArchs(rec)) {
		return results.Unchanged, fmt.Sprintf("%s and %s are the same binary on %s", rec.Candidate, rec.Baseline, strings.Join(archs, " and "))
	}
	for _, arch := range plannedArchs(rec) {
		if !did(rec, arch) {
			return results.Inconclusive, fmt.Sprintf("no scenario that was asked for did anything on %s's kernel for %s", rec.Candidate, arch)
		}
	}
	if alone {
		return results.Pass, carriedOut(rec) + " and nothing wrong was found; there is no baseline to compare with"
	}
	return judgeChanges(rec, Between(rec, rec.Baseline, rec.Candidate).Changes)
}

// kernelAtFault tells whether the candidate did something wrong that the
// baseline, which did the same, didn't: a finding, a build that failed, a boot
// that ended early.
func kernelAtFault(rec *results.Record, problems []Problem) (bool, string) {
	if fs := SortFindings(rec); len(fs.New) > 0 {
		f := fs.New[0]
		says := fmt.Sprintf("%s on %s: %s", f.Variant, f.Arch, f.Title)
		if fs.Less(f) {
			says += fmt.Sprintf(", of which %s has less", rec.Baseline)
		}
		return true, more(says, len(fs.New))
	}
	// A candidate that fails where the baseline does is not worse, and not proved.
	baseline := map[string]bool{}
	for _, p := range problems {
		if p.Fault == faults.Kernel && p.Variant == rec.Baseline {
			baseline[p.Arch] = true
		}
	}
	return first(problems, func(p Problem) bool {
		return p.Fault == faults.Kernel && p.Variant == rec.Candidate && !baseline[p.Arch] && tried(rec, p.Arch, p.Scenarios)
	})
}

// incomplete gives the verdicts on runs that did not carry out their plan; "" if
// nothing stands in the way of comparing. What a third variant's kernel did
// wrong stands in the way of nothing.
func incomplete(rec *results.Record, problems []Problem) (results.Verdict, string) {
	if ok, why := first(problems, func(p Problem) bool { return p.Fault == faults.Interrupted }); ok {
		return results.Interrupted, why
	}
	if ok, why := first(problems, func(p Problem) bool { return p.Fault != faults.Kernel }); ok {
		return results.HarnessFailed, why
	}
	if ok, why := first(problems, func(p Problem) bool { return p.Variant == rec.Candidate || p.Variant == rec.Baseline }); ok {
		return results.Inconclusive, why
	}
	return "", ""
}

// first returns what the first of the problems that match says, and how many
// more there are.
func first(problems []Problem, match func(Problem) bool) (bool, string) {
	var what []string
	for _, p := range problems {
		if match(p) {
			what = append(what, p.What)
		}
	}
	if len(what) == 0 {
		return false, ""
	}
	return true, more(what[0], len(what))
}

func orElse(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

func judgeChanges(rec *results.Record, changes []Change) (results.Verdict, string) {
	by := map[Outcome][]Change{}
	judged := map[string]bool{}
	for _, c := range changes {
		if c.Weighs {
			by[c.Verdict] = append(by[c.Verdict], c)
		}
		if rule(c.Metric).Gate == Judged && (c.Weighs || c.Exact) &&
			c.Verdict != Missing && c.Verdict != Inconclusive {
			judged[c.Arch] = true
		}
	}
	open := append(by[Inconclusive], by[Missing]...)
	for _, arch := range plannedArchs(rec) {
		if !judged[arch] && measures(rec, arch) && len(by[Worse]) == 0 && len(open) == 0 {
			return results.Inconclusive, fmt.Sprintf("no metric that is judged could be compared on %s", arch)
		}
	}
	switch {
	case len(by[Worse]) > 0:
		return results.Regressed, fmt.Sprintf("%s worse: %s", count(len(metrics(by[Worse])), "judged metric"), name(by[Worse]))
	case len(open) > 0:
		return results.Inconclusive, fmt.Sprintf("%s could not be judged: %s: %s",
			count(len(metrics(open)), "metric"), at(open[0]), open[0].Why)
	case len(by[Better]) > 0:
		return results.Improved, fmt.Sprintf("%s better, none worse: %s", count(len(metrics(by[Better])), "judged metric"), name(by[Better]))
	}
	if len(judged) == 0 {
		return results.Pass, carriedOut(rec) + " and nothing wrong was found; no metric that is judged was asked for"
	}
	return results.Pass, fmt.Sprintf("%s, nothing wrong was found, and no judged metric differs from %s's", carriedOut(rec), rec.Baseline)
}

// carriedOut says how much of the plan was carried out in a run without problems.
func carriedOut(rec *results.Record) string {
	if len(LeftOut(rec)) > 0 {
		return "what this machine can do of the plan was carried out"
	}
	return "everything planned was carried out"
}

// did tells whether any planned scenario has reported a value on the candidate's
// kernel for arch.
func did(rec *results.Record, arch string) bool {
	from := Source(rec, arch, rec.Candidate)
	return slices.ContainsFunc(rec.Samples, func(s results.Sample) bool {
		return s.Arch == arch && s.Variant == from && slices.ContainsFunc(rec.Planned, func(p results.Planned) bool { return p.Scenario == s.Scenario })
	})
}

// measures tells whether a scenario was planned on arch that gives a judged
// metric; attacks and traces give none.
func measures(rec *results.Record, arch string) bool {
	return slices.ContainsFunc(rec.Planned, func(p results.Planned) bool {
		return p.Arch == arch && slices.ContainsFunc(allRules(), func(r Rule) bool { return r.Gate == Judged && r.expects(p.Scenario) })
	})
}

// name lists the changes by metric, the largest of each architecture, four
// metrics at most: "jit_pages (x86_64 -68.3 %, s390x -55.0 %)".
func name(list []Change) string {
	var parts []string
	for _, m := range metrics(list) {
		var each []string
		seen := map[string]bool{}
		for _, c := range list {
			if c.Metric == m && !seen[c.Arch] {
				seen[c.Arch] = true
				each = append(each, c.Arch+" "+Percent(largest(list, c)))
			}
		}
		slices.SortFunc(each, func(a, b string) int { return strings.Compare(b, a) }) // x86_64 first
		parts = append(parts, m+" ("+strings.Join(each, ", ")+")")
	}
	if len(parts) > 4 {
		parts = append(parts[:4], fmt.Sprintf("and %d more", len(parts)-4))
	}
	return strings.Join(parts, ", ")
}

// metrics lists the metrics in a list of changes, each once.
func metrics(list []Change) []string {
	var names []string
	for _, c := range list {
		if !slices.Contains(names, c.Metric) {
			names = append(names, c.Metric)
		}
	}
	return names
}

func largest(list []Change, like Change) Change {
	best := like
	for _, c := range list {
		if c.Metric == like.Metric && c.Arch == like.Arch && c.Delta != nil && best.Delta != nil &&
			abs(*c.Delta) > abs(*best.Delta) {
			best = c
		}
	}
	return best
}

func abs(x float64) float64 { return max(x, -x) }

// at names where a change is: metric, labels, architecture.
func at(c Change) string {
	s := c.Metric
	if l := metric.LabelString(c.Labels); l != "" {
		s += " (" + l + ")"
	}
	return s + " on " + c.Arch
}

// Percent says how far head is from base: "-68.8 %", "from 0", "equal".
func Percent(c Change) string {
	switch {
	case c.Delta == nil:
		return "not compared"
	case *c.Delta == 0:
		return "equal"
	case c.Ratio == nil:
		return "from 0"
	}
	p := (*c.Ratio - 1) * 100
	switch {
	case abs(p) < 0.05:
		return fmt.Sprintf("%+.2g %%", p)
	case abs(p) >= 1000:
		return fmt.Sprintf("x%.0f", *c.Ratio)
	}
	return fmt.Sprintf("%+.1f %%", p)
}

// sameImages lists the planned architectures on which the candidate's image is
// the baseline's, byte for byte, and so are its modules.
func sameImages(rec *results.Record) []string {
	var list []string
	for _, arch := range plannedArchs(rec) {
		b, c := cell(rec, arch, rec.Baseline), cell(rec, arch, rec.Candidate)
		if b != nil && c != nil && b.Image != "" && b.Image == c.Image && b.Modules == c.Modules {
			list = append(list, arch)
		}
	}
	return list
}

func plannedArchs(rec *results.Record) []string {
	var list []string
	for _, p := range rec.Planned {
		if !slices.Contains(list, p.Arch) {
			list = append(list, p.Arch)
		}
	}
	slices.Sort(list)
	return list
}

func more(first string, n int) string {
	if n > 1 {
		return fmt.Sprintf("%s (and %d more)", first, n-1)
	}
	return first
}
