// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"strings"
	"testing"

	"packtest/metric"
	"packtest/results"
)

func TestCatchOf(t *testing.T) {
	base := func() *results.Record {
		r := &results.Record{Baseline: "pack", Candidate: "bad"}
		for i, v := range []string{"pack", "bad"} {
			r.Cells = append(r.Cells, results.Cell{Arch: "s390x", Variant: v, Image: strings.Repeat(string(rune('a'+i)), 64)})
			r.Boots = append(r.Boots, results.Boot{Arch: "s390x", Variant: v, Number: 1, Ending: "done"})
			r.Samples = append(r.Samples, results.Sample{Arch: "s390x", Variant: v, Scenario: "load", Sample: metric.New("jit_pages", nil, 442)})
			// Of a scenario that nobody knows no figures are asked.
			r.Planned = append(r.Planned, results.Planned{Arch: "s390x", Variant: v, Scenario: "tease", Boots: 1})
			r.Boots[i].Scenarios = []string{"tease"}
		}
		return r
	}
	finding := func(boot int, seconds float64, kind string) results.Finding {
		return results.Finding{Arch: "s390x", Variant: "bad", Scenario: "churn", Kind: kind, Title: "it is " + kind, Boot: boot, Seconds: seconds}
	}
	for _, tt := range []struct {
		name    string
		change  func(*results.Record)
		by      string
		problem string
	}{
		{name: "nothing", change: func(*results.Record) {}},
		{name: "the earliest of the first boot", by: "overlap", change: func(r *results.Record) {
			r.Findings = append(r.Findings, finding(2, 1, "oops"), finding(1, 9, "leak"), finding(1, 3, "overlap"), finding(1, 4, "overlap"))
		}},
		{name: "what the baseline shows too", change: func(r *results.Record) {
			f := finding(1, 3, "overlap")
			f.OnBaseline = true
			r.Findings = append(r.Findings, f)
		}},
		{name: "another's finding", change: func(r *results.Record) {
			f := finding(1, 3, "overlap")
			f.Variant = "other"
			g := finding(1, 3, "overlap")
			g.Arch = "x86_64"
			r.Findings = append(r.Findings, f, g)
		}},
		{name: "a metric", by: "jit_pages", change: func(r *results.Record) { r.Samples[1].Values[0] = 1331 }},
		{name: "a better metric", change: func(r *results.Record) { r.Samples[1].Values[0] = 2 }},
		{name: "not built", problem: "does not build", change: func(r *results.Record) { r.Cells[1].Error = "cc1: no\nmore" }},
		{name: "never tried", problem: "never built", change: func(r *results.Record) { r.Cells = r.Cells[:1] }},
		{name: "same kernel", problem: "same as that of pack", change: func(r *results.Record) { r.Cells[1].SameAs = "pack" }},
		{name: "never booted", problem: "tease of bad on s390x was never booted", change: func(r *results.Record) { r.Boots = r.Boots[:1] }},
		{name: "not planned", problem: "nothing was planned", change: func(r *results.Record) { r.Planned = nil }},
		{name: "could not be carried out", problem: "churn: no room", change: func(r *results.Record) {
			f := finding(1, 3, results.ScenarioFailed)
			f.Evidence = "no room"
			r.Findings = append(r.Findings, f)
		}},
		{name: "the harness failed, and then did not", change: func(r *results.Record) {
			failed := r.Boots[1]
			failed.Ending, failed.Fault = "qemu-died", "harness"
			r.Boots = append(r.Boots, failed)
		}},
		{name: "the harness failed", problem: "ended well in 0 of 1 boot", change: func(r *results.Record) { r.Boots[1].Ending, r.Boots[1].Fault = "qemu-died", "harness" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := base()
			tt.change(r)
			c := CatchOf(r, "s390x", "bad")
			if c.By != tt.by || c.Found() != (tt.by != "") {
				t.Errorf("got %+v, want it caught by %q", c, tt.by)
			}
			if (tt.problem == "") != (c.Problem == "") || !strings.Contains(c.Problem, tt.problem) {
				t.Errorf("problem %q, want %q", c.Problem, tt.problem)
			}
		})
	}
}
