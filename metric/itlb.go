// SPDX-License-Identifier: GPL-2.0-or-later

package metric

// itlb returns the metrics of the scenario itlb. What is counted in a trace,
// what a model makes of it, and what a processor counted are three tiers.
func itlb() []Def {
	window := func(more ...string) []string { return append([]string{"form", "loaded", "hot"}, more...) }
	return []Def{
		{Name: "itlb_trace_pages", Unit: "pages", Better: Lower, Exact: true, Tier: Layout, Labels: window("part"),
			Help: "Distinct 4 KiB pages that instructions were fetched from in a traced window."},
		{Name: "itlb_trace_translations", Unit: "mappings", Better: Lower, Exact: true, Tier: Layout, Labels: window("part", "page"),
			Help: "Distinct page-table leaf entries that mapped those pages: the TLB entries it takes to hold all of them."},
		{Name: "itlb_trace_transitions_per_run", Unit: "transitions/run", Better: Neither, Exact: true, Tier: Layout, Labels: window("part"),
			Help: "Arrivals at a page from another, per program run, without the first round."},
		{Name: "itlb_trace_flushes", Unit: "flushes", Better: Neither, Exact: true, Tier: Layout, Labels: window("seen"),
			Help: "Instructions in a traced window that drop TLB entries, by whether the trace says which entries."},
		{Name: "itlb_model_misses_per_run", Unit: "misses/run", Better: Lower, Exact: true, Tier: Model, Labels: window("geometry", "policy", "bound", "mapping", "lap", "part"),
			Help: "First-level instruction TLB misses per program run, simulated over the trace."},
		{Name: "itlb_model_misses_per_kiloinstruction", Unit: "misses/1000 instructions", Better: Lower, Exact: true, Tier: Model, Labels: window("geometry", "policy", "bound", "mapping", "lap"),
			Help: "First-level instruction TLB misses of all code per thousand instructions, simulated over the trace."},
		{Name: "itlb_model_walks_per_run", Unit: "walks/run", Better: Lower, Exact: true, Tier: Model, Labels: window("geometry", "policy", "bound", "mapping", "lap", "part"),
			Help: "Misses of both levels per program run, simulated, where the second level holds instructions only."},
		{Name: "itlb_model_capacity_misses_per_run", Unit: "misses/run", Better: Lower, Exact: true, Tier: Model, Labels: window("bound", "mapping", "entries", "part"),
			Help: "Misses per program run, without the first round, of a fully associative LRU TLB with that many entries, from stack distances over the trace."},
		{Name: "itlb_model_programs_missing", Unit: "programs", Better: Lower, Exact: true, Tier: Model, Labels: window("geometry", "policy", "bound", "mapping"),
			Help: "Programs of those that run that have code on a page on which the simulated first level missed after the first round."},
		{Name: "itlb_model_capacity_programs_missing", Unit: "programs", Better: Lower, Exact: true, Tier: Model, Labels: window("bound", "mapping", "entries"),
			Help: "The same of a fully associative LRU TLB with that many entries, from stack distances over the trace."},
		{Name: "itlb_pmu_second_level_hits", Unit: "hits/1000 instructions", Better: Lower, Exact: false, Tier: Measured, Labels: window("event"),
			Help: "Instruction TLB misses that the second level served, per thousand instructions, counted by the processor; in the kernel alone, but on s390x, whose counters can't leave user mode out."},
		{Name: "itlb_pmu_walks", Unit: "walks/1000 instructions", Better: Lower, Exact: false, Tier: Measured, Labels: window("event"),
			Help: "Page walks for instruction fetches, per thousand instructions, counted by the processor; in the kernel alone, but on s390x, whose counters can't leave user mode out."},
	}
}
