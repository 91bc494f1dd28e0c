// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"strings"
	"testing"

	"packtest/metric"
	"packtest/results"
)

// A run of attacks alone compares nothing and can pass, but only if each attack
// says that it looked.
func TestAttacksAlone(t *testing.T) {
	record := func() *results.Record {
		r := &results.Record{Baseline: "nopack", Candidate: "pack"}
		for i, v := range []string{"nopack", "pack"} {
			r.Planned = append(r.Planned, results.Planned{Arch: "s390x", Variant: v, Scenario: "churn", Boots: 1})
			r.Cells = append(r.Cells, results.Cell{Arch: "s390x", Variant: v, Image: strings.Repeat(string(rune('a'+i)), 64)})
			r.Boots = append(r.Boots, results.Boot{Arch: "s390x", Variant: v, Number: 1, Scenarios: []string{"churn"}, Ending: results.EndingDone})
			r.Samples = append(r.Samples, results.Sample{Arch: "s390x", Variant: v, Scenario: "churn", Sample: metric.New("attack_looks", nil, 14)})
		}
		return r
	}
	if v, why := Judge(record()); v != results.Pass {
		t.Errorf("a clean run is %s: %s", v, why)
	}
	blind := record()
	blind.Samples = blind.Samples[:1]
	if v, why := Judge(blind); v != results.HarnessFailed || !strings.Contains(why, "attack_looks") {
		t.Errorf("an attack that never looked is %s: %s", v, why)
	}
	elsewhere := record()
	elsewhere.Samples[1].Scenario = "parallel"
	if v, why := Judge(elsewhere); v != results.HarnessFailed {
		t.Errorf("a look in another scenario makes it %s: %s", v, why)
	}
	bad := record()
	bad.Findings = []results.Finding{{Arch: "s390x", Variant: "pack", Scenario: "churn", Kind: "overlap", Title: "programs' code overlaps"}}
	if v, _ := Judge(bad); v != results.KernelFailed {
		t.Errorf("a finding makes it %s", v)
	}
}

// Scenarios that could do nothing on these kernels prove nothing, whatever their
// reasons.
func TestNothingDone(t *testing.T) {
	r := &results.Record{Baseline: "nopack", Candidate: "pack"}
	for i, v := range []string{"nopack", "pack"} {
		r.Planned = append(r.Planned, results.Planned{Arch: "s390x", Variant: v, Scenario: "faults", Boots: 1})
		r.Cells = append(r.Cells, results.Cell{Arch: "s390x", Variant: v, Image: strings.Repeat(string(rune('a'+i)), 64)})
		r.Boots = append(r.Boots, results.Boot{Arch: "s390x", Variant: v, Number: 1, Scenarios: []string{"faults"}, Ending: results.EndingDone})
		r.Samples = append(r.Samples, results.Sample{Arch: "s390x", Variant: v, Scenario: "boot", Sample: metric.New("boot_time", nil, 1e9)})
		r.Unmeasured = append(r.Unmeasured, results.Unmeasured{Arch: "s390x", Variant: v, Scenario: "faults", Metric: "faults_injected", Why: "the kernel has no fault injection"})
	}
	if v, why := Judge(r); v != results.Inconclusive || ExitCode(v) == 0 {
		t.Errorf("nothing done is %s: %s", v, why)
	}
}

// What fails alike on both kernels is nobody's fault and was not carried out, be
// it said of the scenario or told by values that are not there.
func TestFailedAlike(t *testing.T) {
	for _, metrics := range [][2]string{{"faults", "faults_injected"}, {"numa", "node_pages"}} {
		scenario := metrics[0]
		record := func() *results.Record {
			r := evenRecord()
			for _, arch := range []string{"s390x", "x86_64"} {
				for _, v := range []string{"nopack", "pack"} {
					r.Planned = append(r.Planned, results.Planned{Arch: arch, Variant: v, Scenario: scenario, Boots: 1})
					r.Boots = append(r.Boots, results.Boot{Arch: arch, Variant: v, Number: 3, Scenarios: []string{scenario}, Ending: results.EndingDone})
					r.Samples = append(r.Samples, results.Sample{Arch: arch, Variant: v, Scenario: scenario, Sample: metric.New(metrics[1], nil, 14)})
				}
			}
			return r
		}
		wantVerdict(t, record(), results.Pass, "")
		silent := record()
		dropSamples(silent, "pack", metrics[1])
		dropSamples(silent, "nopack", metrics[1])
		wantVerdict(t, silent, results.HarnessFailed, metrics[1])

		failed := func(variants ...string) *results.Record {
			r := record()
			for _, v := range variants {
				r.Findings = append(r.Findings, results.Finding{Arch: "s390x", Variant: v, Scenario: scenario, Kind: results.ScenarioFailed,
					Title: "the scenario could not be carried out", Evidence: "no such file"})
			}
			return r
		}
		wantVerdict(t, failed("nopack", "pack"), results.Inconclusive, "could not be carried out: no such file")
		wantVerdict(t, failed("nopack"), results.Inconclusive, "nopack on s390x could not be carried out")
		wantVerdict(t, failed("pack"), results.KernelFailed, "the scenario could not be carried out")
		wantVerdict(t, failed("upstream"), results.Pass, "")
	}
}
