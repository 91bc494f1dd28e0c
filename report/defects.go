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

// Missed counts the rows in which nothing was found, or nothing proved.
func (d Defects) Missed() int {
	n := 0
	for _, r := range d.Rows {
		if !r.Catch.Found() {
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
	per := map[string][2]int{}
	var arches []string
	for _, r := range rows {
		n, ok := per[r.Catch.Arch]
		if !ok {
			arches = append(arches, r.Catch.Arch)
		}
		n[0]++
		if r.Catch.Found() {
			n[1]++
		}
		per[r.Catch.Arch] = n
	}
	for _, a := range arches {
		fmt.Fprintf(b, "\n## %s: %d of %d found\n\n| defect | what it does | found by | in | after | kernel |\n|---|---|---|---|---|---|\n", md(a), per[a][1], per[a][0])
		for _, r := range rows {
			if r.Catch.Arch == a {
				r.write(b)
			}
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
