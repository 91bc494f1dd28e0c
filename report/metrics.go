// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"packtest/compare"
	"packtest/metric"
)

// brief tells whether the text form shows a metric; the others stand in the long
// forms only. How many programs were loaded is in the caption; the direct map
// and test_bpf have sections of their own.
func brief(name string) bool {
	switch name {
	case "jit_pages", "programs_per_page", "jit_bytes_used", "jit_bytes_mapped", "text_mappings",
		"load_time_per_program", "free_time_per_program":
		return true
	}
	return false
}

// derived tells whether a metric follows from others which the text form shows.
func derived(name string) bool {
	switch name {
	case "jit_utilisation", "programs_per_page", "vmalloc_used", "directmap_2m", "directmap_1g":
		return true
	}
	return false
}

// metrics makes an architecture's tables, one per tier: tiers are never mixed.
func (b *builder) metrics(arch string) Section {
	s := Section{ID: "metrics-" + arch, Title: arch}
	for _, tier := range []metric.Tier{metric.Layout, metric.Model, metric.Measured} {
		caption := b.tierCaption(arch, tier)
		if tier == metric.Layout {
			caption += b.loaded(arch)
		}
		t := b.table(caption, func(k rowKey) bool {
			return k.arch == arch && b.any(k).Tier == tier && !directMapMetric(k.metric) && !suiteMetric(k.metric) && !itlbMetric(k.metric)
		})
		if len(t.Rows) > 0 {
			s.Blocks = append(s.Blocks, t)
		}
	}
	if !slices.ContainsFunc(b.rows, func(k rowKey) bool { return k.arch == arch }) {
		s.Blocks = append(s.Blocks, Para{Text: "Nothing was measured on " + arch + ".", Tone: Bad})
		return s
	}
	s.Detail = !slices.ContainsFunc(s.Blocks, func(bl Block) bool { return len(briefRows(bl.(Table))) > 0 })
	return s
}

func (b *builder) tierCaption(arch string, tier metric.Tier) string {
	switch tier {
	case metric.Layout:
		return "layout: from the kernel's own tables"
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
	if t := b.tolerances(); t != "" {
		blocks = append(blocks, Para{Text: t, Tone: Muted})
	}
	return blocks
}

// tolerances says how far metrics may move by the plan; "" if it doesn't say.
func (b *builder) tolerances() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(b.rec.Tolerances)) {
		t := b.rec.Tolerances[name]
		d, _ := metric.Lookup(name)
		if t.Absolute() > 0 {
			list = append(list, name+" "+Quantity(d.Unit, t.Absolute()))
		} else {
			list = append(list, name+" "+string(t))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "By the plan these may move either way, and it does not weigh: " + strings.Join(list, ", ") + "."
}

// use notes that a sign stands in a table, and whether the text form shows it.
func (b *builder) use(sign string, brief bool) { b.used[sign] = b.used[sign] || brief }

// any returns the row's values in the first variant that has some.
func (b *builder) any(k rowKey) compare.Change {
	for _, v := range b.variants {
		if c, ok := b.values[k][v]; ok {
			return c
		}
	}
	return compare.Change{}
}

func (b *builder) row(k rowKey) Row {
	unit := b.any(k).Unit
	d, known := metric.Lookup(k.metric)
	name := Cell{Text: k.metric, Hint: d.Help}
	if k.labels != "" {
		name.Text += "{" + k.labels + "}"
	}
	if _, own := amount(unit, 1); !own && !saysUnit(k.metric, unit) {
		name.Text += ", " + unit
	}
	if b.scenarios(k) > 1 {
		name.Text += " [" + k.scenario + "]"
	}
	// What speaks against the candidate is left out of no form.
	against := b.changes[k][b.rec.Candidate].Verdict == compare.Worse && !derived(k.metric)
	against = against || k.metric == "programs" && b.loaded(k.arch) == ""
	r := Row{Cells: []Cell{name}, Detail: known && !brief(k.metric) && !against}
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

// shiftHint says how far a noisy metric is estimated to have moved.
func shiftHint(c compare.Change) string {
	if c.ShiftLow == nil || c.ShiftHigh == nil {
		return ""
	}
	return fmt.Sprintf("; shifted by %s, with 95 %% confidence between %s and %s", signed(c.Unit, *c.Shift), signed(c.Unit, *c.ShiftLow), signed(c.Unit, *c.ShiftHigh))
}

// changeCell writes a change, and returns the sign in it that a note explains.
func changeCell(c compare.Change) (cell Cell, sign string) {
	cell = Cell{Hint: c.Why + shiftHint(c)}
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
