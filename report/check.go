// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"slices"
	"strings"

	"packtest/compare"
	"packtest/results"
)

// series stands for the architecture of checks that look at a patch alone.
const wholeSeries = "series"

// checked makes d the document of a series that was looked at patch by patch: a
// table of patches and checks for every architecture, then what is wrong, with
// the evidence.
func (b *builder) checked(d *Document) {
	c, all := b.rec.Check, compare.Checks(b.rec)
	d.Context = strings.Replace(b.context(), b.rec.Candidate+" against "+b.rec.Baseline, b.checkedWhat(), 1)
	d.Leads = nil
	d.Checks = append(checkList(c, all), d.Checks[len(d.Checks)-1]) // the verdict's
	d.Sections = nil
	add := func(s Section) {
		if len(s.Blocks) > 0 {
			d.Sections = append(d.Sections, s)
		}
	}
	add(b.patchTable(all))
	for _, arch := range b.archs {
		add(b.stepTable(arch, all))
	}
	add(configTable(c, all))
	add(markList("failed", "Failed", all, Bad, compare.CheckFailed))
	add(b.undone(all))
	add(markList("inherited", "Wrong, and not by the patch", all, Muted, compare.CheckInherited))
	evident := slices.DeleteFunc(slices.Clone(all), func(x compare.Checked) bool { return x.Evidence == "" })
	add(markList("unclear", "Wrong, with no earlier kernel to hold it against", evident, Muted, compare.CheckSkipped))
	add(b.groundFindings())
	add(grown(all))
	add(markList("noted", "Worth a look", all, "", compare.CheckNoted))
	var gaps List
	for _, g := range c.NotMeasured {
		gaps.Items = append(gaps.Items, Item{Text: fmt.Sprintf("%s: %s", g.Kind, g.Why)})
	}
	if len(gaps.Items) > 0 {
		add(Section{ID: "not-measured", Title: "Not measured", Blocks: []Block{gaps}})
	}
	add(b.provenance())
	add(b.kernels())
	add(b.boots())
	add(Section{ID: "limits", Title: "Limits", Blocks: []Block{Para{Text: "ok: carried out and nothing found. =: the patch changes nothing there, or its kernel is one that was booted before. Warnings are those that a patch adds, whatever line they stand on (docs/check.md)."}}})
}

// checkedWhat names the series and what it stands on.
func (b *builder) checkedWhat() string {
	what := fmt.Sprintf("%s of %s", countOf(len(b.rec.Check.Patches), "patch"), b.rec.Check.Series)
	for i := range b.rec.Cells {
		if x := &b.rec.Cells[i]; x.Variant == b.rec.Baseline && len(x.Stack) > 0 {
			return what + ", standing on " + strings.Join(x.Stack, " and ")
		}
	}
	return what
}

// checkCell is a check's cell in a table.
func checkCell(c compare.Checked) Cell {
	cell := Cell{Hint: c.Says}
	switch c.Mark {
	case compare.CheckOK:
		cell.Text, cell.Tone = "ok", Good
		if c.Kind == results.CodeSize {
			cell.Text, cell.Tone = "data only", ""
			if code, ok := strings.CutPrefix(c.Says, "code "); ok {
				cell.Text, _, _ = strings.Cut(code, ",")
			}
		}
	case compare.CheckSame:
		cell.Text, cell.Tone = "=", Muted
	case compare.CheckNoted:
		cell.Text = c.Says
	case compare.CheckFailed:
		cell.Text, cell.Tone = "FAILED", Bad
	case compare.CheckSkipped:
		cell.Text, cell.Tone = "-", Muted
	case compare.CheckInherited:
		cell.Text, cell.Tone = "inherited", Muted
	default:
		cell.Text, cell.Tone = "not done", Bad
	}
	return cell
}

// kindTable has a row for every patch and a column for every kind of check that
// pick takes, among all's checks for arch.
func (b *builder) kindTable(caption, arch string, all []compare.Checked, name func(step int) Cell, pick func(results.CheckKind) bool) Table {
	c := b.rec.Check
	t := Table{Caption: caption, Columns: []Column{{Title: "patch"}}}
	var kinds []results.CheckKind
	for _, k := range results.CheckKinds() {
		if pick(k) {
			kinds = append(kinds, k)
			t.Columns = append(t.Columns, Column{Title: string(k)})
		}
	}
	for i := range c.Patches {
		row := Row{Cells: []Cell{name(i + 1)}}
		for _, k := range kinds {
			cell := Cell{Text: "n/m", Tone: Muted, Hint: notMeasured}
			for _, x := range all {
				if x.Arch == arch && x.Step == i+1 && x.Kind == k && x.Config == "" {
					cell = checkCell(x)
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (b *builder) patchTable(all []compare.Checked) Section {
	name := func(step int) Cell {
		return Cell{Text: fmt.Sprintf("%d %s", step, b.rec.Check.Patches[step-1].Subject)}
	}
	return Section{ID: "patches", Title: "Patches", Blocks: []Block{b.kindTable("", "", all, name, results.CheckKind.PatchOnly)}}
}

func (b *builder) stepTable(arch string, all []compare.Checked) Section {
	name := func(step int) Cell {
		return Cell{Text: fmt.Sprint(step), Hint: b.rec.Check.Patches[step-1].Subject}
	}
	return Section{ID: "patches-" + arch, Title: arch, Blocks: []Block{b.kindTable("the kernel that ends with the patch, against the one before it; size is that of code", arch, all, name,
		func(k results.CheckKind) bool { return !k.PatchOnly() })}}
}

// configTable has a row for every configuration and a column for every
// architecture; with builds after every patch, a row for each of them.
func configTable(c *results.Check, all []compare.Checked) Section {
	caption := "all patches together"
	if c.EveryPatch {
		caption = "after every patch"
	}
	t := Table{Caption: caption, Columns: []Column{{Title: "configuration"}}}
	for _, arch := range c.Arches {
		t.Columns = append(t.Columns, Column{Title: arch})
	}
	at := map[string]int{}
	for _, x := range all {
		if x.Config == "" {
			continue
		}
		name := x.Config
		if c.EveryPatch {
			name = fmt.Sprintf("patch %d, %s", x.Step, x.Config)
		}
		if _, ok := at[name]; !ok {
			at[name] = len(t.Rows)
			row := Row{Cells: []Cell{{Text: name}}}
			for range c.Arches {
				row.Cells = append(row.Cells, Cell{Text: "", Hint: "the architecture has no such configuration"})
			}
			t.Rows = append(t.Rows, row)
		}
		t.Rows[at[name]].Cells[1+slices.Index(c.Arches, x.Arch)] = checkCell(x)
	}
	if len(t.Rows) == 0 {
		return Section{}
	}
	return Section{ID: "configurations", Title: "Built only", Blocks: []Block{t}}
}

// markList lists the checks with a mark. What the same evidence stands for is
// listed once.
func markList(id, title string, all []compare.Checked, tone Tone, mark compare.CheckMark) Section {
	var l List
	shown := map[string]bool{}
	for _, x := range all {
		if x.Mark != mark {
			continue
		}
		it := Item{Text: sentence(compare.CheckSays(x)), Tone: tone}
		if !shown[x.Evidence] {
			it.Evidence = strings.TrimRight(x.Evidence, "\n")
			shown[x.Evidence] = true
		}
		l.Items = append(l.Items, it)
	}
	if len(l.Items) == 0 {
		return Section{}
	}
	return Section{ID: id, Title: title, Blocks: []Block{l}}
}

// grown lists the functions that patches make larger or smaller.
func grown(all []compare.Checked) Section {
	sizes := slices.DeleteFunc(slices.Clone(all), func(x compare.Checked) bool { return x.Kind != results.CodeSize || x.Evidence == "" })
	s := markList("functions", "Functions that differ", sizes, "", compare.CheckOK)
	s.Detail = true
	return s
}

// undone lists the checks that the harness failed to carry out, and says how many
// more were not begun.
func (b *builder) undone(all []compare.Checked) Section {
	s := markList("not-done", "Planned and not carried out", all, Bad, compare.CheckBroken)
	if left := compare.Unbegun(b.rec); left != "" {
		s.ID, s.Title = "not-done", "Planned and not carried out"
		s.Blocks = append(s.Blocks, Para{Text: sentence(left + "; the same command goes on, with the kernels that were built"), Tone: Bad})
	}
	return s
}

// groundFindings are what is wrong with the kernels without the series.
func (b *builder) groundFindings() Section {
	var l List
	for _, f := range b.rec.Findings {
		if f.Variant == results.CheckVariant(0) {
			l.Items = append(l.Items, Item{Text: fmt.Sprintf("%s, %s: %s (%s)", f.Arch, f.Scenario, f.Title, f.Kind), Tone: Muted, Evidence: f.Evidence})
		}
	}
	if len(l.Items) == 0 {
		return Section{}
	}
	return Section{ID: "ground", Title: "Found without the series", Blocks: []Block{l}}
}

// checkList is all as test reports list it: those of patches alone first, then
// by architecture.
func checkList(c *results.Check, all []compare.Checked) []Check {
	var list []Check
	for _, arch := range append([]string{""}, c.Arches...) {
		for _, x := range all {
			if x.Arch == arch {
				one := Check{Arch: arch, Name: fmt.Sprintf("patch %d: %s", x.Step, compare.CheckName(x)), Mark: testMark(x.Mark), Says: x.Says, Evidence: x.Evidence, Seconds: x.Seconds}
				if arch == "" {
					one.Arch = wholeSeries
				}
				if one.Says == "" && one.Mark != Passed {
					one.Says = string(x.Mark)
				}
				list = append(list, one)
			}
		}
		for _, g := range c.NotMeasured {
			switch {
			case arch == "" && g.Kind.PatchOnly():
				list = append(list, Check{Arch: wholeSeries, Name: string(g.Kind), Mark: Skipped, Says: notMeasured + ": " + g.Why})
			case arch != "" && !g.Kind.PatchOnly():
				list = append(list, Check{Arch: arch, Name: string(g.Kind), Mark: Skipped, Says: notMeasured + ": " + g.Why})
			}
		}
	}
	return list
}

func testMark(m compare.CheckMark) Mark {
	switch m {
	case compare.CheckOK, compare.CheckSame, compare.CheckNoted:
		return Passed
	case compare.CheckFailed:
		return Failed
	case compare.CheckBroken, compare.CheckOpen:
		return Broken
	}
	return Skipped
}
