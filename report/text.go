// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"
)

// columns is the width of the text form: what a cover letter allows.
const columns = 72

// maxEvidence bounds how many lines of a finding's evidence the text form
// shows; the long forms show them all.
const maxEvidence = 12

// maxFactName is the width of the column of names beside facts.
const maxFactName = 32

// TextStyle is how the text form is written. The zero value is plain UTF-8.
type TextStyle struct {
	Colour bool // ANSI colours, for a terminal
	ASCII  bool // nothing but ASCII
}

// Text writes the short form of d, 72 columns wide and without colour.
func Text(w io.Writer, d Document) error { return TextStyle{}.Write(w, d) }

// Write writes the short form of d.
func (s TextStyle) Write(w io.Writer, d Document) error {
	t := &text{w: bufio.NewWriter(w), style: s}
	t.document(d)
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("write the report as text: %w", err)
	}
	return nil
}

type text struct {
	w     *bufio.Writer // keeps its first error until Flush
	style TextStyle
}

func (t *text) line(s string) {
	s = strings.TrimRight(printable(s), " ")
	if t.style.ASCII {
		s = ascii(s)
	}
	t.w.WriteString(s + "\n")
}

// para writes s wrapped behind prefix; the lines after the first are indented
// by hang spaces.
func (t *text) para(prefix, s string, hang int, tone Tone) {
	for i, l := range wrap(printable(s), columns, width(prefix), hang) {
		if i == 0 {
			l = prefix + l
		}
		t.tone(l, tone)
	}
}

func (t *text) tone(s string, tone Tone) {
	code := map[Tone]string{Good: "32", Bad: "31", Muted: "2"}[tone]
	s = strings.TrimRight(s, " ")
	if t.style.ASCII {
		s = ascii(s)
	}
	if t.style.Colour && code != "" {
		s = "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	t.w.WriteString(s + "\n")
}

func (t *text) document(d Document) {
	t.para("", fmt.Sprintf("%s: %s", d.Title, strings.ToUpper(string(d.Verdict))), 2, verdictTone(d.Verdict))
	t.para("", d.Context, 2, "")
	t.para("", sentence(d.Why), 0, "")
	if len(d.Leads) > 0 {
		t.line("")
	}
	for _, l := range d.Leads {
		t.para("  "+pad(clip(printable(l.Arch), 16), 7)+" ", l.Says, 10, "")
	}
	for _, s := range d.Sections {
		if s.Detail {
			continue
		}
		t.line("")
		t.section(s)
	}
}

func (t *text) section(s Section) {
	t.line(s.Title)
	for i, b := range s.Blocks {
		switch b := b.(type) {
		case Para:
			if !b.Detail {
				t.para("  ", b.Text, 2, b.Tone)
			}
		case Table:
			if i > 0 && len(briefRows(b)) > 0 {
				t.line("")
			}
			t.table(b)
		case Facts:
			t.facts(b)
		case List:
			t.list(b)
		case Plot:
			if !b.Detail {
				if i > 0 {
					t.line("")
				}
				t.plot(b)
			}
		case Maps:
			t.para("  ", b.Caption, 4, Muted)
			t.bars(b.Maps)
		}
	}
}

func briefRows(b Table) []Row {
	return slices.DeleteFunc(slices.Clone(b.Rows), func(r Row) bool { return r.Detail })
}

func (t *text) table(b Table) {
	rows := briefRows(b)
	if len(rows) == 0 {
		return
	}
	t.para("  ", b.Caption, 4, Muted)
	var keep []int
	var head []string
	for i, c := range b.Columns {
		if !c.Detail {
			keep = append(keep, i)
			head = append(head, c.Title)
		}
	}
	grid := [][]string{head}
	for _, r := range rows {
		var cells []string
		for _, i := range keep {
			cells = append(cells, r.Cells[i].Text)
		}
		grid = append(grid, cells)
	}
	t.grid(grid)
}

// grid writes rows of cells in columns, the first to the left and the others to
// the right. A table too wide for the page is cut into parts that repeat the
// first column.
func (t *text) grid(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i := range r {
			r[i] = clip(printable(r[i]), 32)
			widths[i] = max(widths[i], width(r[i]))
		}
	}
	for from := 1; from < len(widths); {
		to, total := from, 2+widths[0]
		for to < len(widths) && (to == from || total+2+widths[to] <= columns) {
			total += 2 + widths[to]
			to++
		}
		for _, r := range rows {
			line := "  " + pad(r[0], widths[0])
			for i := from; i < to; i++ {
				line += "  " + padLeft(r[i], widths[i])
			}
			t.line(line)
		}
		from = to
	}
}

func (t *text) facts(b Facts) {
	w := 0
	for _, f := range b.Items {
		if !f.Detail {
			w = min(max(w, width(printable(f.Name))), maxFactName)
		}
	}
	for _, f := range b.Items {
		if !f.Detail {
			t.para("  "+pad(clip(printable(f.Name), w), w)+"  ", f.Value, 4+w, "")
		}
	}
}

func (t *text) list(b List) {
	for _, it := range b.Items {
		if it.Detail {
			continue
		}
		t.para("  - ", it.Text, 4, it.Tone)
		if it.Evidence == "" {
			continue
		}
		lines := strings.Split(printableLines(it.Evidence), "\n")
		for i, l := range lines {
			if i == maxEvidence && len(lines) > maxEvidence+1 {
				t.line(fmt.Sprintf("    ... and %d lines more", len(lines)-i))
				break
			}
			t.line("    " + clip(l, columns-4))
		}
	}
}

// plot writes a plot as a small table: a column for every x.
func (t *text) plot(p Plot) {
	xs := xValues(p)
	head := []string{p.Title + ", " + p.XUnit}
	if p.XUnit == "" { // a title that is too long to head a column
		t.para("  ", p.Title, 2, Muted)
		head[0] = p.XLabel
	}
	for _, x := range xs {
		head = append(head, number(x))
	}
	grid := [][]string{head}
	for _, s := range p.Series {
		if s.Detail {
			continue
		}
		row := []string{"  " + s.Name}
		for _, x := range xs {
			row = append(row, valueAt(p, s, x))
		}
		grid = append(grid, row)
	}
	t.grid(grid)
}

func xValues(p Plot) []float64 {
	var xs []float64
	for _, s := range p.Series {
		for _, x := range s.X {
			if !slices.Contains(xs, x) {
				xs = append(xs, x)
			}
		}
	}
	slices.Sort(xs)
	return xs
}

// valueAt returns a series' value at x with its unit.
func valueAt(p Plot, s Series, x float64) string {
	for i := range s.X {
		if s.X[i] == x {
			text, _ := amount(p.YUnit, s.Y[i])
			return text
		}
	}
	return "n/m"
}

// bars writes a bar for every kernel: its JIT memory in the order of addresses,
// each character the share of one stretch that holds code.
func (t *text) bars(maps []Map) {
	grid := make([][]string, len(maps))
	for i, m := range maps {
		e := measure(m.Regions)
		grid[i] = []string{clip(printable(m.Variant), 16), countOf(len(m.Regions), "area"), Quantity("bytes", float64(e.pages)*pageBytes), fmt.Sprintf("%.0f %% used", e.share())}
	}
	widths := make([]int, 4)
	for _, g := range grid {
		for j, c := range g {
			widths[j] = max(widths[j], width(c))
		}
	}
	left := columns - 4 - widths[0] - 6 - widths[1] - widths[2] - widths[3]
	for i, g := range grid {
		t.line(fmt.Sprintf("  %s  %s  %s  %s  %s", pad(g[0], widths[0]), t.bar(density(maps[i].Regions, max(left, 8))),
			padLeft(g[1], widths[1]), padLeft(g[2], widths[2]), padLeft(g[3], widths[3])))
	}
}

// bar draws shares from 0 to 1; only a wholly empty stretch is a dot and only a
// full one a full block.
func (t *text) bar(shares []float64) string {
	levels := []rune("·▁▂▃▄▅▆▇█")
	if t.style.ASCII {
		levels = []rune(".:-=+*%@#")
	}
	var b strings.Builder
	top := len(levels) - 1
	for _, s := range shares {
		i := 1 + int(math.Floor(s*float64(top-1)))
		switch {
		case s <= 0:
			i = 0
		case s < 1:
			i = min(i, top-1)
		default:
			i = top
		}
		b.WriteRune(levels[i])
	}
	return b.String()
}

func pad(s string, w int) string     { return s + strings.Repeat(" ", max(0, w-width(s))) }
func padLeft(s string, w int) string { return strings.Repeat(" ", max(0, w-width(s))) + s }

func clip(s string, w int) string {
	if width(s) <= w {
		return s
	}
	return s[:fitting(s, w-3)] + "..."
}

// printable makes a guest's text harmless for a terminal: control characters,
// marks that turn the direction of writing and invalid UTF-8 become question
// marks, tabs become spaces.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == '\ufffd' || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// printableLines does the same for a text of several lines.
func printableLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = printable(strings.TrimRight(lines[i], "\r"))
	}
	return strings.Join(lines, "\n")
}

// ascii replaces what is not ASCII.
func ascii(s string) string {
	s = strings.ReplaceAll(s, "µ", "u")
	return strings.Map(func(r rune) rune {
		if r > 0x7e {
			return '?'
		}
		return r
	}, s)
}
