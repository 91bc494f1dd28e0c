// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/results"
)

// Format is one way of writing a record's report.
type Format struct {
	Name  string
	About string // one line for --help
	Write func(w io.Writer, rec *results.Record) error
}

// Formats lists the formats, the one for terminals first.
func Formats() []Format {
	return []Format{
		{"text", "72 columns, fit for a cover letter", func(w io.Writer, r *results.Record) error { return Text(w, Build(r)) }},
		{"html", "one self-contained page with plots and pictures", func(w io.Writer, r *results.Record) error { return HTML(w, Build(r)) }},
		{"markdown", "the whole report as GitHub-flavoured Markdown", func(w io.Writer, r *results.Record) error { return Markdown(w, Build(r)) }},
		{"json", "the record, with the comparison beside its own fields", JSON},
		{"junit", "JUnit XML, for CI", func(w io.Writer, r *results.Record) error { return JUnit(w, Build(r)) }},
		{"ktap", "the kernel's test format", func(w io.Writer, r *results.Record) error { return KTAP(w, Build(r)) }},
		{"bench", "the raw values in Go's benchmark format, for benchstat", Bench},
		{"b4", "what b4's check commands print", func(w io.Writer, r *results.Record) error { return B4(w, Build(r)) }},
	}
}

// Write writes rec's report in the format called name.
func Write(w io.Writer, name string, rec *results.Record) error {
	var names []string
	for _, f := range Formats() {
		if f.Name == name {
			return f.Write(w, rec)
		}
		names = append(names, f.Name)
	}
	return fault.WithHint(fault.Inputf("unknown report format %q", name), "one of: %s", strings.Join(names, ", "))
}

// JSON writes the record as it is stored, with one more field, "comparison",
// that holds every change against the baseline. Reading it as a record gives
// the record.
func JSON(w io.Writer, rec *results.Record) error {
	rec.Normalise()
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(struct {
		*results.Record
		Comparison []compare.Comparison `json:"comparison"`
	}{rec, append([]compare.Comparison{}, compare.Compare(rec)...)})
	if err != nil {
		return fmt.Errorf("write the report of %s as JSON: %w", rec.ID, err)
	}
	return nil
}
