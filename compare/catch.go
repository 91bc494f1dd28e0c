// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"slices"

	"packtest/results"
)

// Catch is what a run found wrong with one variant on one architecture, as
// against the baseline: the proof that a defect put in on purpose is seen.
type Catch struct {
	Arch    string `json:"arch"`
	Variant string `json:"variant"`
	Config  string `json:"config"`
	// By is the kind of the first finding, or the metric that got worse; empty
	// if nothing was found.
	By string `json:"by,omitempty"`
	// What is the finding's title, or how the metric changed.
	What     string `json:"what,omitempty"`
	Scenario string `json:"scenario,omitempty"`
	// Seconds is how long after its boot's start the finding was seen; 0 for a
	// metric, which is judged at the end.
	Seconds float64 `json:"seconds,omitempty"`
	// Problem is why the run proves nothing of this variant, if it doesn't.
	Problem string `json:"problem,omitempty"`
}

// Found tells whether anything was.
func (c Catch) Found() bool { return c.By != "" }

// CatchOf returns what rec's run found wrong with a variant on arch. A finding
// that the baseline shows too, and one that is the harness's own, don't count;
// a kernel that was not built or booted proves nothing.
func CatchOf(rec *results.Record, arch, variant string) Catch {
	c := Catch{Arch: arch, Variant: variant}
	built := cell(rec, arch, variant)
	switch {
	case built == nil:
		c.Problem = "it was never built"
		return c
	case built.Error != "":
		c.Problem = "it does not build: " + firstLine(built.Error)
		return c
	case built.SameAs != "":
		c.Problem = "its kernel is the same as that of " + built.SameAs
		return c
	}
	findings := slices.DeleteFunc(slices.Clone(rec.Findings), func(f results.Finding) bool {
		// What took too long, or could not be carried out, may be the host's.
		unclear := f.Kind == results.ScenarioFailed || f.Kind == "timeout"
		return f.Arch != arch || f.Variant != variant || f.OnBaseline || unclear
	})
	slices.SortStableFunc(findings, func(a, b results.Finding) int {
		switch {
		case a.Boot != b.Boot:
			return a.Boot - b.Boot
		case a.Seconds < b.Seconds:
			return -1
		case a.Seconds > b.Seconds:
			return 1
		}
		return 0
	})
	if len(findings) > 0 {
		f := findings[0]
		c.By, c.What, c.Scenario, c.Seconds = f.Kind, f.Title, f.Scenario, f.Seconds
		return c
	}
	for _, ch := range Between(rec, rec.Baseline, variant).Changes {
		if ch.Arch == arch && ch.Verdict == Worse && ch.Weighs {
			c.By, c.What, c.Scenario = ch.Metric, Percent(ch), ch.Scenario
			return c
		}
	}
	c.Problem = unattacked(rec, arch, variant)
	return c
}

// unattacked says in which way a variant was not attacked as it was planned, first of
// what could not be carried out; "" if it was.
func unattacked(rec *results.Record, arch, variant string) string {
	for _, f := range rec.Findings {
		if f.Arch == arch && f.Variant == variant && f.Kind == results.ScenarioFailed {
			return fmt.Sprintf("%s: %s", f.Scenario, firstLine(f.Evidence))
		}
	}
	list, planned := auditBoots(rec, arch, variant), false
	for _, p := range rec.Planned {
		if p.Arch == arch && p.Variant == variant {
			planned = true
			list = append(list, AuditScenario(rec, p)...)
		}
	}
	switch {
	case !planned:
		return "nothing was planned for it"
	case len(list) > 0:
		return list[0].What
	}
	return ""
}
