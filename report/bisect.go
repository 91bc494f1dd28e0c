// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"math"
	"strings"

	"packtest/results"
)

// bisection makes d the document of a search: what was looked for, every patch
// with its chances and with what the kernel that ends with it showed, and the
// evidence. The kernels between are means to an end and get no tables.
func (b *builder) bisection(d *Document) {
	s := b.rec.Bisection
	d.Context = b.context()
	if what := soughtText(s); what != "" {
		d.Context = "searched: " + what + "; " + d.Context
	}
	d.Leads = nil
	d.Checks = d.Checks[len(d.Checks)-1:] // the verdict's
	d.Sections = []Section{b.searchTable()}
	d.Sections = append(d.Sections, b.searchFindings()...)
	d.Sections = append(d.Sections, b.provenance(), b.kernels(), b.boots(), Section{ID: "method", Title: "How sure that is", Blocks: []Block{
		Para{Text: "The chances follow from every look by Bayes' rule, with how often the fault shows itself unknown; they hold if one patch brings it and no later one takes it away (docs/bisect.md)."}}})
}

// soughtText says what was looked for; "" if there was nothing.
func soughtText(s *results.Bisection) string {
	switch {
	case s.Metric != "":
		return fmt.Sprintf("%s, %s (%s)", s.Metric, s.Title, s.Scenario)
	case s.Title != "":
		return fmt.Sprintf("%s: %s (%s)", s.Kind, s.Title, s.Scenario)
	}
	return ""
}

// searchTable has a row for what the series stands on and one for every patch.
func (b *builder) searchTable() Section {
	s := b.rec.Bisection
	caption := "looks at the kernel that ends with the patch"
	if s.Arch != "" {
		caption += ", on " + s.Arch
	}
	t := Table{Caption: caption, Columns: []Column{{Title: "patch"}, {Title: "looks"}, {Title: "chance"}}}
	steps := map[int]results.BisectStep{}
	for _, st := range s.Steps {
		steps[st.Step] = st
	}
	row := func(n int, name string) {
		st := steps[n]
		r := Row{Cells: []Cell{{Text: name}, looksCell(st), chanceCell(s, n)}}
		if s.From <= n && n <= s.To && n > 0 {
			r.Cells[0].Tone, r.Cells[2].Tone = Bad, Bad
		}
		t.Rows = append(t.Rows, r)
	}
	row(0, "0 "+b.rec.Baseline)
	for i, p := range s.Patches {
		row(i+1, fmt.Sprintf("%d %s", i+1, patchTitle(p)))
	}
	sec := Section{ID: "search", Title: "The search", Blocks: []Block{t}}
	var skipped List
	for _, st := range s.Steps {
		if st.Skipped != "" {
			skipped.Items = append(skipped.Items, Item{Text: fmt.Sprintf("The kernel with the first %s is left out: %s", countOf(st.Step, "patch"), sentence(st.Skipped)), Tone: Muted})
		}
	}
	if len(skipped.Items) > 0 {
		sec.Blocks = append(sec.Blocks, skipped)
	}
	return sec
}

// patchTitle is a patch's name without the series', its number and the suffix.
func patchTitle(p string) string {
	_, name, _ := strings.Cut(p, "/")
	name = strings.TrimSuffix(name, ".patch")
	if rest := strings.TrimLeft(name, "0123456789"); strings.HasPrefix(rest, "-") {
		name = rest[1:]
	}
	return name
}

// looksCell says what was seen of a step.
func looksCell(st results.BisectStep) Cell {
	var parts []string
	for _, n := range []struct {
		n    int
		what string
	}{{st.Bad, "bad"}, {st.Good, "good"}, {st.Unclear, "unclear"}} {
		if n.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	c := Cell{Hint: st.Skipped}
	switch {
	case st.Skipped != "":
		parts, c.Tone = append(parts, "left out"), Muted
	case st.Bad > 0:
		c.Tone = Bad
	case st.Good > 0:
		c.Tone = Good
	case st.SameAs != "":
		c.Tone = Muted
	}
	if st.SameAs != "" {
		parts = append(parts, "= "+st.SameAs)
	}
	c.Text = strings.Join(parts, ", ")
	return c
}

// chanceCell says how likely a patch, or the group that it ends, is the culprit.
func chanceCell(s *results.Bisection, n int) Cell {
	for _, g := range s.Suspects {
		switch {
		case n < g.From || n > g.To:
		case n < g.To:
			return Cell{Text: "with the next", Tone: Muted, Hint: "can't be told apart from the next"}
		case g.P > 0 && g.P < 0.001:
			return Cell{Text: "<0.1 %", Tone: Muted}
		case g.P == 0:
			return Cell{Text: "none", Tone: Muted}
		default: // never surer than it is
			return Cell{Text: trimZeros(fmt.Sprintf("%.1f", math.Floor(g.P*1000+1e-6)/10)) + " %"}
		}
	}
	return Cell{Text: "n/m", Tone: Muted, Hint: notMeasured}
}

// searchFindings shows the finding that was searched once for every kernel that
// made it, and what else was found.
func (b *builder) searchFindings() []Section {
	var sought, others List
	seen := map[string]bool{}
	for _, f := range b.rec.Findings {
		text := fmt.Sprintf("%s, %s, %s: %s (%s)", f.Arch, f.Variant, f.Scenario, f.Title, f.Kind)
		if seen[text] {
			continue
		}
		seen[text] = true
		s := b.rec.Bisection
		if s.Kind != "" && f.Kind == s.Kind && f.Title == s.Title && f.Arch == s.Arch {
			it := Item{Text: text, Tone: Bad}
			if len(sought.Items) == 0 {
				it.Evidence = f.Evidence
			}
			sought.Items = append(sought.Items, it)
		} else {
			others.Items = append(others.Items, Item{Text: text, Tone: Muted, Evidence: f.Evidence, Detail: true})
		}
	}
	var list []Section
	if len(sought.Items) > 0 {
		list = append(list, Section{ID: "findings", Title: "Where it was seen", Blocks: []Block{sought}})
	}
	if len(others.Items) > 0 {
		list = append(list, Section{ID: "others", Title: "Findings of another kind", Detail: true, Blocks: []Block{others}})
	}
	return list
}
