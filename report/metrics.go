// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"packtest/compare"
	"packtest/metric"
)

func labelText(l map[string]string) string { return metric.LabelString(l) }

// brief are the metrics that the text form shows; the others stand in the long
// forms only. How many programs were loaded is in the caption; the direct map and test_bpf have sections of their own.
var brief = map[string]bool{
	"jit_pages": true, "programs_per_page": true, "jit_bytes_used": true,
	"jit_bytes_mapped": true, "text_mappings": true, "load_time_per_program": true, "free_time_per_program": true,
}

// directMapMetric and suiteMetric tell which metrics have sections of their own.
func directMapMetric(name string) bool { return strings.HasPrefix(name, "directmap_") }
func suiteMetric(name string) bool     { return strings.HasPrefix(name, "test_bpf_") }

// metrics makes an architecture's tables, one per tier: tiers are never mixed.
func (b *builder) metrics(arch string) Section {
	s := Section{ID: "metrics-" + arch, Title: arch}
	for _, tier := range []metric.Tier{metric.Layout, metric.Model, metric.Measured} {
		caption := b.tierCaption(arch, tier)
		if tier == metric.Layout {
			caption += b.loaded(arch)
		}
		t := b.table(caption, func(k rowKey) bool {
			return k.arch == arch && b.tier(k) == tier && !directMapMetric(k.metric) && !suiteMetric(k.metric)
		})
		if len(t.Rows) > 0 {
			s.Blocks = append(s.Blocks, t)
		}
	}
	if len(s.Blocks) == 0 {
		s.Blocks = append(s.Blocks, Para{Text: "Nothing was measured on " + arch + ".", Tone: Bad})
	}
	return s
}

func (b *builder) tierCaption(arch string, tier metric.Tier) string {
	switch tier {
	case metric.Layout:
		return "layout: counted from the kernel's own tables"
	case metric.Model:
		return "model: a simulation over a trace of instruction fetches"
	}
	if b.rec.Provenance.Accelerator[arch] == "tcg" {
		return "measured by the guest's clock, under TCG: not a processor's times"
	}
	return "measured by the guest's clock"
}

// loaded says how many programs the kernels held, if all held the same.
func (b *builder) loaded(arch string) string {
	n, ok := b.value(arch, "programs", b.rec.Candidate)
	for _, v := range b.variants {
		if m, have := b.value(arch, "programs", v); have && m != n {
			return ""
		}
	}
	if !ok {
		return ""
	}
	return ", with " + Quantity("programs", n) + " loaded"
}

// table makes a table of the rows to keep: a column of values for every variant,
// and one of changes for every variant but the baseline.
func (b *builder) table(caption string, keep func(rowKey) bool) Table {
	t := Table{Caption: caption, Columns: []Column{{Title: "metric"}}}
	for _, v := range b.variants {
		t.Columns = append(t.Columns, Column{Title: v})
		if b.paired() && v != b.rec.Baseline {
			t.Columns = append(t.Columns, Column{Title: "change", Detail: v != b.rec.Candidate})
		}
	}
	for _, k := range b.rows {
		if keep(k) {
			t.Rows = append(t.Rows, b.row(k))
		}
	}
	return t
}

// signs explains the signs that stand in the tables, once for all of them.
func (b *builder) signs() []Block {
	var says, detail []string
	for _, s := range []struct{ sign, says string }{
		{"!", "! worse"},
		{"*", "* worse, and not held against the series: docs/metrics.md says why"},
		{"~", "~ no difference that the values could show"},
		{"?", "? too few or too unlike values to tell; more boots would"},
		{"n/m", "n/m not measured"},
	} {
		switch brief, used := b.used[s.sign]; {
		case brief:
			says = append(says, s.says)
		case used:
			detail = append(detail, s.says)
		}
	}
	var blocks []Block
	if len(says) > 0 {
		blocks = append(blocks, Para{Text: strings.Join(says, "; ") + ".", Tone: Muted})
	}
	if len(detail) > 0 {
		blocks = append(blocks, Para{Text: strings.Join(detail, "; ") + ".", Tone: Muted, Detail: true})
	}
	return blocks
}

// use notes that a sign stands in a table, and whether the text form shows it.
func (b *builder) use(sign string, brief bool) { b.used[sign] = b.used[sign] || brief }

func (b *builder) tier(k rowKey) metric.Tier {
	for _, c := range b.values[k] {
		return c.Tier
	}
	return metric.Measured
}

func (b *builder) row(k rowKey) Row {
	var any compare.Change
	for _, c := range b.values[k] {
		any = c
	}
	d, known := metric.Lookup(k.metric)
	name := Cell{Text: k.metric, Hint: d.Help}
	if k.labels != "" {
		name.Text += "{" + k.labels + "}"
	}
	if _, own := amount(any.Unit, 1); !own && !saysUnit(k.metric, any.Unit) {
		name.Text += ", " + any.Unit
	}
	if b.scenarios(k) > 1 {
		name.Text += " [" + k.scenario + "]"
	}
	// What speaks against the candidate is left out of no form.
	against := b.changes[k][b.rec.Candidate].Verdict == compare.Worse && !derived[k.metric]
	r := Row{Cells: []Cell{name}, Detail: known && !brief[k.metric] && !against}
	for _, v := range b.variants {
		c, ok := b.values[k][v]
		r.Cells = append(r.Cells, valueCell(c, ok))
		if !ok {
			b.use("n/m", !r.Detail)
		}
		if !b.paired() || v == b.rec.Baseline {
			continue
		}
		cell, sign := changeCell(b.changes[k][v])
		b.use(sign, !r.Detail && v == b.rec.Candidate)
		r.Cells = append(r.Cells, cell)
	}
	return r
}

// derived are the metrics that follow from others which the text form shows.
var derived = map[string]bool{
	"jit_utilisation": true, "programs_per_page": true, "vmalloc_used": true, "directmap_2m": true, "directmap_1g": true,
}

// saysUnit tells whether a metric's name ends in its unit: jit_pages, in pages.
func saysUnit(name, unit string) bool {
	return strings.HasSuffix(name, unit) || name == strings.ReplaceAll(unit, "/", "_per_")
}

// scenarios counts the scenarios that gave the row's metric.
func (b *builder) scenarios(k rowKey) int {
	seen := map[string]bool{}
	for _, o := range b.rows {
		if o.arch == k.arch && o.metric == k.metric {
			seen[o.scenario] = true
		}
	}
	return len(seen)
}

func valueCell(c compare.Change, ok bool) Cell {
	if !ok || c.HeadCentre == nil {
		return Cell{Text: "n/m", Tone: Muted, Hint: notMeasured}
	}
	text, _ := amount(c.Unit, *c.HeadCentre)
	lo, hi := slices.Min(c.Head), slices.Max(c.Head)
	cell := Cell{Text: text}
	switch n := len(c.Head); {
	case n == 1:
		cell.Hint = "one value"
	case lo == hi:
		cell.Hint = fmt.Sprintf("%d values, all equal", n)
	default:
		cell.Hint = fmt.Sprintf("median of %d values from %s to %s", n, Quantity(c.Unit, lo), Quantity(c.Unit, hi))
	}
	return cell
}

// changeCell writes a change, and returns the sign in it that a note explains.
func changeCell(c compare.Change) (cell Cell, sign string) {
	cell = Cell{Hint: c.Why}
	switch c.Verdict {
	case compare.Missing, "":
		return cell, ""
	case compare.Inconclusive:
		cell.Text, cell.Tone = "?", Muted
		return cell, "?"
	case compare.Same:
		if c.Exact {
			cell.Text, cell.Tone = "=", Muted
			return cell, ""
		}
		cell.Text, cell.Tone = "~", Muted
		return cell, "~"
	}
	cell.Text = compare.Percent(c)
	if c.Ratio == nil {
		cell.Text = signed(c.Unit, *c.Delta)
	}
	switch {
	case c.Verdict == compare.Better:
		cell.Tone = Good
	case c.Verdict == compare.Worse && c.Weighs:
		cell.Tone, sign = Bad, "!"
	case c.Verdict == compare.Worse:
		cell.Tone, sign = Bad, "*"
	}
	cell.Text += sign
	return cell, sign
}

// directMapGrowth returns how much more of the direct map lies in 4 KiB entries
// with the largest number of programs loaded, n, than with the smallest.
func (b *builder) directMapGrowth(arch, variant string) (n, grew float64, ok bool) {
	x, y := b.directMapSeries(arch, variant)
	if len(x) < 2 {
		return 0, 0, false
	}
	return x[len(x)-1] - x[0], y[len(y)-1] - y[0], true
}

func (b *builder) directMapSeries(arch, variant string) (x, y []float64) {
	for _, k := range b.rows {
		if k.arch != arch || k.metric != "directmap_4k" {
			continue
		}
		c, ok := b.values[k][variant]
		if !ok || c.HeadCentre == nil {
			continue
		}
		n, err := strconv.ParseFloat(c.Labels["programs"], 64)
		if err != nil {
			continue
		}
		x, y = append(x, n), append(y, *c.HeadCentre)
	}
	return x, y
}

// directMap plots the direct map's 4 KiB entries against the programs loaded.
func (b *builder) directMap() []Section {
	s := Section{ID: "directmap", Title: "Direct map in 4 KiB entries (DirectMap4k) against programs loaded"}
	for _, a := range b.archs {
		p := Plot{Title: a, XLabel: "programs loaded", XUnit: "programs", YLabel: "DirectMap4k", YUnit: "bytes"}
		for _, v := range b.variants {
			if x, y := b.directMapSeries(a, v); len(x) > 0 {
				p.Series = append(p.Series, Series{Name: v, X: x, Y: y})
			}
		}
		if y, flat := level(p); flat {
			s.Blocks = append(s.Blocks, Para{Text: fmt.Sprintf("%s: %s on every kernel, whatever the number of programs.", a, Quantity(p.YUnit, y))})
		} else if len(p.Series) > 0 {
			s.Blocks = append(s.Blocks, p)
		}
		t := b.table(a+", "+b.tierCaption(a, metric.Layout), func(k rowKey) bool { return k.arch == a && directMapMetric(k.metric) })
		for i := range t.Rows {
			t.Rows[i].Detail = true // the plot has them, for the text form too
		}
		if len(t.Rows) > 0 {
			s.Blocks = append(s.Blocks, t)
		}
	}
	if len(s.Blocks) == 0 {
		return nil
	}
	return []Section{s}
}

// level tells whether all values of a plot are the same, and which.
func level(p Plot) (y float64, ok bool) {
	for _, s := range p.Series {
		for _, v := range s.Y {
			if ok && v != y {
				return 0, false
			}
			y, ok = v, true
		}
	}
	return y, ok
}

// testBPF shows what the kernel's own JIT suite said of every image.
func (b *builder) testBPF() []Section {
	t := Table{Caption: "cases passed / failed / compiled by the JIT", Columns: []Column{{Title: "image"}}}
	var suites []string
	got := map[string]map[string]float64{} // "arch variant suite" -> metric
	for _, k := range b.rows {
		if !strings.HasPrefix(k.metric, "test_bpf_") {
			continue
		}
		for v, c := range b.values[k] {
			suite := c.Labels["suite"]
			if !slices.Contains(suites, suite) {
				suites = append(suites, suite)
			}
			at := k.arch + " " + v + " " + suite
			if got[at] == nil {
				got[at] = map[string]float64{}
			}
			got[at][k.metric] = *c.HeadCentre
		}
	}
	if len(suites) == 0 {
		return nil
	}
	slices.Sort(suites)
	for _, s := range suites {
		title := strings.TrimPrefix(s, "test_")
		if title == "" {
			title = "all cases"
		}
		t.Columns = append(t.Columns, Column{Title: title})
	}
	t.Columns = append(t.Columns, Column{Title: "ran", Detail: true})
	for _, a := range b.archs {
		var rows []Row
		for _, v := range b.variants {
			r := Row{Cells: []Cell{{Text: a + " " + v}}}
			var any bool
			for _, suite := range suites {
				m, ok := got[a+" "+v+" "+suite]
				any = any || ok
				r.Cells = append(r.Cells, suiteCell(m, ok))
			}
			r.Cells = append(r.Cells, Cell{Text: b.ranTestBPF(a, v)})
			if any {
				rows = append(rows, r)
			}
		}
		t.Rows = append(t.Rows, together(a, rows)...)
	}
	blocks := []Block{t}
	if kept := b.keptDays(); kept != "" {
		blocks = append(blocks, Para{Text: kept})
	}
	return []Section{{ID: "test-bpf", Title: "lib/test_bpf, the kernel's own JIT suite", Blocks: blocks}}
}

// together makes one row of rows that say the same on every kernel.
func together(arch string, rows []Row) []Row {
	for _, r := range rows {
		if !slices.Equal(r.Cells[1:], rows[0].Cells[1:]) {
			return rows
		}
	}
	if len(rows) > 1 {
		rows[0].Cells[0].Text = fmt.Sprintf("%s, all %d kernels", arch, len(rows))
		rows = rows[:1]
	}
	return rows
}

func suiteCell(m map[string]float64, ok bool) Cell {
	if !ok {
		return Cell{Text: "n/m", Tone: Muted, Hint: notMeasured}
	}
	part := func(name string) string {
		if x, ok := m[name]; ok {
			return number(x)
		}
		return "n/m"
	}
	c := Cell{Text: part("test_bpf_passed") + " / " + part("test_bpf_failed")}
	if _, counts := m["test_bpf_jited"]; counts {
		c.Text += " / " + part("test_bpf_jited")
	}
	switch n, ok := m["test_bpf_failed"]; {
	case ok && n > 0:
		c.Tone = Bad
	case ok:
		c.Tone = Good
	}
	return c
}

func (b *builder) ranTestBPF(arch, variant string) string {
	from := compare.Source(b.rec, arch, variant)
	for _, boot := range b.rec.Boots {
		if boot.Arch == arch && boot.Variant == from && slices.Contains(boot.Scenarios, "test_bpf") {
			if boot.Kept {
				return day(boot.Started) + ", kept with the image"
			}
			return day(boot.Started) + ", in this run"
		}
	}
	return "unknown"
}

// keptDays says when the suites whose results were kept had run.
func (b *builder) keptDays() string {
	var days []string
	for _, boot := range b.rec.Boots {
		if boot.Kept && slices.Contains(boot.Scenarios, "test_bpf") {
			days = append(days, boot.Started.UTC().Format("2006-01-02"))
		}
	}
	if len(days) == 0 {
		return ""
	}
	slices.Sort(days)
	when := "on " + days[0]
	if last := days[len(days)-1]; last != days[0] {
		when = "between " + days[0] + " and " + last
	}
	return fmt.Sprintf("Kept with %s from an earlier run, %s.", countOf(len(days), "kernel image"), when)
}

// countOf counts things: "1 patch", "2 patches".
func countOf(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "ch"):
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
