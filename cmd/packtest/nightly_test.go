// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packtest/internal/fault"
	"packtest/results"
)

// smallReference is a real run's record, of which one scenario is left.
func smallReference(t *testing.T) *results.Record {
	t.Helper()
	rec, err := results.NewStore("../../results").Load("reference")
	if err != nil {
		t.Fatal(err)
	}
	keep := map[string]bool{"load": true, "drain": true, "boot": true}
	rec.Layouts, rec.Findings = nil, nil
	rec.Planned = filter(rec.Planned, func(p results.Planned) bool { return keep[p.Scenario] })
	rec.Samples = filter(rec.Samples, func(s results.Sample) bool { return keep[s.Scenario] })
	rec.Unmeasured = filter(rec.Unmeasured, func(u results.Unmeasured) bool { return keep[u.Scenario] })
	return rec
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

// nightsIn fills a store with runs, a day apart, each held against the one
// before, and returns the last, which is yet to be.
func nightsIn(t *testing.T, store *results.Store, changes ...func(*results.Record)) *results.Record {
	t.Helper()
	var rec *results.Record
	for i, change := range changes {
		rec = smallReference(t)
		rec.Started = time.Date(2026, 1, 1+i, 3, 0, 0, 0, time.UTC)
		id, err := store.Create(rec.Started)
		if err != nil {
			t.Fatal(err)
		}
		if rec.ID = id; i > 0 && i < len(changes)-1 {
			rec.Against = &results.Against{ID: "the one before", Verdict: results.Unchanged}
		}
		if change != nil {
			change(rec)
		}
		if err := store.Save(rec); err != nil {
			t.Fatal(err)
		}
		if err := store.Publish(id); err != nil {
			t.Fatal(err)
		}
	}
	return rec
}

// morePages makes the candidate take a fifth more pages.
func morePages(rec *results.Record) {
	for i := range rec.Samples {
		s := &rec.Samples[i]
		if s.Metric == "jit_pages" && s.Variant == rec.Candidate {
			for j := range s.Values {
				s.Values[j] *= 1.2
			}
		}
	}
	for i := range rec.Cells {
		rec.Cells[i].Image = "another" + rec.Cells[i].Variant
	}
}

func TestLastGood(t *testing.T) {
	with := func(list ...func(*results.Record)) func(*results.Record) {
		return func(r *results.Record) {
			for _, f := range list {
				f(r)
			}
		}
	}
	verdict := func(v results.Verdict) func(*results.Record) {
		return func(r *results.Record) { r.Verdict = v }
	}
	worse := func(r *results.Record) { r.Against = &results.Against{ID: "x", Verdict: results.Regressed} }
	kvm := func(r *results.Record) { r.Provenance.Accelerator["s390x"] = "kvm" }
	otherSeed := func(r *results.Record) { r.Seed = 99 }
	narrow := func(r *results.Record) {
		r.Planned = filter(r.Planned, func(p results.Planned) bool { return p.Arch == "s390x" && p.Scenario == "load" })
	}
	noLoad := func(r *results.Record) {
		r.Planned = filter(r.Planned, func(p results.Planned) bool { return p.Scenario != "load" })
	}
	loadOnly := func(r *results.Record) {
		r.Planned = filter(r.Planned, func(p results.Planned) bool { return p.Scenario == "load" })
	}
	drainLeftOut := func(r *results.Record) {
		for i := range r.Planned {
			if r.Planned[i].Scenario == "drain" {
				r.Planned[i].LeftOut = "nobody can"
			}
		}
	}
	alone := func(r *results.Record) { r.Against = nil }
	cut := func(r *results.Record) {
		r.Verdict, r.Cells, r.Boots = results.Interrupted, nil, nil
	}
	check := func(r *results.Record) { r.Check = &results.Check{} }
	otherCandidate := func(r *results.Record) { r.Candidate = "upstream" }
	for _, tc := range []struct {
		name string
		runs []func(*results.Record) // the last is tonight's
		want string
		why  string // it is named, and not compared
		lack string
	}{
		{name: "the one before", runs: []func(*results.Record){nil, nil, nil}, want: "20260102-030000"},
		{name: "none", runs: []func(*results.Record){nil}},
		{name: "not one that was wrong", runs: []func(*results.Record){nil, verdict(results.Regressed), verdict(results.HarnessFailed), verdict(results.Interrupted), nil}, want: "20260101-030000"},
		{name: "not one that was worse than the one before it", runs: []func(*results.Record){nil, with(morePages, worse), nil}, want: "20260101-030000"},
		{name: "not one that can't be compared", runs: []func(*results.Record){nil, kvm, otherSeed, otherCandidate, nil}, want: "20260101-030000"},
		{name: "none that can be compared", runs: []func(*results.Record){otherSeed, kvm, nil}, want: "20260102-030000", why: "accelerator on s390x: kvm and tcg"},
		{name: "no other candidate's", runs: []func(*results.Record){otherCandidate, nil}},
		{name: "not one that did less", runs: []func(*results.Record){nil, narrow, noLoad, nil}, want: "20260101-030000"},
		{name: "the one that did most of it", runs: []func(*results.Record){narrow, loadOnly, narrow, nil}, want: "20260102-030000", lack: "drain on s390x drain on x86_64"},
		{name: "not one that left something out", runs: []func(*results.Record){nil, drainLeftOut, nil}, want: "20260101-030000"},
		{name: "what it left out itself is not looked for", runs: []func(*results.Record){nil, loadOnly, drainLeftOut}, want: "20260102-030000"},
		{name: "none that did nothing of it", runs: []func(*results.Record){noLoad, loadOnly}},
		{name: "less is enough for less", runs: []func(*results.Record){nil, nil, narrow}, want: "20260102-030000"},
		{name: "not one that was compared with none", runs: []func(*results.Record){nil, nil, alone, alone, nil}, want: "20260102-030000"},
		{name: "the oldest that was compared with none", runs: []func(*results.Record){alone, alone, nil}, want: "20260101-030000"},
		{name: "compared with none, after what can't be compared", runs: []func(*results.Record){kvm, alone, nil}, want: "20260102-030000"},
		{name: "no check", runs: []func(*results.Record){nil, check, nil}, want: "20260101-030000"},
		{name: "of half a run", runs: []func(*results.Record){nil, narrow, cut}, want: "20260101-030000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := results.NewStore(t.TempDir())
			rec := nightsIn(t, store, tc.runs...)
			list, _, err := store.History()
			if err != nil {
				t.Fatal(err)
			}
			good := lastGood(store, list, rec)
			if good.id != tc.want || !strings.Contains(good.why, tc.why) || (good.why == "") != (tc.why == "") {
				t.Errorf("%q, want %q; %s", good.id, tc.want, good.why)
			}
			if compared := tc.want != "" && tc.why == "" && rec.Verdict != results.Interrupted; (good.both != nil) != compared {
				t.Errorf("compared: %v, want %v", !compared, compared)
			}
			if got := strings.Join(good.lacks, " "); got != tc.lack {
				t.Errorf("lacks %q, want %q", got, tc.lack)
			}
		})
	}
}

// What follows a run: it is held against the last good one, told in its record,
// on the page and in words, and what is old goes.
func TestAfterANight(t *testing.T) {
	dir := t.TempDir()
	store := results.NewStore(dir)
	rec := nightsIn(t, store, nil, nil, nil, morePages)
	var out, errs bytes.Buffer
	w := &world{ctx: t.Context(), stdout: &out, stderr: &errs, resultsDir: dir, now: time.Now}
	if err := (&nightlyCmd{Keep: 2}).after(w, store, rec, nil); err != nil {
		t.Fatal(err)
	}
	again, err := store.Load(rec.ID)
	if err != nil || again.Against == nil || again.Against.ID != "20260103-030000" || again.Against.Verdict != results.Regressed {
		t.Fatalf("%v, against %+v", err, again.Against)
	}
	if !strings.Contains(again.Against.Why, "jit_pages") || strings.Contains(again.Against.Why, "@") {
		t.Errorf("why: %s", again.Against.Why)
	}
	for _, want := range []string{"Against 20260103-030000, the last good one: regressed", "jit_pages, pack on s390x: 442 pages to",
		"Removed 20260102-030000 of 2026-01-02", "Removed 20260101-030000", "Page: " + filepath.Join(dir, "nightly", "index.html")} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("the text lacks %q:\n%s", want, &out)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "nightly", "index.html"))
	if err != nil || !strings.Contains(string(page), `href="../`+rec.ID+`/report.html"`) {
		t.Errorf("the page: %v", err)
	}
	if _, err := os.Stat(filepath.Join(store.Dir(rec.ID), "against.html")); err != nil {
		t.Error(err)
	}
	// A run that was cut short is held against nothing, and is on the page.
	cut := nightsIn(t, store, nil, nil, nil, nil, func(r *results.Record) { r.Verdict = results.Interrupted })
	out.Reset()
	if err := (&nightlyCmd{}).after(w, store, cut, nil); err != nil || cut.Against != nil {
		t.Errorf("%v, %+v", err, cut.Against)
	}
	if !strings.Contains(out.String(), "INTERRUPTED") {
		t.Errorf("the text:\n%s", &out)
	}
	// A run that was named must be one that compares.
	cut.Verdict = results.Improved
	cut.Seed = 99
	if err := (&nightlyCmd{}).after(w, store, cut, rec); err == nil || !strings.Contains(err.Error(), "can't be compared: seed") {
		t.Errorf("err = %v", err)
	}
}

// However long the last good run is ago, it is there when it is asked for.
func TestKeepSparesTheLastGood(t *testing.T) {
	for name, last := range map[string]results.Verdict{"interrupted": results.Interrupted, "harness-failed": results.HarnessFailed, "pass": results.Pass} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store := results.NewStore(dir)
			bad := func(r *results.Record) { r.Verdict, r.Against = results.HarnessFailed, nil }
			rec := nightsIn(t, store, nil, nil, bad, bad, bad, func(r *results.Record) { r.Verdict = last })
			w := &world{ctx: t.Context(), stdout: io.Discard, stderr: io.Discard, resultsDir: dir, now: time.Now}
			if err := (&nightlyCmd{Keep: 2}).after(w, store, rec, nil); err != nil {
				t.Fatal(err)
			}
			if ids, err := store.IDs(); err != nil || strings.Join(ids, " ") != "20260102-030000 20260105-030000 20260106-030000" {
				t.Errorf("left: %s, %v", ids, err)
			}
		})
	}
}

// What can't be compared is said, in the mail and in the record, and the run is
// the next one's last good.
func TestNightThatComparesWithNone(t *testing.T) {
	dir := t.TempDir()
	store := results.NewStore(dir)
	newQEMU := func(r *results.Record) {
		for i := range r.Boots {
			r.Boots[i].QEMU = "99.1"
		}
	}
	rec := nightsIn(t, store, nil, nil, newQEMU)
	var out bytes.Buffer
	w := &world{ctx: t.Context(), stdout: &out, stderr: io.Discard, resultsDir: dir, now: time.Now}
	if err := (&nightlyCmd{}).after(w, store, rec, nil); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	if !strings.Contains(text, "Against 20260102-030000, the last good one: inconclusive.") || !strings.Contains(text, "QEMU on s390x: 7.2") || !strings.Contains(text, "and 99.1") {
		t.Errorf("the text:\n%s", &out)
	}
	next := nightsIn(t, results.NewStore(t.TempDir()), nil, nil, nil, newQEMU)
	list, _, err := store.History()
	if err != nil {
		t.Fatal(err)
	}
	if good := lastGood(store, list, next); good.id != rec.ID || good.both == nil {
		t.Errorf("the next is held against %q: %s", good.id, good.why)
	}
}

// A run that another packtest began meanwhile is not what the mail is about.
func TestNightIsOfItsOwnRun(t *testing.T) {
	dir := t.TempDir()
	store := results.NewStore(dir)
	nightsIn(t, store, nil, nil, func(r *results.Record) { r.Verdict = results.Interrupted })
	rec, err := store.Load("20260102-030000")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := &world{ctx: t.Context(), stdout: &out, stderr: io.Discard, resultsDir: dir, now: time.Now}
	if err := (&nightlyCmd{}).after(w, store, rec, nil); err != nil || !strings.HasPrefix(out.String(), "packtest nightly "+rec.ID) {
		t.Errorf("%v; the text:\n%s", err, &out)
	}
}

// What follows a run hides nothing that the run proved.
func TestEndOfANight(t *testing.T) {
	later := fault.Inputf("no space for the page")
	for _, tc := range []struct {
		name     string
		verdict  results.Verdict
		against  results.Verdict
		run, aft error
		want     int
		says     string
	}{
		{name: "pass", verdict: results.Pass, want: 0},
		{name: "wrong", verdict: results.Regressed, want: 1},
		{name: "worse than the last", verdict: results.Pass, against: results.Regressed, want: 1},
		{name: "can't tell of the last", verdict: results.Pass, against: results.Inconclusive, want: 0},
		{name: "an error after a pass", verdict: results.Pass, aft: later, want: 2},
		{name: "an error after what was wrong", verdict: results.KernelFailed, aft: later, want: 1, says: "no space"},
		{name: "an error after what was worse", verdict: results.Improved, against: results.Regressed, aft: later, want: 1, says: "no space"},
		{name: "the harness failed after what was wrong", verdict: results.KernelFailed, run: fault.Harnessf("no QEMU"), aft: later, want: 1, says: "no QEMU"},
		{name: "interrupted", verdict: results.Interrupted, run: context.Canceled, want: 130},
		{name: "interrupted, and an error after it", verdict: results.Interrupted, run: &fault.Error{Kind: fault.Interrupted, Err: context.Canceled}, aft: later, want: 130},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := &results.Record{ID: "x", Verdict: tc.verdict}
			if tc.against != "" {
				rec.Against = &results.Against{ID: "y", Verdict: tc.against}
			}
			var errs bytes.Buffer
			w := &world{ctx: t.Context(), stdout: io.Discard, stderr: &errs}
			err := (&nightlyCmd{}).end(w, newListener("plain", io.Discard), rec, "x", tc.run, tc.aft)
			if got := complain(io.Discard, err); got != tc.want || !strings.Contains(errs.String(), tc.says) {
				t.Errorf("exit code %d, want %d: %v; said %q", got, tc.want, err, &errs)
			}
		})
	}
}
