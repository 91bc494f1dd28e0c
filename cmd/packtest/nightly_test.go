// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// nightsIn fills a store with runs, a day apart, and returns the last.
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
		rec.ID = id
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
	otherCandidate := func(r *results.Record) { r.Candidate = "upstream" }
	for _, tc := range []struct {
		name string
		runs []func(*results.Record) // the last is tonight's
		want string
	}{
		{"the one before", []func(*results.Record){nil, nil, nil}, "20260102-030000"},
		{"none", []func(*results.Record){nil}, ""},
		{"not one that was wrong", []func(*results.Record){nil, verdict(results.Regressed), verdict(results.HarnessFailed), verdict(results.Interrupted), nil}, "20260101-030000"},
		{"not one that was worse than the one before it", []func(*results.Record){nil, with(morePages, worse), nil}, "20260101-030000"},
		{"not one that can't be compared", []func(*results.Record){nil, kvm, otherSeed, otherCandidate, nil}, "20260101-030000"},
		{"none that can be compared", []func(*results.Record){kvm, nil}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := results.NewStore(t.TempDir())
			rec := nightsIn(t, store, tc.runs...)
			list, _, err := store.History()
			if err != nil {
				t.Fatal(err)
			}
			id, both := lastGood(store, list, rec)
			if id != tc.want || (both != nil) != (tc.want != "") {
				t.Errorf("%q, want %q", id, tc.want)
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
	if err := (&nightlyCmd{Keep: 2}).after(w, store, rec); err != nil {
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
	if err := (&nightlyCmd{}).after(w, store, cut); err != nil || cut.Against != nil {
		t.Errorf("%v, %+v", err, cut.Against)
	}
	if !strings.Contains(out.String(), "INTERRUPTED") {
		t.Errorf("the text:\n%s", &out)
	}
	// A run that was named must be one that compares.
	cut.Verdict = results.Improved
	cut.Seed = 99
	if err := (&nightlyCmd{Against: rec.ID}).after(w, store, cut); err == nil || !strings.Contains(err.Error(), "can't be compared: seed") {
		t.Errorf("err = %v", err)
	}
}
