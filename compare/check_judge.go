// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"slices"
	"strings"

	faults "packtest/internal/fault"
	"packtest/results"
)

// judgeCheck draws the verdict on a series that was looked at patch by patch:
// kernel-failed if one of its patches breaks a build or a boot, regressed if one
// does not apply, brings a warning, or has an error by checkpatch. It passes if
// every check was carried out, but for those that are said to be impossible on
// the machine.
func judgeCheck(rec *results.Record) (results.Verdict, string) {
	if rec.Verdict == results.Interrupted {
		why := orElse(rec.Why, "the user ended the run")
		if left := Unbegun(rec); left != "" {
			why += ": " + left
		}
		return rec.Verdict, why
	}
	all := Checks(rec)
	gone := func(c Checked) bool { return c.Kind == results.Builds || c.Kind == results.Boots }
	var failed, grave, undone []Checked
	for _, c := range all {
		switch {
		case c.Mark == CheckFailed && gone(c):
			grave = append(grave, c)
			failed = append(failed, c)
		case c.Mark == CheckFailed:
			failed = append(failed, c)
		case c.Mark == CheckBroken, c.Mark == CheckOpen:
			undone = append(undone, c)
		}
	}
	if len(failed) > 0 {
		v := results.Regressed
		if len(grave) > 0 {
			v = results.KernelFailed
		}
		// What comes first in the series is where to begin.
		return v, more(CheckSays(failed[0]), len(failed))
	}
	if rec.Verdict == results.HarnessFailed {
		return rec.Verdict, orElse(rec.Why, "the harness said so and gave no reason")
	}
	if why := unplanned(rec.Check); why != "" {
		return results.HarnessFailed, why
	}
	if len(undone) > 0 {
		return results.HarnessFailed, more(CheckSays(undone[0]), len(undone))
	}
	ground := groundProblems(rec)
	if ok, why := first(ground, func(p Problem) bool { return p.Fault != faults.Kernel }); ok {
		return results.HarnessFailed, why
	}
	if ok, why := first(ground, func(Problem) bool { return true }); ok {
		return results.Inconclusive, why
	}
	if i := slices.IndexFunc(all, func(c Checked) bool {
		return c.Mark == CheckInherited && c.Kind == results.Builds || c.Mark == CheckSkipped
	}); i >= 0 {
		return results.Inconclusive, CheckSays(all[i])
	}
	what := fmt.Sprintf("%s of %s", count(len(rec.Check.Patches), "patch"), rec.Check.Series)
	if len(rec.Check.Patches) > 1 {
		what = fmt.Sprintf("all %d patches of %s", len(rec.Check.Patches), rec.Check.Series)
	}
	if !slices.ContainsFunc(all, func(c Checked) bool { return c.Kind == results.Builds && c.Config == "" && c.Mark != CheckSame }) {
		return results.Unchanged, fmt.Sprintf("%s leave the binary as it is on %s", what, strings.Join(rec.Check.Arches, " and "))
	}
	return results.Pass, fmt.Sprintf("%s passed every check on %s%s", what, strings.Join(rec.Check.Arches, " and "), reservations(rec, all))
}

// reservations says what a pass does not cover, and what is worth a look.
func reservations(rec *results.Record, all []Checked) string {
	var parts []string
	noted, inherited := 0, 0
	for _, c := range all {
		switch c.Mark {
		case CheckNoted:
			noted++
		case CheckInherited:
			inherited++
		}
	}
	if noted > 0 {
		parts = append(parts, fmt.Sprintf("checkpatch has remarks on %d", noted))
	}
	if inherited > 0 {
		parts = append(parts, count(inherited, "check")+" failed as without the series")
	}
	for _, g := range rec.Check.NotMeasured {
		parts = append(parts, "not measured: "+string(g.Kind))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, "; ")
}

// unplanned tells whether a kind of check was left out without a word.
func unplanned(c *results.Check) string {
	if len(c.Patches) == 0 || len(c.Arches) == 0 {
		return "the record does not say which patches were to be checked on which architectures"
	}
	for _, k := range results.CheckKinds() {
		if !slices.Contains(c.Planned, k) && !slices.ContainsFunc(c.NotMeasured, func(g results.CheckGap) bool { return g.Kind == k && g.Why != "" }) {
			return fmt.Sprintf("%s was not planned, and nothing says why", k)
		}
	}
	return ""
}

// groundProblems lists what is wrong with the kernels without the series: a check
// against what does not build, or does not get through its boot, proves nothing.
// What was found in a boot that did is inherited, and no problem.
func groundProblems(rec *results.Record) []Problem {
	var list []Problem
	for _, arch := range rec.Check.Arches {
		problems := AuditCell(rec, arch, results.CheckVariant(0))
		if len(problems) == 0 && slices.Contains(rec.Check.Planned, results.Boots) {
			problems = checker{rec, rec.Check}.bootProblems(arch, 0)
		}
		list = append(list, problems...)
	}
	return list
}

// CheckSays names a check and what became of it: "patch 3, s390x, builds: ...".
func CheckSays(c Checked) string {
	parts := []string{fmt.Sprintf("patch %d", c.Step)}
	if c.Arch != "" {
		parts = append(parts, c.Arch)
	}
	parts = append(parts, CheckName(c))
	says := strings.Join(parts, ", ")
	if c.Says != "" {
		says += ": " + c.Says
	}
	return says
}

// CheckName names a check: its kind, or "config NAME".
func CheckName(c Checked) string {
	if c.Config != "" {
		return "config " + c.Config
	}
	return string(c.Kind)
}
