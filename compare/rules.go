// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"packtest/results"
)

// Gate says whether a metric takes part in the run's verdict.
type Gate string

const (
	// Judged: a worse value beyond the slack or tolerance makes the run
	// regressed, a better one improved.
	Judged Gate = "judged"
	// Shown: the change is reported and leaves the verdict alone.
	Shown Gate = "shown"
	// Unpaired: the metric's labels name things that have no counterpart in
	// another kernel, so there is no change to report.
	Unpaired Gate = "unpaired"
)

// Rule says how one metric is judged.
type Rule struct {
	Metric string
	Gate   Gate
	// Slack is the difference, in the metric's unit, up to which an exact
	// metric that got better or worse does not weigh; SlackShare is the same as
	// a fraction of the baseline's value. The larger of the two holds.
	Slack, SlackShare float64
	slackBy           string // whose slack that is
	// Tolerance is the relative difference up to which a noisy metric is the
	// same, 0.1 being ten per cent; or else the difference in the metric's unit.
	Tolerance, ToleranceUnits float64
	// FactorTCG is how many times larger or smaller a noisy metric must be to
	// weigh if it was timed under TCG.
	FactorTCG float64
	// Scenario is the one that must deliver the metric, or say why it can't,
	// wherever it is planned; several are separated by spaces.
	Scenario string
	Why      string
}

const mib = 1 << 20

// expects tells whether the scenario must deliver the rule's metric.
func (r Rule) expects(scenario string) bool {
	return slices.Contains(strings.Fields(r.Scenario), scenario)
}

// Rules returns the rule of every metric in the catalogue, in its order.
func Rules() []Rule { return slices.Clone(allRules()) }

// allRules are the rules, made once: each scenario of a record is held against
// them, and so is each of its metrics. They are not to be changed.
var allRules = sync.OnceValue(func() []Rule {
	return append([]Rule{
		{Metric: "programs", Gate: Shown, Scenario: "load",
			Why: "Says what was loaded. Where it differs between two kernels nothing else of that scenario is compared."},
		{Metric: "jit_pages", Gate: Judged, SlackShare: 0.01, Scenario: "load",
			Why: "What the series is for: the fewer pages hold code, the fewer iTLB entries the programs need. A page in a hundred more or less is where holes happened to fall."},
		{Metric: "jit_bytes_used", Gate: Shown, Scenario: "load",
			Why: "The compiler's output: an allocator doesn't change what a program takes, only where it lies."},
		{Metric: "jit_bytes_mapped", Gate: Judged, Slack: 2 * mib, Scenario: "load",
			Why: "A pack is mapped whole for its first program, so a small load may map up to one pack (2 MiB) more: called worse, and held against the series only beyond that."},
		{Metric: "jit_utilisation", Gate: Shown, Scenario: "load",
			Why: "Follows from jit_bytes_mapped, which is judged."},
		{Metric: "programs_per_page", Gate: Shown, Scenario: "load",
			Why: "Follows from jit_pages, which is judged."},
		{Metric: "packs", Gate: Shown, Scenario: "load",
			Why: "Describes how the allocator works."},
		{Metric: "pack_occupancy", Gate: Unpaired,
			Why: "One kernel's third pack is not another's; the reports draw every pack instead."},
		{Metric: "programs_mapped_4k", Gate: Shown, Scenario: "load",
			Why: "Describes; text_mappings says what it comes to."},
		{Metric: "programs_mapped_2m", Gate: Shown, Scenario: "load",
			Why: "Describes; text_mappings says what it comes to."},
		{Metric: "text_mappings", Gate: Judged, SlackShare: 0.01, Scenario: "load",
			Why: "TLB entries it takes to hold all code: counts small pages and large ones alike."},
		{Metric: "directmap_4k", Gate: Judged, Slack: 2 * mib, Scenario: "directmap",
			Why: "The series' other gain. One large page split more or less (2 MiB) is where other allocations of that boot fell."},
		{Metric: "directmap_2m", Gate: Shown, Scenario: "directmap",
			Why: "Its gain is directmap_4k's loss, and a split 1 GiB entry raises it as well."},
		{Metric: "directmap_1g", Gate: Shown, Scenario: "directmap",
			Why: "Splits at the size of a whole machine; what fills it is directmap_4k."},
		{Metric: "vmalloc_used", Gate: Shown, Tolerance: 0.1, Scenario: "load",
			Why: "Other users of vmalloc are in it; the JIT's own share is jit_bytes_mapped, exactly."},
		{Metric: "jit_charged", Gate: Shown, Scenario: "load",
			Why: "Accounting: what is charged for may change by design. A charge that stays is a finding of the drain."},
		{Metric: "drain_residue", Gate: Shown, Scenario: "drain",
			Why: "What must return to where it was is an oracle, and what doesn't is a finding, which weighs more than a metric."},
		{Metric: "vmalloc_residue", Gate: Shown, Tolerance: 0.1, Scenario: "drain",
			Why: "The kernel's other users of vmalloc share it; what the JIT leaves is drain_residue, exactly."},
		{Metric: "load_time_per_program", Gate: Judged, Tolerance: 0.1, FactorTCG: 5, Scenario: "load",
			Why: "Weighs on hardware. Under TCG an instruction's cost is the emulator's: waiting for the other CPU after each copy of text was seen to double a load on s390x. So only a collapse does, beyond five times."},
		{Metric: "free_time_per_program", Gate: Judged, Tolerance: 0.1, FactorTCG: 5, Scenario: "drain",
			Why: "As load_time_per_program: a slow invalidate on the free path once took minutes."},
		{Metric: "boot_time", Gate: Shown, Tolerance: 0.1,
			Why: "Tells whether the machine was quiet; loading programs is no part of it."},
		{Metric: "attack_loads", Gate: Shown, Tolerance: 0.1,
			Why: "How much an attack did; what it is after is findings."},
		{Metric: "attack_runs", Gate: Shown, Tolerance: 0.1,
			Why: "As attack_loads."},
		{Metric: "attack_looks", Gate: Shown, Tolerance: 0.1, Scenario: "churn parallel shapes limits pressure soak",
			Why: "As attack_loads."},
		{Metric: "shape_runs", Gate: Shown,
			Why: "As attack_loads."},
		{Metric: "largest_program", Gate: Shown,
			Why: "The compiler's output: what matters is that a program of that size gives the right answer, and a wrong one is a finding."},
		{Metric: "limit_accepted", Gate: Shown,
			Why: "Accounting: what is charged for may change by design. A limit that does not hold is a finding."},
		{Metric: "faults_injected", Gate: Shown, Tolerance: 0.1, Scenario: "faults",
			Why: "Another allocator fails at other points; what it does then is watched by the oracles."},
		{Metric: "node_pages", Gate: Shown, Tolerance: 0.1, Scenario: "numa",
			Why: "Whose memory a program gets is the kernel's choice; that its answer is right on every node is watched by the oracles."},
		{Metric: "slab_growth", Gate: Shown, Tolerance: 0.1,
			Why: "The kernel's other users of slabs share it; growth in every round is a finding."},
		{Metric: "load_time_ratio", Gate: Shown, Tolerance: 0.1,
			Why: "Within one boot, of times that vary with the machine; load_time_per_program is what is judged."},
		{Metric: "free_time_ratio", Gate: Shown, Tolerance: 0.1,
			Why: "Within one boot, as load_time_ratio; free_time_per_program is what is judged."},
		{Metric: "test_bpf_passed", Gate: Judged, Scenario: "test_bpf",
			Why: "The kernel's own JIT suite must pass as it did."},
		{Metric: "test_bpf_failed", Gate: Judged, Scenario: "test_bpf",
			Why: "The kernel's own JIT suite must pass as it did; every new failure is a finding too."},
		{Metric: "test_bpf_jited", Gate: Judged, Scenario: "test_bpf",
			Why: "A program that falls back to the interpreter passes its test and proves nothing of the JIT."},
	}, itlbRules()...)
})

// tolerates tells whether a noisy metric has moved no further than the rule
// allows.
func (r Rule) tolerates(c *Change) bool {
	return relative(c) <= r.Tolerance || math.Abs(*c.Delta) <= r.ToleranceUnits
}

// toleranceText says up to where a noisy metric is the same.
func (r Rule) toleranceText(unit string) string {
	if r.ToleranceUnits > 0 {
		return fmt.Sprintf("%g %s", r.ToleranceUnits, unit)
	}
	return fmt.Sprintf("%g %%", r.Tolerance*100)
}

// Judges tells whether a metric takes part in the verdict.
func Judges(metric string) bool { return rule(metric).Gate == Judged }

// ruleOf returns the rule of a metric in a run, whose plan may have a tolerance
// for it in the place of the rule's own.
func ruleOf(rec *results.Record, metric string, exact bool) Rule {
	r := rule(metric)
	t, ok := rec.Tolerances[metric]
	switch {
	case !ok:
	case exact:
		r.Slack, r.SlackShare, r.slackBy = t.Absolute(), t.Share(), "the plan"
	default:
		r.Tolerance, r.ToleranceUnits = t.Share(), t.Absolute()
	}
	return r
}

// rule returns the rule of a metric. One that the catalogue lacks is shown.
func rule(metric string) Rule {
	for _, r := range allRules() {
		if r.Metric == metric {
			return r
		}
	}
	return Rule{Metric: metric, Gate: Shown, Tolerance: 0.1}
}
