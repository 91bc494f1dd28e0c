// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"packtest/results"
)

// bisectRecord is a search that came to an answer: one step could not be built,
// one changed nothing.
func bisectRecord() *results.Record {
	rec := exampleRecord()
	rec.Verdict, rec.Why = "", ""
	rec.Baseline, rec.Candidate = "nopack", "pack"
	finding := results.Finding{Arch: "s390x", Variant: "pack", Scenario: "churn", Kind: "permissions", Title: "kernel memory is writable and executable", Evidence: "2 cases:\n0x3ff80000000-0x3ff80200000"}
	rec.Findings = nil
	for _, v := range []string{"pack", "pack-4"} {
		finding.Variant = v
		rec.Findings = append(rec.Findings, finding)
	}
	rec.Findings = append(rec.Findings, results.Finding{Arch: "s390x", Variant: "pack-3", Scenario: "build", Kind: "build", Title: "the kernel does not build", Evidence: "core.c:7: error"})
	rec.Bisection = &results.Bisection{Arch: "s390x", Kind: finding.Kind, Title: finding.Title, Scenario: "churn",
		Patches: []string{"mine/0001-bpf-Begin.patch", "mine/0002-bpf-Go-on.patch", "mine/0003-bpf-Break-the-build-where-nobody-looks-at-it.patch", "mine/0004-bpf-Mend-it.patch", "mine/0005-bpf-End.patch"},
		Steps: []results.BisectStep{{Step: 0, Variant: "nopack", Good: 1}, {Step: 1, Variant: "pack-1", SameAs: "nopack"}, {Step: 2, Variant: "pack-2", Good: 3},
			{Step: 3, Variant: "pack-3", Skipped: "it does not build: core.c:7: error"}, {Step: 4, Variant: "pack-4", Bad: 2, Unclear: 1}, {Step: 5, Variant: "pack", Bad: 1}},
		Suspects:   []results.Suspects{{From: 0, To: 0, P: 0.012}, {From: 1, To: 1, P: 0}, {From: 2, To: 2, P: 0.0004}, {From: 3, To: 4, P: 0.9876}, {From: 5, To: 5, P: 0}},
		Confidence: 0.95, From: 3, To: 4, P: 0.9876,
		Why: `one of the patches 3 to 4 of 5, which can't be told apart, brings "kernel memory is writable and executable" on s390x (permissions, churn); 98.7 % sure after 8 looks`}
	return rec
}

func TestBisection(t *testing.T) {
	d := Build(bisectRecord())
	golden(t, "bisect.txt", func(w io.Writer) error { return Text(w, d) })
	golden(t, "bisect.md", func(w io.Writer) error { return Markdown(w, d) })
	if len(d.Checks) != 1 || d.Checks[0].Mark != Failed {
		t.Errorf("checks %+v", d.Checks)
	}
	for _, f := range Formats() {
		if err := Write(&bytes.Buffer{}, f.Name, bisectRecord()); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	rec := bisectRecord()
	rec.Bisection = &results.Bisection{Patches: []string{"a/0001-b.patch"}, Why: "the whole series showed nothing"}
	if d := Build(rec); d.Verdict != results.Inconclusive || d.Checks[0].Mark != Broken || !strings.Contains(d.Why, "showed nothing") {
		t.Errorf("a search without an answer: %s, %+v", d.Verdict, d.Checks)
	}
}
