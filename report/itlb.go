// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// itlbMetric tells whether a metric is one of the instruction TLB's, which have
// a section of their own: hundreds of rows make no table.
func itlbMetric(name string) bool { return strings.HasPrefix(name, "itlb_") }

// The metrics that the section is made of.
const (
	tracePages       = "itlb_trace_pages"
	traceMappings    = "itlb_trace_translations"
	traceTransitions = "itlb_trace_transitions_per_run"
	traceFlushes     = "itlb_trace_flushes"
	modelMisses      = "itlb_model_misses_per_run"
	modelCapacity    = "itlb_model_capacity_misses_per_run"
	modelPrograms    = "itlb_model_programs_missing"
	capacityPrograms = "itlb_model_capacity_programs_missing"
	pmuPrefix        = "itlb_pmu_"
	asIs             = "as-is"
)

// itlbValue is one value of the section's metrics with all its labels.
type itlbValue struct {
	arch, metric, variant string
	labels                map[string]string
	value                 float64
}

// itlbValues gathers them from the rows, in their order.
func (b *builder) itlbValues() []itlbValue {
	var list []itlbValue
	for _, k := range b.rows {
		if !itlbMetric(k.metric) {
			continue
		}
		for _, v := range b.variants {
			if c, ok := b.values[k][v]; ok && c.HeadCentre != nil {
				list = append(list, itlbValue{k.arch, k.metric, v, c.Labels, *c.HeadCentre})
			}
		}
	}
	return list
}

// pick returns the values of a metric that have all the labels in want, which
// are given as names and values in turn, and may have others. For a single value
// there is an index.
func pick(list []itlbValue, metric string, want ...string) []itlbValue {
	var out []itlbValue
	for _, v := range list {
		fits := v.metric == metric
		for i := 0; fits && i < len(want); i += 2 {
			fits = v.labels[want[i]] == want[i+1]
		}
		if fits {
			out = append(out, v)
		}
	}
	return out
}

// itlbIndex returns the values by all that tells them apart.
func itlbIndex(list []itlbValue) map[string]float64 {
	index := make(map[string]float64, len(list))
	for _, v := range list {
		var labels []string
		for name, value := range v.labels {
			labels = append(labels, name, value)
		}
		index[itlbKey(v.metric, v.variant, labels)] = v.value
	}
	return index
}

// itlbKey is the key of the value that has just these labels, which are given as
// names and values in turn, in any order.
func itlbKey(metric, variant string, labels []string) string {
	pairs := []string{metric, variant}
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, labels[i]+"="+labels[i+1])
	}
	slices.Sort(pairs[2:])
	return strings.Join(pairs, "\x00")
}

// itlb is the section of the instruction TLB: what was counted in the trace,
// what a model makes of it, and what a PMU counted, each apart.
func (b *builder) itlb() []Section {
	all := b.itlbValues()
	if len(all) == 0 {
		return nil
	}
	s := Section{ID: "itlb", Title: "Instruction TLB"}
	for _, arch := range b.archs {
		var list []itlbValue
		for _, v := range all {
			if v.arch == arch {
				list = append(list, v)
			}
		}
		if len(list) == 0 {
			continue
		}
		t := itlbArch{b: b, arch: arch, list: list, index: itlbIndex(list)}
		t.windows()
		if t.traced() {
			s.Blocks = append(s.Blocks, t.counted())
			s.Blocks = append(s.Blocks, t.entriesAgainstHot()...)
			s.Blocks = append(s.Blocks, t.modelled())
			s.Blocks = append(s.Blocks, t.flushes()...)
			s.Blocks = append(s.Blocks, t.againstHot()...)
			s.Blocks = append(s.Blocks, t.againstCapacity()...)
		}
		s.Blocks = append(s.Blocks, t.measured()...)
	}
	return []Section{s}
}

// itlbArch makes one architecture's part.
type itlbArch struct {
	b    *builder
	arch string
	list []itlbValue
	// index has the values by their keys: thousands, from which a table or a plot
	// takes one for each of its cells.
	index map[string]float64
	// small and large are how many programs were loaded in the windows of which
	// everything is shown, and in those of the sweep over hot ones.
	small, large string
}

// traced tells whether there is more than what a processor counted.
func (t *itlbArch) traced() bool {
	return slices.ContainsFunc(t.list, func(v itlbValue) bool { return !strings.HasPrefix(v.metric, pmuPrefix) })
}

func (t *itlbArch) windows() {
	var loaded []int
	for _, v := range t.list {
		if n, err := strconv.Atoi(v.labels["loaded"]); err == nil {
			loaded = append(loaded, n)
		}
	}
	if len(loaded) > 0 {
		t.small, t.large = strconv.Itoa(slices.Min(loaded)), strconv.Itoa(slices.Max(loaded))
	}
}

// hotOf returns how many programs are hot where so many are loaded, the largest
// number if there are several.
func (t *itlbArch) hotOf(loaded string) string {
	hot := 0
	for _, v := range pick(t.list, tracePages, "loaded", loaded) {
		n, _ := strconv.Atoi(v.labels["hot"])
		hot = max(hot, n)
	}
	return strconv.Itoa(hot)
}

// column is a column of the model's table: a kernel as it is, or as if its
// programs were mapped otherwise.
type column struct{ variant, mapping string }

func (c column) String() string {
	if c.mapping == asIs {
		return c.variant
	}
	return c.variant + " " + strings.TrimPrefix(c.mapping, "what-if-") + "?"
}

func (t *itlbArch) columns() []column {
	var list []column
	for _, v := range t.b.variants {
		for _, m := range []string{asIs, "what-if-4k", "what-if-2m"} {
			c := column{v, m}
			if slices.ContainsFunc(t.list, func(x itlbValue) bool { return x.variant == v && x.labels["mapping"] == m }) {
				list = append(list, c)
			}
		}
	}
	return list
}

// aside tells the columns that the text form has no room for: what would become
// of others than the candidate.
func (t *itlbArch) aside(c column) bool { return c.mapping != asIs && c.variant != t.b.rec.Candidate }

// byTestRun is the form of a window whose programs are called by test runs.
const byTestRun = "test_run"

func forms() []string { return []string{byTestRun, "attached"} }

// suffix tells the rows of attached programs from those of test runs.
func suffix(form string) string {
	if form == byTestRun {
		return ""
	}
	return ", " + form
}

// counted is the table of what the trace shows without any model.
func (t *itlbArch) counted() Block {
	hot := t.hotOf(t.small)
	table := Table{Caption: fmt.Sprintf("%s, trace: counted, no model; %s hot programs of %s, in test runs", t.arch, hot, t.small), Columns: []Column{{Title: ""}}}
	for _, v := range t.b.variants {
		table.Columns = append(table.Columns, Column{Title: v})
	}
	for _, form := range forms() {
		for _, row := range []struct {
			name, metric string
			detail       bool
			labels       []string
		}{
			{"pages of BPF code", tracePages, false, []string{"part", "bpf"}},
			{"TLB entries for BPF code", traceMappings, false, []string{"part", "bpf", "page", "all"}},
			{"  of them 4 KiB", traceMappings, true, []string{"part", "bpf", "page", "4k"}},
			{"  of them larger", traceMappings, true, []string{"part", "bpf", "page", "large"}},
			{"pages of kernel code", tracePages, true, []string{"part", "kernel"}},
			{"pages of user code", tracePages, true, []string{"part", "user"}},
			{"TLB entries for all code", traceMappings, true, []string{"part", "all", "page", "all"}},
			{"changes of page per run, to BPF", traceTransitions, true, []string{"part", "bpf"}},
			{"changes of page per run, all", traceTransitions, true, []string{"part", "all"}},
			{"flushes whose extent was seen", traceFlushes, true, []string{"seen", "fully"}},
			{"flushes seen in part", traceFlushes, true, []string{"seen", "partly"}},
		} {
			r := Row{Cells: []Cell{{Text: row.name + suffix(form)}}, Detail: row.detail || form != byTestRun}
			found := false
			for _, v := range t.b.variants {
				cell := Cell{Text: "n/m", Tone: Muted, Hint: notMeasured}
				if x, ok := t.index[itlbKey(row.metric, v, append([]string{"loaded", t.small, "hot", hot, "form", form}, row.labels...))]; ok {
					cell, found = Cell{Text: number(x)}, true
				}
				r.Cells = append(r.Cells, cell)
			}
			if found {
				table.Rows = append(table.Rows, r)
			}
		}
	}
	return table
}

// entriesAgainstHot plots what the trace shows without any model: how many TLB entries
// the code of the hot programs takes, by their size.
func (t *itlbArch) entriesAgainstHot() []Block {
	if t.large == t.small {
		return nil
	}
	p := Plot{Title: fmt.Sprintf("%s, trace: TLB entries for BPF code by their size, hot programs of %s", t.arch, t.large),
		XLabel: "hot programs", YLabel: "TLB entries", LogX: true, Detail: true}
	for _, v := range t.b.variants {
		for _, size := range []struct{ page, name string }{{"4k", "4 KiB"}, {"large", "larger"}} {
			s := Series{Name: v + ", " + size.name}
			any := false
			for _, hot := range t.hots() {
				labels := []string{"loaded", t.large, "hot", strconv.Itoa(hot), "form", byTestRun, "part", "bpf", "page", size.page}
				if y, ok := t.index[itlbKey(traceMappings, v, labels)]; ok {
					s.X, s.Y = append(s.X, float64(hot)), append(s.Y, y)
					any = any || y > 0
				}
			}
			if any {
				p.Series = append(p.Series, s)
			}
		}
	}
	if len(p.Series) == 0 {
		return nil
	}
	return []Block{p}
}

// measured is the table of what a PMU counted, or says why there is none.
func (t *itlbArch) measured() []Block {
	table := t.b.table(t.arch+", measured by the processor's counters", func(k rowKey) bool {
		return k.arch == t.arch && strings.HasPrefix(k.metric, "itlb_pmu_")
	})
	if len(table.Rows) > 0 {
		// Real events are few and worth their room where there is nothing else.
		for i := range table.Rows {
			table.Rows[i].Detail = table.Rows[i].Detail && t.traced()
		}
		return []Block{table}
	}
	for _, u := range t.b.rec.Unmeasured {
		if u.Arch == t.arch && strings.HasPrefix(u.Metric, "itlb_pmu_") {
			return []Block{Para{Text: fmt.Sprintf("%s, measured: nothing, because %s.", t.arch, strings.TrimSuffix(u.Why, "."))}}
		}
	}
	return nil
}

// itlbLimits says in a line for each tier what its figures leave out.
func (b *builder) itlbLimits() []Block {
	if !slices.ContainsFunc(b.rows, func(k rowKey) bool { return itlbMetric(k.metric) }) {
		return []Block{Para{Text: "No iTLB misses were counted: text_mappings is how many TLB entries the code takes, not how often one is missing."}}
	}
	measured := Para{Text: "Measured: one processor's events per thousand instructions; noisy, and not to be set against a model's misses."}
	counts := slices.ContainsFunc(b.rows, func(k rowKey) bool { return strings.HasPrefix(k.metric, pmuPrefix) })
	if counts && !slices.ContainsFunc(b.rows, func(k rowKey) bool { return itlbMetric(k.metric) && !strings.HasPrefix(k.metric, pmuPrefix) }) {
		return []Block{measured}
	}
	list := []Block{
		Para{Text: "Trace: pages that instructions were fetched from, in one deterministic boot on one CPU."},
		Para{Text: "Model: a simulated L1 over that trace; no speculation, prefetch, SMT, walk caches or pressure from data. Read differences between kernels, not misses, and never time. What ends in ? is a what-if: the same trace, mapped otherwise. docs/itlb.md says the rest."},
	}
	if counts {
		list = append(list, measured)
	}
	return list
}
