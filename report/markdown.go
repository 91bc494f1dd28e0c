// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Markdown writes the whole of d as GitHub-flavoured Markdown. Pictures become
// bars of characters, plots become tables.
func Markdown(w io.Writer, d Document) error {
	m := &markdown{w: bufio.NewWriter(w)}
	m.document(d)
	if err := m.w.Flush(); err != nil {
		return fmt.Errorf("write the report as Markdown: %w", err)
	}
	return nil
}

type markdown struct{ w *bufio.Writer }

func (m *markdown) printf(format string, args ...any) { fmt.Fprintf(m.w, format, args...) }

func (m *markdown) document(d Document) {
	m.printf("# %s: %s\n\n%s\n\n**%s**\n", md(d.Title), md(string(d.Verdict)), md(d.Context), md(sentence(d.Why)))
	if len(d.Leads) > 0 {
		m.printf("\n")
	}
	for _, l := range d.Leads {
		m.printf("- **%s**: %s\n", md(l.Arch), md(l.Says))
	}
	for _, s := range d.Sections {
		m.printf("\n## %s\n", md(s.Title))
		for _, b := range s.Blocks {
			m.block(b)
		}
	}
}

func (m *markdown) block(b Block) {
	switch b := b.(type) {
	case Para:
		m.printf("\n%s\n", md(b.Text))
	case Table:
		m.table(b)
	case Facts:
		m.printf("\n| | |\n|---|---|\n")
		for _, f := range b.Items {
			m.printf("| %s | %s |\n", md(f.Name), md(f.Value))
		}
	case List:
		m.list(b)
	case Plot:
		m.plot(b)
	case Maps:
		m.printf("\n%s\n\n", md(b.Caption))
		m.printf("```\n")
		(&text{w: m.w}).bars(b.Maps)
		m.printf("```\n")
	}
}

func (m *markdown) table(t Table) {
	if len(t.Rows) == 0 {
		return
	}
	m.printf("\n%s\n\n|", md(t.Caption))
	for _, c := range t.Columns {
		m.printf(" %s |", md(c.Title))
	}
	m.printf("\n|---|%s\n", strings.Repeat("---:|", len(t.Columns)-1))
	for _, r := range t.Rows {
		m.printf("|")
		for _, c := range r.Cells {
			m.printf(" %s |", md(c.Text))
		}
		m.printf("\n")
	}
}

func (m *markdown) list(l List) {
	m.printf("\n")
	for _, it := range l.Items {
		m.printf("- %s\n", md(it.Text))
		if it.Evidence != "" {
			m.printf("\n")
			for _, line := range strings.Split(printableLines(it.Evidence), "\n") {
				m.printf("      %s\n", line)
			}
			m.printf("\n")
		}
	}
}

func (m *markdown) plot(p Plot) {
	t := plotTable(p)
	t.Caption = p.Title + ", " + p.YLabel
	m.table(t)
}

// plotTable gives a plot's values as a table.
func plotTable(p Plot) Table {
	t := Table{Columns: []Column{{Title: p.XLabel}}}
	xs := xValues(p)
	for _, x := range xs {
		t.Columns = append(t.Columns, Column{Title: number(x)})
	}
	for _, s := range p.Series {
		r := Row{Cells: []Cell{{Text: s.Name}}}
		for _, x := range xs {
			r.Cells = append(r.Cells, Cell{Text: valueAt(p, s, x)})
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

// md makes text safe to stand in a line or a table cell of Markdown. An
// underscore inside a word is one already.
func md(s string) string {
	rs := []rune(strings.Join(strings.Fields(printable(s)), " "))
	inWord := func(i int) bool {
		return i >= 0 && i < len(rs) && (unicode.IsLetter(rs[i]) || unicode.IsDigit(rs[i]))
	}
	var b strings.Builder
	for i, r := range rs {
		switch r {
		case '_':
			if !inWord(i-1) || !inWord(i+1) {
				b.WriteByte('\\')
			}
		case '\\', '`', '*', '[', ']', '<', '>', '|', '#', '~':
			b.WriteByte('\\')
		case '&':
			b.WriteString("&amp;")
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
