// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// modelled is the table of simulated misses in the same windows.
func (t *itlbArch) modelled() Block {
	hot := t.hotOf(t.small)
	cols := t.columns()
	table := Table{Caption: fmt.Sprintf("%s, model: L1 iTLB misses on BPF code per program run, once warm; the same windows", t.arch), Columns: []Column{{Title: "TLB"}}}
	for _, c := range cols {
		table.Columns = append(table.Columns, Column{Title: c.String(), Detail: t.aside(c)})
	}
	for _, k := range t.models() {
		for _, form := range forms() {
			for _, figure := range []struct {
				name   string
				detail bool
				value  func(k simulated, c column, bound, loaded, hot, form string) (float64, bool)
				text   func(float64) string
			}{
				{k.name(), !k.brief, t.model, misses},
				{"  programs with such a page", true, t.programs, number},
			} {
				row := Row{Cells: []Cell{{Text: figure.name + suffix(form)}}, Detail: figure.detail || form != byTestRun}
				found := false
				for _, c := range cols {
					cell := Cell{Text: ""}
					if x, ok := figure.value(k, c, flushesIgnored, t.small, hot, form); ok {
						cell, found = Cell{Text: figure.text(x)}, true
						// The other bound stands beside it where it makes a difference.
						y, ok := figure.value(k, c, flushesFull, t.small, hot, form)
						if other := figure.text(y); ok && other != cell.Text {
							cell.Text += " to " + other
						}
					}
					row.Cells = append(row.Cells, cell)
				}
				if found {
					table.Rows = append(table.Rows, row)
				}
			}
		}
	}
	return table
}

// simulated is one simulated TLB: a geometry with its policy, or a fully
// associative LRU one of so many entries.
type simulated struct {
	geometry, policy, entries string
	brief                     bool
}

func (k simulated) name() string {
	if k.entries != "" {
		return k.entries + " entries, fully assoc."
	}
	return k.geometry + ", " + k.policy
}

// models lists the geometries that were simulated, each once, those of the sweep
// as the ones to show in brief, and some capacities, in brief where no geometry is
// known.
func (t *itlbArch) models() []simulated {
	swept := map[string]bool{}
	for _, v := range pick(t.list, modelMisses, "loaded", t.large) {
		swept[v.labels["geometry"]+"\x00"+v.labels["policy"]] = t.large != t.small
	}
	var list []simulated
	seen := map[string]bool{}
	for _, v := range pick(t.list, modelMisses) {
		key := v.labels["geometry"] + "\x00" + v.labels["policy"]
		if !seen[key] {
			seen[key] = true
			list = append(list, simulated{geometry: v.labels["geometry"], policy: v.labels["policy"], brief: swept[key]})
		}
	}
	known := len(list) > 0
	for _, n := range []string{"64", "128", "256", "512"} {
		list = append(list, simulated{entries: n, brief: !known})
	}
	return list
}

// What is made of a flush that the trace knows only in part.
const (
	flushesIgnored = "ignored"
	flushesFull    = "full"
)

// model returns the warm misses on BPF code per run.
func (t *itlbArch) model(k simulated, c column, bound, loaded, hot, form string) (float64, bool) {
	want := []string{"loaded", loaded, "hot", hot, "form", form, "part", "bpf", "bound", bound, "mapping", c.mapping}
	metric := modelMisses
	if k.entries != "" {
		metric = modelCapacity
		want = append(want, "entries", k.entries)
	} else {
		want = append(want, "geometry", k.geometry, "policy", k.policy, "lap", "warm")
	}
	x, ok := t.index[itlbKey(metric, c.variant, want)]
	return x, ok
}

// programs returns how many of the hot programs have code on a page that is among
// model's misses.
func (t *itlbArch) programs(k simulated, c column, bound, loaded, hot, form string) (float64, bool) {
	want := []string{"loaded", loaded, "hot", hot, "form", form, "bound", bound, "mapping", c.mapping}
	metric := modelPrograms
	if k.entries != "" {
		metric = capacityPrograms
		want = append(want, "entries", k.entries)
	} else {
		want = append(want, "geometry", k.geometry, "policy", k.policy)
	}
	x, ok := t.index[itlbKey(metric, c.variant, want)]
	return x, ok
}

// flushes says how far apart the model's two bounds can be, and which of them is
// shown.
func (t *itlbArch) flushes() []Block {
	seen := map[string]float64{}
	for _, v := range pick(t.list, traceFlushes) {
		seen[v.labels["seen"]] += v.value
	}
	if len(seen) == 0 {
		return nil
	}
	says := "no instruction in any window drops TLB entries, so that no figure hangs on what one drops"
	switch {
	case seen["partly"] > 0:
		says = fmt.Sprintf("TLB entries are dropped by %s in the windows, and the trace doesn't tell which. They are taken for none; where two figures stand, the second is as if each time everything were dropped",
			Quantity("instructions", seen["partly"]))
	case seen["fully"] > 0:
		says = fmt.Sprintf("TLB entries are dropped by %s in the windows, and the trace tells which", Quantity("instructions", seen["fully"]))
	}
	return []Block{Para{Text: fmt.Sprintf("%s: %s.", t.arch, says)}}
}

func misses(x float64) string {
	text, _ := amount(missesUnit, x)
	return text
}

// missesUnit is the unit of modelled misses; amount knows it.
const missesUnit = "misses/run"

// againstHot plots misses against how many programs are hot.
func (t *itlbArch) againstHot() []Block {
	var blocks []Block
	if t.large == t.small {
		return nil
	}
	models := slices.DeleteFunc(t.models(), func(k simulated) bool { return !k.brief })
	brief := max(0, slices.IndexFunc(models, func(k simulated) bool { return k.geometry == "skylake-sp" || k.entries == "128" }))
	for i, k := range models {
		for _, form := range forms() {
			p := t.hotPlot(k, form)
			p.Detail = i != brief || form != byTestRun
			if len(p.Series) > 0 {
				blocks = append(blocks, p)
			}
		}
	}
	return blocks
}

func (t *itlbArch) hotPlot(k simulated, form string) Plot {
	p := Plot{Title: fmt.Sprintf("%s, model %s: misses on BPF code per run, hot programs of %s%s", t.arch, k.name(), t.large, suffix(form)),
		XLabel: "hot programs", YLabel: "misses per run", YUnit: missesUnit, LogX: true}
	for _, c := range t.columns() {
		s := Series{Name: c.String(), Detail: t.aside(c)}
		for _, hot := range t.hots() {
			if y, ok := t.model(k, c, flushesIgnored, t.large, strconv.Itoa(hot), form); ok {
				s.X, s.Y = append(s.X, float64(hot)), append(s.Y, y)
			}
		}
		if len(s.X) > 0 {
			p.Series = append(p.Series, s)
		}
	}
	return p
}

// hots lists the numbers of hot programs in the sweep.
func (t *itlbArch) hots() []int {
	seen := map[int]bool{}
	for _, v := range pick(t.list, tracePages, "loaded", t.large, "form", "test_run") {
		if n, err := strconv.Atoi(v.labels["hot"]); err == nil {
			seen[n] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// againstCapacity plots misses against the size of a fully associative TLB, in
// the windows of which every size is known.
func (t *itlbArch) againstCapacity() []Block {
	hot := t.hotOf(t.small)
	p := Plot{Title: fmt.Sprintf("%s, model: misses on BPF code per run, against entries of a fully associative LRU TLB; %s hot of %s programs", t.arch, hot, t.small),
		XLabel: "entries", YLabel: "misses per run", YUnit: missesUnit, LogX: true, Detail: true}
	for _, c := range t.columns() {
		s := Series{Name: c.String()}
		for _, x := range pick(t.list, modelCapacity, "loaded", t.small, "hot", hot, "form", "test_run", "part", "bpf", "bound", flushesIgnored, "mapping", c.mapping) {
			if n, err := strconv.ParseFloat(x.labels["entries"], 64); err == nil && x.variant == c.variant {
				s.X, s.Y = append(s.X, n), append(s.Y, x.value)
			}
		}
		if len(s.X) > 0 {
			p.Series = append(p.Series, s)
		}
	}
	if len(p.Series) == 0 {
		return nil
	}
	return []Block{p}
}
