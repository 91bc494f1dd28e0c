// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"packtest/guest/wire"
	"packtest/internal/fault"
	"packtest/metric"
	"packtest/results"
)

// records are the records that every renderer must cope with.
func records() map[string]*results.Record {
	return map[string]*results.Record{
		"example": exampleRecord(), "failed": failedRecord(), "single": singleRecord(), "empty": emptyRecord(), "odd": oddRecord(),
		"long": longRecord(), "long check": longCheck(), "long search": longSearch(),
	}
}

// longName is what a series can be called: no blank in it, signs that mean
// something to every format, characters of two columns and of none.
var longName = "v6|20260102_bpf_prog_pack-" + strings.Repeat("für-s390x-und-x86_64-", 3) + strings.Repeat("漢字", 12) + "e\u0301|`#1`.mbox"

// longRecord has names as long as they can be, on findings of every sort.
func longRecord() *results.Record {
	rec := failedRecord()
	variant := map[string]string{"nopack": strings.Repeat("nopack-", 5) + "as-it", "pack": strings.Repeat("a-pack_", 5) + "final", "upstream": "upstream"}
	for i := range rec.Planned {
		rec.Planned[i].Variant = variant[rec.Planned[i].Variant]
	}
	for i := range rec.Cells {
		c := &rec.Cells[i]
		c.Variant, c.Stack = variant[c.Variant], []string{longName, longName}
	}
	for i := range rec.Boots {
		rec.Boots[i].Variant = variant[rec.Boots[i].Variant]
	}
	for i := range rec.Samples {
		rec.Samples[i].Variant = variant[rec.Samples[i].Variant]
	}
	for i := range rec.Layouts {
		rec.Layouts[i].Variant = variant[rec.Layouts[i].Variant]
	}
	for i := range rec.Unmeasured {
		u := &rec.Unmeasured[i]
		u.Variant, u.Why = variant[u.Variant], longName
	}
	for i := range rec.Findings {
		f := &rec.Findings[i]
		f.Variant = variant[f.Variant]
		f.Title += " in " + strings.Repeat("bpf_prog_pack_", 8) + "free | " + longName
		// The last lines end what the kernel's own reader of KTAP reads.
		f.Evidence += "\n" + longName + longName + "\nKTAP version 1\n1..1\nnot ok 1 x\nList of all partitions:\nreboot: System halted"
		f.Title += ", Kernel panic - not syncing: VFS: Unable to mount root fs"
	}
	rec.Baseline, rec.Candidate = variant["nopack"], variant["pack"]
	p := &rec.Provenance
	p.Base.Spec = "tree:/home/" + longName + "/bpf-next@" + strings.Repeat("0123456789", 4)
	p.Series = append(p.Series, results.Series{Name: longName, SHA256: sum('3'), Patches: []string{longName}})
	p.Tools[longName] = longName
	rec.Notes = append(rec.Notes, longName)
	return rec
}

func longCheck() *results.Record {
	rec := checkRecord()
	rec.Check.Series = longName
	for i := range rec.Check.Patches {
		p := &rec.Check.Patches[i]
		p.Subject += " " + longName
		if p.Style != nil && p.Style.Text != "" {
			p.Style.Text += "\n" + longName
		}
	}
	for i := range rec.Cells {
		rec.Cells[i].Stack = []string{longName}
	}
	for i := range rec.Check.Steps {
		for j := range rec.Check.Steps[i].New {
			rec.Check.Steps[i].New[j].File = longName
		}
	}
	return rec
}

func longSearch() *results.Record {
	rec := bisectRecord()
	b := rec.Bisection
	for i := range b.Patches {
		b.Patches[i] = longName + "/" + b.Patches[i][5:]
	}
	b.Why = "one of the patches 3 to 4 of 5, " + b.Patches[2] + " to " + b.Patches[3] + " brings " + longName
	b.Title = longName
	for i := range b.Steps {
		if b.Steps[i].Skipped != "" {
			b.Steps[i].Skipped += longName
		}
	}
	return rec
}

// oddRecord holds what no guest should send and a damaged record may hold.
func oddRecord() *results.Record {
	evil := "<img src=https://example.org/x onerror=alert(1)>\"'`|\\*_\x1b[2J\u202eé"
	return &results.Record{
		Schema: results.Schema, ID: evil, Why: evil, Baseline: "nopack", Candidate: evil, Notes: []string{evil},
		Provenance: results.Provenance{Plan: evil, Tools: map[string]string{evil: evil}},
		Planned:    []results.Planned{{Arch: evil, Variant: evil, Scenario: evil, Boots: 1}},
		Cells:      []results.Cell{{Arch: evil, Variant: evil, Error: evil + "\n" + evil}},
		Boots:      []results.Boot{{Arch: evil, Variant: evil, Ending: evil, Detail: evil}},
		Samples: []results.Sample{
			{Arch: evil, Variant: evil, Scenario: "load", Sample: metric.Sample{Metric: evil, Unit: evil, Values: []float64{math.NaN(), math.Inf(1)}}},
			{Arch: evil, Variant: evil, Scenario: "load", Sample: metric.Sample{Metric: "from_the_future", Unit: "apples", Values: []float64{1}}},
			{Arch: evil, Variant: evil, Scenario: "load", Sample: metric.Sample{Metric: "jit_pages", Unit: "pages", Exact: true, Values: nil}},
			{Arch: evil, Variant: evil, Scenario: "directmap", Sample: metric.Sample{Metric: "directmap_4k", Unit: "bytes", Exact: true, Labels: map[string]string{"programs": evil}, Values: []float64{1}}},
			{Arch: evil, Variant: evil, Scenario: "directmap", Sample: metric.Sample{Metric: "directmap_4k", Unit: "bytes", Exact: true, Labels: map[string]string{"programs": "NaN"}, Values: []float64{2}}},
			{Arch: evil, Variant: evil, Scenario: "test_bpf", Sample: metric.Sample{Metric: "test_bpf_passed", Unit: "tests", Exact: true, Values: nil}},
		},
		Findings:   []results.Finding{{Arch: evil, Variant: evil, Kind: evil, Title: evil, Evidence: evil + "\n" + evil}},
		Unmeasured: []results.Unmeasured{{Arch: evil, Variant: evil, Metric: evil, Why: evil}},
		Layouts: []results.Layout{{Arch: evil, Variant: evil, Scenario: evil, Layout: wire.Layout{Step: evil, Regions: []wire.Region{
			{Start: math.MaxUint64, Bytes: math.MaxUint64, Images: []wire.Image{{Offset: math.MaxUint64, Bytes: math.MaxUint64, Type: evil}}},
			{Bytes: 1, Images: []wire.Image{{Offset: 4000, Bytes: 1 << 40, Type: evil}, {}}},
			{},
		}}}},
	}
}

func TestTextIsFitForACoverLetter(t *testing.T) {
	for name, rec := range records() {
		var plain, ascii bytes.Buffer
		if err := Text(&plain, Build(rec)); err != nil {
			t.Fatal(err)
		}
		if err := (TextStyle{ASCII: true}).Write(&ascii, Build(rec)); err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(plain.String(), "\n") {
			if width(line) > columns {
				t.Errorf("%s: line %d has %d columns: %s", name, i+1, width(line), line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s: line %d ends in blanks", name, i+1)
			}
			for _, r := range line {
				if !unicode.IsPrint(r) {
					t.Errorf("%s: line %d holds %U", name, i+1, r)
				}
			}
		}
		for _, r := range ascii.String() {
			if r > 0x7e || r < ' ' && r != '\n' {
				t.Errorf("%s: the ASCII form holds %U", name, r)
			}
		}
	}
}

func TestExampleIsShort(t *testing.T) {
	var b bytes.Buffer
	if err := Text(&b, Build(exampleRecord())); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n > 95 {
		t.Errorf("the text form has %d lines", n)
	}
	first, _, _ := strings.Cut(b.String(), "\n")
	if !strings.Contains(first, "IMPROVED") {
		t.Errorf("the verdict doesn't come first: %q", first)
	}
}

func TestColourOnlyWhenAsked(t *testing.T) {
	var plain, colour bytes.Buffer
	if err := Text(&plain, Build(failedRecord())); err != nil {
		t.Fatal(err)
	}
	if err := (TextStyle{Colour: true}).Write(&colour, Build(failedRecord())); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(colour.String(), "\x1b[31m") {
		t.Error("colour where none was asked for, or none where it was")
	}
	if got := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(colour.String(), ""); got != plain.String() {
		t.Error("colour changes the text")
	}
}

func TestPageNeedsNothingElse(t *testing.T) {
	loads := regexp.MustCompile(`(?i)<(script|link|iframe|img|object|embed|base|form|use|image)\b|\bsrc\s*=|@import|url\(|xlink:|\bon[a-z]+\s*=\s*["']`)
	for name, rec := range records() {
		var b bytes.Buffer
		if err := HTML(&b, Build(rec)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		page := b.String()
		for _, m := range loads.FindAllString(tagsOf(page), -1) {
			t.Errorf("%s: the page holds %q", name, m)
		}
		if name != "odd" && (strings.Contains(page, "http://") || strings.Contains(page, "https://")) {
			t.Errorf("%s: the page points elsewhere", name)
		}
		for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if !strings.HasPrefix(m[1], "#") {
				t.Errorf("%s: a link to %s", name, m[1])
			}
		}
		if strings.Contains(page, "ZgotmplZ") {
			t.Errorf("%s: the template refused a value", name)
		}
	}
}

// tagsOf returns what stands between < and >, where the page could do anything.
func tagsOf(page string) string {
	var b strings.Builder
	for _, m := range regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1) {
		// Quoted values are text, whatever they say.
		b.WriteString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(m, `""`))
	}
	return b.String()
}

// TestNothingUnwritable: no renderer shows a number that is none, or a 0 for
// what was not measured.
func TestNothingUnwritable(t *testing.T) {
	bad := regexp.MustCompile(`\bNaN\b|[+-]?\bInf\b|%!|<nil>`)
	for name, rec := range records() {
		for _, f := range Formats() {
			var b bytes.Buffer
			err := f.Write(&b, rec)
			if name == "odd" && f.Name == "json" {
				continue // JSON has no NaN, and a record read from a file can't hold one
			}
			if err != nil {
				t.Errorf("%s as %s: %v", name, f.Name, err)
			}
			text := strings.ReplaceAll(b.String(), "<wbr>", "")
			if name == "odd" {
				text = strings.ReplaceAll(text, "programs=NaN", "") // a label says so
			}
			if m := bad.FindString(strings.ReplaceAll(text, `programs\=NaN`, "")); m != "" {
				t.Errorf("%s as %s holds %q", name, f.Name, m)
			}
		}
	}
}

func TestUnmeasuredIsNoZero(t *testing.T) {
	rec := exampleRecord()
	rec.Samples = filter(rec.Samples, func(s results.Sample) bool {
		return !(s.Metric == "jit_pages" && s.Variant == "pack" && s.Arch == "s390x")
	})
	var b bytes.Buffer
	if err := Text(&b, Build(rec)); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`jit_pages +175 +n/m +175`).MatchString(b.String()) {
		t.Errorf("no n/m in:\n%s", b.String())
	}
}

func TestJSONIsTheRecordAndMore(t *testing.T) {
	rec := exampleRecord()
	var b bytes.Buffer
	if err := JSON(&b, rec); err != nil {
		t.Fatal(err)
	}
	again, err := results.Parse(b.Bytes(), "test")
	if err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(rec)
	y, _ := json.Marshal(again)
	if !bytes.Equal(x, y) {
		t.Error("the record doesn't come back")
	}
	var more struct {
		Comparison []struct {
			Head    string
			Changes []struct{ Metric, Verdict string }
		}
	}
	if err := json.Unmarshal(b.Bytes(), &more); err != nil {
		t.Fatal(err)
	}
	if len(more.Comparison) != 2 || more.Comparison[0].Head != "pack" || len(more.Comparison[0].Changes) < 20 {
		t.Errorf("comparison: %+v", more)
	}
}

func TestUnknownFormat(t *testing.T) {
	err := Write(&bytes.Buffer{}, "pdf", emptyRecord())
	if fault.Of(err) != fault.Input || !strings.Contains(fault.HintOf(err), "markdown") {
		t.Errorf("err = %v (%s)", err, fault.HintOf(err))
	}
}

func TestWriteErrorsArrive(t *testing.T) {
	for _, f := range Formats() {
		if err := f.Write(full{}, exampleRecord()); !errors.Is(err, errFull) {
			t.Errorf("%s: err = %v", f.Name, err)
		}
	}
}

var errFull = errors.New("no space")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAnotherVerdictIsSaid(t *testing.T) {
	rec := exampleRecord()
	rec.Verdict, rec.Why = results.Pass, "all is well"
	rec.Boots = nil
	var b bytes.Buffer
	if err := Text(&b, Build(rec)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "HARNESS-FAILED") || !strings.Contains(b.String(), "The record says pass (all is well)") {
		t.Errorf("%s", b.String())
	}
}

func TestQuantities(t *testing.T) {
	for _, tc := range []struct {
		unit string
		x    float64
		want string
	}{
		{"bytes", 0, "0 B"}, {"bytes", 1023, "1023 B"}, {"bytes", 4096, "4 KiB"}, {"bytes", 5.5 * mib, "5.5 MiB"},
		{"bytes", 2048 * mib, "2 GiB"}, {"bytes", -4096, "-4 KiB"},
		{"ns", 0, "0 ns"}, {"ns", 999, "999 ns"}, {"ns", 1390e3, "1.39 ms"}, {"ns", 2.5e9, "2.5 s"},
		{"%", 93.14, "93.1 %"}, {"%", 100, "100 %"},
		{"pages", 1, "1 page"}, {"pages", 1432, "1432 pages"}, {"programs/page", 1, "1 programs/page"},
		{"programs/page", 3.14159, "3.142 programs/page"}, {"pages", math.NaN(), notMeasured}, {"bytes", math.Inf(1), notMeasured},
	} {
		if got := Quantity(tc.unit, tc.x); got != tc.want {
			t.Errorf("Quantity(%s, %g) = %q, want %q", tc.unit, tc.x, got, tc.want)
		}
	}
}

func TestBars(t *testing.T) {
	region := func(images ...wire.Image) []wire.Region {
		return []wire.Region{{Bytes: 2 * pageBytes, Images: images}}
	}
	for _, tc := range []struct {
		name    string
		regions []wire.Region
		want    string
	}{
		{"empty", region(), "····"},
		{"full", region(wire.Image{Bytes: 2 * pageBytes}), "████"},
		{"half", region(wire.Image{Bytes: pageBytes}), "██··"},
		{"one byte", region(wire.Image{Offset: 5000, Bytes: 1}), "··▁·"},
		{"all but a chunk", region(wire.Image{Bytes: 2*pageBytes - 64}), "███▇"},
		{"past the end", region(wire.Image{Offset: pageBytes, Bytes: 1 << 40}), "··██"},
	} {
		if got := (&text{}).bar(density(tc.regions, 4)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestWrap(t *testing.T) {
	got := wrap("aa bb cc dddddddddd e", 8, 3, 2)
	want := []string{"aa bb", "  cc", "  dddddd", "  dddd e"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, want %q", got, want)
	}
	got = wrap("see bpf-prog-pack/0001-bpf-Go.patch, 漢字漢字漢字漢字漢字 e\u0301e\u0301", 20, 0, 1)
	want = []string{"see", " bpf-prog-pack/0001-", " bpf-Go.patch,", " 漢字漢字漢字漢字漢", " 字 e\u0301e\u0301"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, want %q", got, want)
	}
}

// A table of Markdown has as many cells in each row as in its head, whatever
// stands in them.
func TestMarkdownTables(t *testing.T) {
	escaped := regexp.MustCompile(`\\.`)
	for name, rec := range records() {
		var b bytes.Buffer
		if err := Markdown(&b, Build(rec)); err != nil {
			t.Fatal(err)
		}
		cells, tables := 0, 0
		for i, line := range strings.Split(b.String(), "\n") {
			n := strings.Count(escaped.ReplaceAllString(line, ""), "|")
			switch {
			case !strings.HasPrefix(line, "|"):
				cells = 0
			case cells == 0:
				cells, tables = n, tables+1
			case n != cells:
				t.Errorf("%s: line %d has %d cells, its table %d: %s", name, i+1, n-1, cells-1, line)
			}
		}
		if tables == 0 {
			t.Errorf("%s: no tables", name)
		}
	}
}

// Geometries that were given and not simulated are not said to have been.
func TestGeometriesThatWereSimulated(t *testing.T) {
	rec := exampleRecord()
	rec.Provenance.Geometries = "name = \"mine\""
	for _, want := range []bool{false, true} {
		var b bytes.Buffer
		if err := Write(&b, "html", rec); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), "simulated beside packtest"); got != want {
			t.Errorf("simulated: %v, want %v", got, want)
		}
		rec.Samples = append(rec.Samples, results.Sample{Arch: "s390x", Variant: "pack", Scenario: "itlb",
			Sample: metric.Sample{Metric: "itlb_model_misses_per_run", Unit: "misses/run", Values: []float64{1}}})
	}
}

// What was left out stands at the top of every report, and is no passed check.
func TestLeftOutIsSaid(t *testing.T) {
	rec := exampleRecord()
	for i := range rec.Planned {
		if p := &rec.Planned[i]; p.Arch == "s390x" && p.Scenario == "load" {
			q := *p
			q.Scenario, q.LeftOut = "itlb", "no gcc in PATH"
			rec.Planned = append(rec.Planned, q)
		}
	}
	const says = "itlb was left out on s390x: no gcc in PATH"
	for _, format := range []string{"text", "markdown", "html", "ktap", "junit", "b4"} {
		var b bytes.Buffer
		if err := Write(&b, format, rec); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), says) {
			t.Errorf("%s doesn't say %q:\n%s", format, says, b.String())
		}
		if strings.Contains(b.String(), "None: no broken oracle") {
			t.Errorf("%s takes what was left out for done", format)
		}
	}
	d := Build(rec)
	if d.Sections[0].ID != "not-done" {
		t.Errorf("the first section is %s", d.Sections[0].Title)
	}
	skipped := 0
	for _, c := range d.Checks {
		if strings.HasPrefix(c.Name, "itlb on ") && c.Mark == Skipped && c.Says == "left out: no gcc in PATH" {
			skipped++
		}
	}
	if skipped < 2 {
		t.Errorf("%d checks of itlb are skipped", skipped)
	}
}
