// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"

	"packtest/compare"
)

// Defects is which defect was found by what.
type Defects struct {
	// Context says what was attacked: base, accelerator.
	Context string
	Rows    []DefectRow
}

// DefectRow is one defect on one architecture.
type DefectRow struct {
	Name, Title string
	Catch       compare.Catch
}

// Missed counts the rows in which nothing was found although it was attacked to the
// end, and Unproved those that prove nothing.
func (d Defects) Missed() int { return len(d.Rows) - d.found() - d.Unproved() }

// Unproved: see Missed.
func (d Defects) Unproved() int {
	return d.count(func(c compare.Catch) bool { return !c.Found() && c.Problem != "" })
}

func (d Defects) found() int { return d.count(compare.Catch.Found) }

func (d Defects) count(which func(compare.Catch) bool) (n int) {
	for _, r := range d.Rows {
		if which(r.Catch) {
			n++
		}
	}
	return n
}

// Write writes the table as Markdown, which reads well as text, sorted by
// architecture and name.
func (d Defects) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	rows := slices.Clone(d.Rows)
	slices.SortFunc(rows, func(a, b DefectRow) int {
		return cmp.Or(-cmp.Compare(a.Catch.Arch, b.Catch.Arch), cmp.Compare(a.Name, b.Name))
	})
	fmt.Fprintf(b, "# Defects\n\n%s\n", md(d.Context))
	var arches []string
	for _, r := range rows {
		if !slices.Contains(arches, r.Catch.Arch) {
			arches = append(arches, r.Catch.Arch)
		}
	}
	for _, a := range arches {
		own := Defects{Rows: slices.DeleteFunc(slices.Clone(rows), func(r DefectRow) bool { return r.Catch.Arch != a })}
		fmt.Fprintf(b, "\n## %s: %d of %d found", md(a), own.found(), len(own.Rows))
		if n := own.Unproved(); n > 0 {
			fmt.Fprintf(b, ", and %d not attacked to the end", n)
		}
		fmt.Fprintf(b, "\n\n| defect | what it does | found by | in | after | kernel |\n|---|---|---|---|---|---|\n")
		for _, r := range own.Rows {
			r.write(b)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write the table of defects: %w", err)
	}
	return nil
}

func (r DefectRow) write(b *bufio.Writer) {
	c := r.Catch
	by, after := "**not found**", ""
	switch {
	case c.Found():
		by = md(c.By + ": " + c.What)
	case c.Problem != "":
		by = "**proves nothing**: " + md(c.Problem)
	}
	if c.Seconds > 0 {
		after = fmt.Sprintf("%.1f s", c.Seconds)
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", md(r.Name), md(r.Title), by, md(c.Scenario), after, md(c.Config))
}
