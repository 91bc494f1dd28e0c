// SPDX-License-Identifier: GPL-2.0-or-later

package compare

// itlbRules returns the rules of the scenario itlb's metrics. None weighs: the
// pages and mappings under the programs are judged where they are counted, and
// a model, or one processor's counters, say what they may come to.
func itlbRules() []Rule {
	return []Rule{
		{Metric: "itlb_trace_pages", Gate: Shown, Scenario: "itlb",
			Why: "jit_pages of the programs that run; that one is judged."},
		{Metric: "itlb_trace_translations", Gate: Shown, Scenario: "itlb",
			Why: "text_mappings of the code that runs; that one is judged."},
		{Metric: "itlb_trace_transitions_per_run", Gate: Shown, Scenario: "itlb",
			Why: "Describes the workload: an allocator changes where code lies, hardly what is called."},
		{Metric: "itlb_trace_flushes", Gate: Shown, Scenario: "itlb",
			Why: "Says how far apart the model's two bounds may be."},
		{Metric: "itlb_model_misses_per_run", Gate: Shown,
			Why: "A model's outcome explains a change and proves none."},
		{Metric: "itlb_model_misses_per_kiloinstruction", Gate: Shown,
			Why: "As itlb_model_misses_per_run."},
		{Metric: "itlb_model_walks_per_run", Gate: Shown,
			Why: "As itlb_model_misses_per_run."},
		{Metric: "itlb_model_capacity_misses_per_run", Gate: Shown, Scenario: "itlb",
			Why: "As itlb_model_misses_per_run."},
		{Metric: "itlb_model_programs_missing", Gate: Shown,
			Why: "As itlb_model_misses_per_run, by programs."},
		{Metric: "itlb_model_capacity_programs_missing", Gate: Shown,
			Why: "As itlb_model_misses_per_run, by programs."},
		{Metric: "itlb_pmu_second_level_hits", Gate: Shown, Tolerance: 0.1,
			Why: "Counted where there is a PMU, which is on few of the machines that compare kernels."},
		{Metric: "itlb_pmu_walks", Gate: Shown, Tolerance: 0.1,
			Why: "As itlb_pmu_second_level_hits."},
	}
}
