// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"slices"
	"strings"

	"packtest/compare"
)

// suiteMetric tells whether a metric is one of test_bpf's, which have a section
// of their own.
func suiteMetric(name string) bool { return strings.HasPrefix(name, "test_bpf_") }

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
	t.Columns = append(t.Columns, Column{Title: "ran", Detail: true, Words: true})
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
