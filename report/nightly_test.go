// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"packtest/results"
)

// nights are three weeks of runs: one figure of the candidate gets worse at the
// fifteenth, times follow two nights later and are noisy, one night's harness
// failed, one record can't be read, and one is of another QEMU.
func nights() []results.Summary {
	var list []results.Summary
	noise := []float64{1, 1.04, 0.97, 1.01, 0.99, 1.03, 0.98, 1.02, 0.96, 1, 1.05}
	for day := range 21 {
		at := time.Date(2026, 1, 1+day, 3, 0, 0, 0, time.UTC)
		id := at.Format("20060102-150405")
		s := results.Summary{Folder: id, ID: id, Started: at, Finished: at.Add(time.Minute), Verdict: results.Improved, Why: "2 judged metrics better, none worse",
			Baseline: "nopack", Candidate: "pack", Packtest: "v1", Base: "debian:linux-source-6.1 6.1.192-2", Seed: 1, Host: "a host, 2 CPUs",
			Machines: map[string]string{}, Figures: map[string]map[string]map[string]float64{}}
		if day > 0 {
			s.Against = &results.Against{ID: list[day-1].Folder, Verdict: results.Unchanged, Why: "pack@A and pack@B are the same binary"}
		}
		if day == 14 {
			s.Against = &results.Against{ID: list[13].Folder, Verdict: results.Regressed, Why: "1 judged metric worse: jit_pages (x86_64 +16.9 %)"}
		}
		slow := noise[day%len(noise)]
		for _, arch := range []string{"x86_64", "s390x"} {
			s.Machines[arch] = "measure, tcg, QEMU 7.2"
			figures := func(pages, time float64) map[string]float64 {
				return map[string]float64{"load programs": 200, "load jit_pages": pages, "load jit_bytes_mapped": 2 << 20,
					"directmap directmap_4k programs=2048": 16 << 20, "load load_time_per_program": time * slow}
			}
			pages, took := 89.0, 2e6
			if day >= 14 && arch == "x86_64" {
				pages = 104
			}
			if day >= 13 {
				took *= 1.6
			}
			s.Figures[arch] = map[string]map[string]float64{"nopack": figures(267, 1.9e6), "pack": figures(pages, took)}
		}
		list = append(list, s)
	}
	list[3].Machines = map[string]string{"x86_64": "measure, tcg, QEMU 6", "s390x": "measure, tcg, QEMU 6"}
	list[6].Verdict, list[6].Why, list[6].Against = results.HarnessFailed, "QEMU died <b>&</b>", nil
	list[8] = results.Summary{Folder: list[8].Folder, Unreadable: "unexpected end of JSON input"}
	list[0].Removed = true
	delete(list[10].Figures, "s390x")
	return list
}

func TestNightlyGoldens(t *testing.T) {
	n := NewNightly(nights(), "")
	n.Folder = "../"
	golden(t, "nightly.html", n.HTML)
	golden(t, "nightly.txt", n.Text)
	golden(t, "nightly-trends.txt", n.TrendTable)
	golden(t, "nightly-none.txt", NewNightly(nil, "").Text)
	if *look != "" {
		var b bytes.Buffer
		if err := n.HTML(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*look, "nightly.html"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNightlySaysWhatMatters(t *testing.T) {
	n := NewNightly(nights(), "")
	var page, text bytes.Buffer
	if err := n.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := n.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"20260115-030000: jit_pages, pack on x86_64: 89 pages to 104 pages (+16.9 %), worse",
		"20260114-030000: load_time_per_program, pack on x86_64", "harness-failed", "unexpected end of JSON input", "unreadable"} {
		if !strings.Contains(html.UnescapeString(page.String()), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if got := strings.Count(page.String(), `class="step bad"`); got != 3 {
		t.Errorf("%d steps are marked, want 3: pages on one architecture, time on both", got)
	}
	if strings.Contains(page.String(), "<b>&") {
		t.Error("text from a record is not escaped")
	}
	if strings.Contains(page.String(), "<a href=\"2026") || strings.Contains(page.String(), "report.html") {
		t.Error("a page without its folder has links to it")
	}
	for _, l := range strings.Split(text.String(), "\n") {
		if width(l) > 72 {
			t.Errorf("wider than 72: %s", l)
		}
	}
}

// The mail has 72 columns, and the tables are whole, whatever runs are called and
// say. Checks and searches are in neither.
func TestNightlyOddNames(t *testing.T) {
	runs := nights()
	for i := range runs {
		r := &runs[i]
		r.Folder, r.ID, r.Why, r.Candidate = r.Folder+longName, r.ID+longName+"\x1b\xff", longName+"\n"+longName, longName
		for _, variants := range r.Figures {
			variants[longName] = variants["pack"]
			delete(variants, "pack")
		}
		if r.Against != nil {
			r.Against.ID, r.Against.Why = longName, longName+"\x00"
		}
	}
	other := runs[20]
	other.Kind, other.Why = results.KindCheck, "a check"
	runs = append(runs, other)
	other.Kind, other.Why = results.KindBisect, "a search"
	n := NewNightly(append(runs, other), "")
	if len(n.Runs) != 21 || n.Newest.Why == "a check" || n.Newest.Why == "a search" {
		t.Errorf("%d runs, of which the newest says %q", len(n.Runs), n.Newest.Why)
	}
	var text, trends, page bytes.Buffer
	for _, err := range []error{n.Text(&text), n.TrendTable(&trends), n.HTML(&page)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range strings.Split(text.String(), "\n") {
		if width(l) > columns {
			t.Errorf("wider than %d: %s", columns, l)
		}
	}
	for _, b := range []string{text.String(), trends.String(), page.String()} {
		if strings.ContainsAny(b, "\x00\x1b") || !utf8.ValidString(b) {
			t.Errorf("not to be printed: %q", b)
		}
	}
}

// A time that changes with that of booting is not held to be the kernel's.
func TestNightlyKnowsTheMachine(t *testing.T) {
	runs := nights()
	for i := range runs {
		for _, v := range runs[i].Figures["x86_64"] {
			v["boot boot_time"] = 2e9
			if i >= 13 {
				v["boot boot_time"] = 4e9
			}
		}
	}
	for _, c := range NewNightly(runs, "").Changes() {
		timed, x86 := strings.Contains(c.Says, "load_time"), strings.Contains(c.Says, "x86_64")
		switch {
		case strings.Contains(c.Says, bootTime) && (c.Tone != Muted || !strings.Contains(c.Says, "tells of the machine")),
			timed && x86 != strings.Contains(c.Says, "it may be the machine"),
			timed && x86 != (c.Tone == Muted),
			strings.Contains(c.Says, "jit_pages") && c.Tone != Bad:
			t.Errorf("%+v", c)
		}
	}
}

// Nothing on the page comes from elsewhere, and an empty history is a page too.
func TestNightlyNeedsNothingElse(t *testing.T) {
	for _, runs := range [][]results.Summary{nights(), nil, nights()[:1]} {
		n := NewNightly(runs, "")
		n.Folder = "../"
		var b bytes.Buffer
		if err := n.HTML(&b); err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`(?i)(https?:|<script|@import|url\(|<link|<img)`).FindString(b.String()); m != "" {
			t.Errorf("the page asks for %q", m)
		}
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Error("a number that is none is drawn")
		}
		if err := n.Text(io.Discard); err != nil {
			t.Error(err)
		}
		if err := n.TrendTable(io.Discard); err != nil {
			t.Error(err)
		}
	}
}

// The report is about the run that was asked for, and says of it why it was not
// compared.
func TestNightlyIsAboutOneRun(t *testing.T) {
	runs := nights()
	last := len(runs) - 1
	alone := func(i int, v results.Verdict) string {
		own := nights()
		own[i].Verdict, own[i].Against = v, nil
		return NewNightly(own, own[i].Folder).Against()
	}
	for _, tc := range []struct{ got, want string }{
		{NewNightly(runs, runs[4].Folder).Newest.ID, runs[4].ID},
		{NewNightly(runs, "absent").Newest.ID, runs[last].ID},
		{NewNightly(runs, "").Newest.ID, runs[last].ID},
		{NewNightly(runs[:9], "").Newest.ID, runs[7].ID}, // the last can't be read
		{alone(0, results.Pass), "There was no earlier good run to compare it with."},
		{alone(0, results.Interrupted), "It was not compared with an earlier run: it may be half of what was asked for."},
		{alone(5, results.HarnessFailed), "It was not compared with an earlier run: it may be half of what was asked for."},
		{alone(5, results.Pass), "It was not compared with an earlier run."},
	} {
		if tc.got != tc.want {
			t.Errorf("%q, want %q", tc.got, tc.want)
		}
	}
}
