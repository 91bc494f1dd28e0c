// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/results"
)

var look = flag.String("look", "", "write the example's pages into this `folder`")
var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what write writes with testdata/name.
func golden(t *testing.T, name string, write func(io.Writer) error) {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("%s differs (-update writes it anew):\n%s", name, d)
	}
}

// failedRecord is the example with a candidate that warns and panics, a cell
// that did not build, and text from the guest that means harm.
func failedRecord() *results.Record {
	rec := exampleRecord()
	rec.Findings = []results.Finding{
		{Arch: "x86_64", Variant: "pack", Scenario: "drain", Kind: "warning", Title: "WARNING in bpf_prog_pack_free",
			Evidence: "[    7.1] ------------[ cut here ]------------\n[    7.1] WARNING: CPU: 1 PID: 9 at kernel/bpf/core.c:1012 bpf_prog_pack_free+0x1/0x2\n[    7.1] <script>alert('&')</script> \x1b[31m \u202e| `x`\n"},
		{Arch: "x86_64", Variant: "pack", Scenario: "load", Kind: "leak", Title: "the same on both", Evidence: "x"},
		{Arch: "x86_64", Variant: "nopack", Scenario: "load", Kind: "leak", Title: "the same on both", Evidence: "x"},
		{Arch: "s390x", Variant: "nopack", Scenario: "load", Kind: "warning", Title: "only without the series"},
		// Alike in two scenarios, and twice in one of them.
		{Arch: "s390x", Variant: "pack", Scenario: "churn", Kind: "permissions", Title: "a page is writable and executable", Evidence: "0x1000"},
		{Arch: "s390x", Variant: "pack", Scenario: "shapes", Kind: "permissions", Title: "a page is writable and executable", Evidence: "0x1000"},
		{Arch: "s390x", Variant: "pack", Scenario: "shapes", Kind: "permissions", Title: "a page is writable and executable", Evidence: "0x1000", Boot: 2},
	}
	for i := range rec.Cells {
		if c := &rec.Cells[i]; c.Arch == "s390x" && c.Variant == "upstream" {
			c.Error, c.Fault, c.Image = "kernel/bpf/core.c:1:1: error: 'x' undeclared\n  x\n  ^", "kernel", ""
		}
	}
	rec.Notes = []string{"boot 2 of nopack on x86_64 was repeated: QEMU died"}
	return rec
}

// singleRecord is one variant without a baseline.
func singleRecord() *results.Record {
	rec := exampleRecord()
	rec.Baseline = ""
	keep := func(v string) bool { return v == rec.Candidate }
	rec.Planned = filter(rec.Planned, func(p results.Planned) bool { return keep(p.Variant) })
	rec.Cells = filter(rec.Cells, func(c results.Cell) bool { return keep(c.Variant) })
	rec.Boots = filter(rec.Boots, func(b results.Boot) bool { return keep(b.Variant) })
	rec.Samples = filter(rec.Samples, func(s results.Sample) bool { return keep(s.Variant) })
	rec.Layouts = filter(rec.Layouts, func(l results.Layout) bool { return keep(l.Variant) })
	rec.Unmeasured = filter(rec.Unmeasured, func(u results.Unmeasured) bool { return keep(u.Variant) })
	return rec
}

// emptyRecord is what an interrupted run leaves behind at the least.
func emptyRecord() *results.Record {
	return &results.Record{Schema: results.Schema, ID: "empty"}
}

func filter[T any](list []T, keep func(T) bool) []T {
	var out []T
	for _, x := range list {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}

func TestGoldens(t *testing.T) {
	for name, rec := range map[string]*results.Record{
		"example": exampleRecord(), "failed": failedRecord(), "single": singleRecord(), "empty": emptyRecord(),
	} {
		t.Run(name, func(t *testing.T) {
			d := Build(rec)
			golden(t, name+".txt", func(w io.Writer) error { return Text(w, d) })
			golden(t, name+".ascii.txt", func(w io.Writer) error { return TextStyle{ASCII: true}.Write(w, d) })
			golden(t, name+".md", func(w io.Writer) error { return Markdown(w, d) })
		})
	}
	golden(t, "example.html", func(w io.Writer) error { return HTML(w, Build(exampleRecord())) })
}

// TestLook writes the example's pages into a folder, to be looked at.
func TestLook(t *testing.T) {
	if *look == "" {
		t.Skip("writes pages to look at; -look FOLDER asks for it")
	}
	examplePrograms = 1000
	for name, rec := range map[string]*results.Record{"example": exampleRecord(), "failed": failedRecord(), "single": singleRecord(), "empty": emptyRecord()} {
		f, err := os.Create(filepath.Join(*look, name+".html"))
		if err != nil {
			t.Fatal(err)
		}
		if err := HTML(f, Build(rec)); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	examplePrograms = 150
}
