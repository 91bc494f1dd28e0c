// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"slices"
	"strings"

	faults "packtest/internal/fault"
	"packtest/results"
)

// Problem is something planned that was not carried out.
type Problem struct {
	Arch    string `json:"arch,omitempty"`
	Variant string `json:"variant,omitempty"`
	// Fault is whose fault it was.
	Fault faults.Kind `json:"-"`
	// What says it in one sentence.
	What string `json:"what"`
	// Scenarios are those that it is about.
	Scenarios []string `json:"-"`
}

// Audit lists everything that the record's plan asked for and the record does
// not show to have been carried out, and every boot on which a kernel failed.
func Audit(rec *results.Record) []Problem {
	if len(rec.Planned) == 0 {
		return []Problem{{What: "the record does not say what was planned"}}
	}
	list := auditPairs(rec)
	done := map[string]bool{}
	for _, p := range rec.Planned {
		if p.Arch == "" || p.Variant == "" || p.Scenario == "" || p.Boots < 1 {
			list = append(list, Problem{Arch: p.Arch, Variant: p.Variant, What: fmt.Sprintf("the plan is malformed: %+v", p)})
			continue
		}
		if at := p.Arch + "\x00" + p.Variant; !done[at] {
			done[at] = true
			list = append(list, AuditCell(rec, p.Arch, p.Variant)...)
			list = append(list, auditBoots(rec, p.Arch, p.Variant)...)
		}
		// What was never built was never booted: one complaint is enough.
		if c := cell(rec, p.Arch, p.Variant); c != nil && c.Error == "" {
			list = append(list, AuditScenario(rec, p)...)
		}
	}
	if len(rec.Samples) == 0 {
		list = append(list, Problem{What: "nothing was measured"})
	}
	return list
}

// auditPairs checks that the plan holds the candidate, and the baseline in
// every scenario in which it holds the candidate.
func auditPairs(rec *results.Record) []Problem {
	var list []Problem
	planned := func(variant, arch, scenario string) bool {
		return slices.ContainsFunc(rec.Planned, func(p results.Planned) bool {
			return p.Variant == variant && p.Arch == arch && p.Scenario == scenario
		})
	}
	var any bool
	for _, p := range rec.Planned {
		if p.Variant != rec.Candidate {
			continue
		}
		any = true
		if rec.Baseline != "" && !planned(rec.Baseline, p.Arch, p.Scenario) {
			list = append(list, Problem{Arch: p.Arch, Variant: rec.Baseline,
				What: fmt.Sprintf("%s on %s is not planned for %s, the baseline", p.Scenario, p.Arch, rec.Baseline)})
		}
	}
	if !any {
		list = append(list, Problem{Variant: rec.Candidate, What: fmt.Sprintf("nothing is planned for the candidate, %q", rec.Candidate)})
	}
	return list
}

// AuditCell tells whether the variant was not built for arch, and why.
func AuditCell(rec *results.Record, arch, variant string) []Problem {
	c := cell(rec, arch, variant)
	switch {
	case c == nil:
		return []Problem{{Arch: arch, Variant: variant, What: fmt.Sprintf("%s for %s was not built", variant, arch)}}
	case c.Error != "":
		return []Problem{{Arch: arch, Variant: variant, Fault: kind(c.Fault), Scenarios: []string{buildStage},
			What: fmt.Sprintf("%s for %s could not be built: %s", variant, arch, firstLine(c.Error))}}
	case c.Image == "":
		return []Problem{{Arch: arch, Variant: variant, What: fmt.Sprintf("%s for %s has no image", variant, arch)}}
	}
	return nil
}

// auditBoots lists the boots on which the kernel failed, or the user gave up.
// Those count even if a later boot went well. The harness's own mishaps count
// only if no other boot made up for them: see AuditScenario.
func auditBoots(rec *results.Record, arch, variant string) []Problem {
	var list []Problem
	for _, b := range rec.Boots {
		if b.Arch != arch || b.Variant != variant || b.Ending == results.EndingDone {
			continue
		}
		if k := kind(b.Fault); k == faults.Kernel || k == faults.Interrupted {
			list = append(list, Problem{Arch: arch, Variant: variant, Fault: k, What: bootSays(b), Scenarios: b.Scenarios})
		}
	}
	return list
}

// AuditScenario lists what the plan asked of a scenario on one kernel, which was
// built, and the record does not show to have been carried out.
func AuditScenario(rec *results.Record, p results.Planned) []Problem {
	if p.LeftOut != "" {
		return nil // see LeftOut
	}
	var done int
	var failed []results.Boot
	from := Source(rec, p.Arch, p.Variant)
	for _, b := range rec.Boots {
		if b.Arch != p.Arch || b.Variant != from || !slices.Contains(b.Scenarios, p.Scenario) {
			continue
		}
		if b.Ending == results.EndingDone {
			done++
		} else {
			failed = append(failed, b)
		}
	}
	switch {
	case done == 0 && len(failed) == 0:
		return []Problem{{Arch: p.Arch, Variant: p.Variant, What: fmt.Sprintf("%s of %s on %s was never booted", p.Scenario, p.Variant, p.Arch)}}
	case done < p.Boots:
		what := fmt.Sprintf("%s of %s on %s ended well in %d of %s", p.Scenario, p.Variant, p.Arch, done, count(p.Boots, "boot"))
		k := faults.Harness
		if len(failed) > 0 {
			last := failed[len(failed)-1]
			k = kind(last.Fault)
			what += ": " + bootSays(last)
		}
		return []Problem{{Arch: p.Arch, Variant: p.Variant, Fault: k, What: what, Scenarios: []string{p.Scenario}}}
	}
	// Where it fails alike on two kernels neither is worse, and nothing is shown.
	for _, f := range rec.Findings {
		if f.Kind == results.ScenarioFailed && f.Arch == p.Arch && f.Variant == from && f.Scenario == p.Scenario {
			return []Problem{{Arch: p.Arch, Variant: p.Variant, Fault: faults.Kernel, Scenarios: []string{p.Scenario},
				What: fmt.Sprintf("%s of %s on %s could not be carried out: %s", p.Scenario, p.Variant, p.Arch, orElse(firstLine(f.Evidence), f.Title))}}
		}
	}
	var list []Problem
	for _, m := range undelivered(rec, p) {
		list = append(list, Problem{Arch: p.Arch, Variant: p.Variant,
			What: fmt.Sprintf("%s of %s on %s: %s", p.Scenario, p.Variant, p.Arch, m)})
	}
	return list
}

// LeftOut says of everything planned that the machine can't carry out what it is,
// where, and why: a sentence for each reason. It is held against no kernel, and
// whoever calls the rest right has to tell of it.
func LeftOut(rec *results.Record) []string {
	var order [][2]string
	archs := map[[2]string][]string{}
	for _, p := range rec.Planned {
		at := [2]string{p.Scenario, p.LeftOut}
		if p.LeftOut == "" || slices.Contains(archs[at], p.Arch) {
			continue
		}
		if archs[at] == nil {
			order = append(order, at)
		}
		archs[at] = append(archs[at], p.Arch)
	}
	var list []string
	for _, at := range order {
		list = append(list, fmt.Sprintf("%s was left out on %s: %s", at[0], strings.Join(archs[at], " and "), at[1]))
	}
	return list
}

// undelivered lists the metrics that the scenario should have delivered and for
// which the record has neither a value from every boot nor a reason.
func undelivered(rec *results.Record, p results.Planned) []string {
	from := Source(rec, p.Arch, p.Variant)
	least := map[string]int{}
	for k, v := range values(rec, p.Variant, p.Arch, p.Scenario) {
		if n, ok := least[k.metric]; !ok || len(v.values) < n {
			least[k.metric] = len(v.values)
		}
	}
	explained := map[string]bool{}
	for _, u := range rec.Unmeasured {
		if u.Arch == p.Arch && u.Variant == from && u.Scenario == p.Scenario && u.Why != "" {
			explained[u.Metric] = true
		}
	}
	var list []string
	for _, r := range allRules() {
		n := least[r.Metric]
		if !r.expects(p.Scenario) || explained[r.Metric] || n >= p.Boots {
			continue
		}
		if n == 0 {
			list = append(list, r.Metric+" is missing, and nothing says why")
		} else {
			list = append(list, fmt.Sprintf("%s has %s from %s", r.Metric, count(n, "value"), count(p.Boots, "boot")))
		}
	}
	return list
}

func cell(rec *results.Record, arch, variant string) *results.Cell {
	for i := range rec.Cells {
		if c := &rec.Cells[i]; c.Arch == arch && c.Variant == variant {
			return c
		}
	}
	return nil
}

// Source returns the variant whose boots and values stand for variant on arch:
// its own, or, if it was never booted because its image is another's byte for
// byte, that one's.
func Source(rec *results.Record, arch, variant string) string {
	c := cell(rec, arch, variant)
	if c == nil || c.SameAs == "" {
		return variant
	}
	for _, b := range rec.Boots {
		if b.Arch == arch && b.Variant == variant {
			return variant
		}
	}
	if twin := cell(rec, arch, c.SameAs); twin != nil && c.Image != "" && twin.Image == c.Image {
		return c.SameAs
	}
	return variant
}

// kind turns a record's word for a fault into the kind; anything unknown is the
// harness's, as in package fault.
func kind(word string) faults.Kind {
	for _, k := range []faults.Kind{faults.Input, faults.Kernel, faults.Interrupted} {
		if word == k.String() {
			return k
		}
	}
	return faults.Harness
}

func bootSays(b results.Boot) string {
	s := fmt.Sprintf("boot %d of %s on %s ended in %s", b.Number, b.Variant, b.Arch, orNothing(b.Ending))
	if b.Detail != "" {
		s += ": " + firstLine(b.Detail)
	}
	return s
}

func orNothing(ending string) string {
	if ending == "" {
		return "nothing that was written down"
	}
	return ending
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
