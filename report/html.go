// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed page.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

// HTML writes the whole of d as one page that needs nothing else: no script, no
// network, a light and a dark face.
func HTML(w io.Writer, d Document) error {
	types := programTypes(d)
	t, err := template.New("page").Funcs(template.FuncMap{
		"kind":      kindOf,
		"style":     func() template.CSS { return template.CSS(pageStyle) },
		"plot":      func(p Plot) (template.HTML, error) { s, err := drawPlot(p); return template.HTML(s), err },
		"draw":      func(m Map) drawn { return pictured(m, types) },
		"types":     func() []string { return types },
		"colour":    func(i int) int { return i % typeColours },
		"tone":      func(v Document) Tone { return verdictTone(v.Verdict) },
		"sentence":  sentence,
		"plain":     printable,
		"breakable": breakable,
		"classes":   classes,
		"lines":     printableLines,
	}).Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, d); err != nil {
		return fmt.Errorf("write the report as HTML: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the report as HTML: %w", err)
	}
	return nil
}

func kindOf(b Block) string {
	switch b.(type) {
	case Para:
		return "para"
	case Table:
		return "table"
	case Facts:
		return "facts"
	case List:
		return "list"
	case Plot:
		return "plot"
	}
	return "maps"
}

// drawn is a picture with what stands below it.
type drawn struct {
	SVG  template.HTML
	Says string
}

func pictured(m Map, types []string) drawn {
	svg, left := drawMap(m, types)
	e := measure(m.Regions)
	d := drawn{SVG: template.HTML(svg), Says: fmt.Sprintf("%s in %s, %s mapped, %.1f %% of it used",
		countOf(e.programs, "program"), countOf(len(m.Regions), "area"), Quantity("bytes", float64(e.pages)*pageBytes), e.share())}
	if sizes := mappings(m); sizes != "" {
		d.Says += "; " + sizes
	}
	if left > 0 {
		d.Says += fmt.Sprintf("; %s not drawn", countOf(left, "page"))
	}
	return d
}

// mappings says by what size of page-table entry the areas are mapped.
func mappings(m Map) string {
	sizes := unique(func(add func(string)) {
		for _, r := range m.Regions {
			if r.PageBytes == 0 {
				add("unknown entries")
			} else {
				add(Quantity("bytes", float64(r.PageBytes)))
			}
		}
	})
	if len(sizes) != 1 {
		return ""
	}
	if sizes[0] == "unknown entries" {
		return "size of the mappings not measured"
	}
	return "mapped by entries of " + sizes[0]
}

// parts are where a name that is one word, such as jit_bytes_mapped, may be
// broken.
var parts = strings.NewReplacer("_", "_<wbr>", "{", "<wbr>{", "=", "=<wbr>", "/", "/<wbr>")

func breakable(s string) template.HTML { return template.HTML(parts.Replace(escape(s))) }

// classes are those of cell i of a row.
func classes(t Table, i int, c Cell) string {
	var list []string
	if i < len(t.Columns) && t.Columns[i].Words {
		list = append(list, "words")
	}
	if c.Tone != "" {
		list = append(list, string(c.Tone))
	}
	return strings.Join(list, " ")
}

func escape(s string) string { return template.HTMLEscapeString(printable(s)) }
