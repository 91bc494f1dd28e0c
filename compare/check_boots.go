// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"slices"
	"strings"

	faults "packtest/internal/fault"
	"packtest/results"
)

// boots tells how a step's kernel fared. What it does wrong is the patch's own
// if no earlier kernel of the series, nor the one before it, did the same.
func (c checker) boots(arch string, step int) Checked {
	variant := results.CheckVariant(step)
	if from := Source(c.rec, arch, variant); from != variant {
		return c.bootsAs(arch, from)
	}
	var one Checked
	for _, problem := range c.bootProblems(arch, step) {
		if one.Mark == "" || problem.Fault != faults.Kernel {
			one.Mark, one.Says = markOf(problem.Fault), problem.What
		}
	}
	booted := false
	for _, b := range c.rec.Boots {
		if b.Arch != arch || b.Variant != variant {
			continue
		}
		booted = true
		one.Seconds += b.Seconds
		if b.Ending != results.EndingDone && kind(b.Fault) == faults.Kernel && one.Mark == "" {
			one.Mark, one.Says = CheckFailed, bootSays(b)
		}
	}
	if one.Mark == CheckBroken && !booted {
		one.Mark = CheckOpen
	}
	one = c.withFindings(arch, step, one)
	if one.Mark == CheckFailed && !c.comparable(arch, step) {
		one.Mark, one.Says = CheckSkipped, "no earlier kernel got through its boot to hold it against: "+one.Says
	}
	return one
}

// comparable tells whether any kernel before step got through its boot: what a
// kernel does wrong is its patch's only where one before it could have shown it.
func (c checker) comparable(arch string, step int) bool {
	for at := range step {
		if len(AuditCell(c.rec, arch, results.CheckVariant(at))) == 0 && len(c.bootProblems(arch, at)) == 0 {
			return true
		}
	}
	return step == 0
}

// bootProblems lists what was planned of a step's boot and not carried out.
func (c checker) bootProblems(arch string, step int) []Problem {
	variant := results.CheckVariant(step)
	var list []Problem
	planned := false
	for _, p := range c.rec.Planned {
		if p.Arch == arch && p.Variant == variant {
			planned = true
			list = append(list, AuditScenario(c.rec, p)...)
		}
	}
	if !planned {
		list = append(list, Problem{Arch: arch, Variant: variant, What: "no boot was planned"})
	}
	return list
}

func markOf(k faults.Kind) CheckMark {
	if k == faults.Kernel {
		return CheckFailed
	}
	return CheckBroken
}

// withFindings lays the findings on a step's kernel over what its boots say.
func (c checker) withFindings(arch string, step int, one Checked) Checked {
	var own, known, evidence []string
	since := -1
	for _, f := range c.rec.Findings {
		if f.Arch != arch || f.Variant != results.CheckVariant(step) || f.Scenario == buildStage {
			continue
		}
		text := fmt.Sprintf("%s (%s)", f.Title, f.Kind)
		at := c.seen(f, step)
		switch {
		case at < 0 && !slices.Contains(own, text):
			own = append(own, text)
		case at >= 0 && !slices.Contains(known, text):
			known = append(known, text)
			if since < 0 || at < since {
				since = at
			}
		}
		evidence = append(evidence, text+"\n"+strings.TrimRight(f.Evidence, "\n"))
	}
	one.Evidence = strings.Join(evidence, "\n")
	switch {
	case len(own) > 0:
		one.Mark, one.Says = CheckFailed, more(own[0], len(own))
	case one.Mark == CheckFailed && len(known) > 0, one.Mark == "" && len(known) > 0:
		one.Mark, one.Says = CheckInherited, "as "+c.standing(since)+": "+more(known[0], len(known))
	case one.Mark == "":
		one.Mark = CheckOK
	}
	return one
}

// buildStage is the scenario of a finding that says that a kernel does not build.
const buildStage = "build"

// seen returns the first step before step on which the same was found, or -1.
func (c checker) seen(f results.Finding, step int) int {
	for at := range step {
		if knownOf(c.rec, results.CheckVariant(at)).Has(f) {
			return at
		}
	}
	return -1
}

// bootsAs is the check of a step whose kernel is an earlier one's.
func (c checker) bootsAs(arch, from string) Checked {
	for at := range len(c.Patches) + 1 {
		if results.CheckVariant(at) != from {
			continue
		}
		says := fmt.Sprintf("the kernel is the one %s", c.standing(at))
		if at == 0 {
			// The ground's boot is no check of a patch: it is looked at here.
			first := c.boots(arch, 0)
			if first.Mark == CheckBroken || first.Mark == CheckOpen {
				return Checked{Mark: first.Mark, Says: first.Says}
			}
			if first.Mark != CheckOK {
				return Checked{Mark: CheckInherited, Says: says + ": " + first.Says, Evidence: first.Evidence}
			}
			return Checked{Mark: CheckSame, Says: says}
		}
		switch first := c.boots(arch, at); first.Mark {
		case CheckOK, CheckSame:
			return Checked{Mark: CheckSame, Says: says}
		case CheckBroken, CheckOpen:
			return Checked{Mark: first.Mark, Says: first.Says}
		default:
			return Checked{Mark: CheckInherited, Says: says + ": " + first.Says, Evidence: first.Evidence}
		}
	}
	return Checked{Mark: CheckBroken, Says: "its kernel is said to be one that is not there"}
}
