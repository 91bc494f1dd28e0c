// SPDX-License-Identifier: GPL-2.0-or-later

package results

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"packtest/metric"
)

// reference is a real run's record.
func reference(t testing.TB) *Record {
	t.Helper()
	rec, err := NewStore(".").Load("reference")
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// put makes a run's folder with rec as its record.
func put(t testing.TB, s *Store, id string, rec *Record) {
	t.Helper()
	if err := os.MkdirAll(s.Dir(id), 0o755); err != nil {
		t.Fatal(err)
	}
	own := *rec
	own.ID = id
	if err := s.Save(&own); err != nil {
		t.Fatal(err)
	}
}

func folders(list []Summary) string {
	var names []string
	for _, s := range list {
		names = append(names, s.Folder)
	}
	return strings.Join(names, " ")
}

func TestSaveLosesNothing(t *testing.T) {
	s := NewStore(t.TempDir())
	want := reference(t)
	put(t, s, want.ID, want)
	got, err := s.Load(want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// A sample is a line.
	b, err := os.ReadFile(filepath.Join(s.Dir(want.ID), RecordName))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n  {\"arch\":"); n != len(want.Samples)+len(want.Layouts) {
		t.Errorf("%d lines for %d samples and %d layouts", n, len(want.Samples), len(want.Layouts))
	}
	empty := &Record{Schema: Schema, ID: "empty"}
	put(t, s, "empty", empty)
	if b, _ := os.ReadFile(filepath.Join(s.Dir("empty"), RecordName)); !json.Valid(b) {
		t.Errorf("an empty record is no JSON: %s", b)
	}
}

func TestSummarise(t *testing.T) {
	s := Summarise(reference(t))
	pack := s.Figures["x86_64"]["pack"]
	if pack["load jit_pages"] != 444 || pack["directmap directmap_4k programs=2048"] != 16<<20 {
		t.Errorf("figures: %v", pack)
	}
	for name := range pack {
		if strings.Contains(name, "programs=512") || strings.Contains(name, "itlb_model") || strings.Contains(name, "jit_bytes_used") {
			t.Errorf("%s is in the summary", name)
		}
	}
	if !strings.HasPrefix(s.Machines["s390x"], "measure, tcg, QEMU 7.2") || s.Boots == 0 || s.Series == "" {
		t.Errorf("summary: %+v", s)
	}
	sc, m, l := ParseFigure("directmap directmap_4k programs=2048")
	if sc != "directmap" || m != "directmap_4k" || l != "programs=2048" || Figure(sc, m, l) != "directmap directmap_4k programs=2048" {
		t.Errorf("%q %q %q", sc, m, l)
	}
	if sc, m, l := ParseFigure("boot boot_time"); sc != "boot" || m != "boot_time" || l != "" {
		t.Errorf("%q %q %q", sc, m, l)
	}
	// What was not measured is left out, not 0.
	none := Summarise(&Record{Samples: []Sample{{Arch: "x86_64", Variant: "pack", Scenario: "load", Sample: metric.Sample{Metric: "jit_pages", Better: metric.Lower}}}})
	if len(none.Figures["x86_64"]["pack"]) != 0 {
		t.Errorf("a sample without values: %v", none.Figures)
	}
}

func TestHistoryFollowsTheRecords(t *testing.T) {
	s := NewStore(t.TempDir())
	for _, id := range []string{"20260101-000000", "20260102-000000", "20260103-000000"} {
		put(t, s, id, example(id))
	}
	list, notes, err := s.History()
	if err != nil || folders(list) != "20260101-000000 20260102-000000 20260103-000000" || len(notes) != 1 || !strings.Contains(notes[0], "3 lines made anew") {
		t.Fatalf("%s, %q, %v", folders(list), notes, err)
	}
	again, notes, err := s.History()
	if err != nil || len(notes) != 0 || cmp.Diff(list, again) != "" {
		t.Fatalf("a second look: %q, %v, %s", notes, err, cmp.Diff(list, again))
	}

	// A record that was written since, one that came, one that went.
	changed := example("20260101-000000")
	changed.Verdict, changed.Why = Regressed, "worse than it was"
	put(t, s, changed.ID, changed)
	put(t, s, "20260104-000000", example("20260104-000000"))
	if err := os.RemoveAll(s.Dir("20260102-000000")); err != nil {
		t.Fatal(err)
	}
	list, _, err = s.History()
	if err != nil || folders(list) != "20260101-000000 20260103-000000 20260104-000000" || list[0].Verdict != Regressed {
		t.Fatalf("%s, %v, %+v", folders(list), err, list[0])
	}

	// A damaged index loses nothing; what is whole in it is used.
	path := filepath.Join(s.dir, HistoryName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:len(b)-40], 0o644); err != nil {
		t.Fatal(err)
	}
	mended, notes, err := s.History()
	if err != nil || cmp.Diff(list, mended) != "" || len(notes) != 1 || !strings.Contains(notes[0], "damaged: 1 line made anew") {
		t.Fatalf("%q, %v, %s", notes, err, cmp.Diff(list, mended))
	}

	// A record that can't be read has a line that says so.
	if err := os.WriteFile(filepath.Join(s.Dir("20260103-000000"), RecordName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, _, err = s.History()
	if err != nil || !strings.Contains(list[1].Unreadable, "unexpected end") {
		t.Fatalf("%v, %+v", err, list)
	}
}

func TestPublishKeepsTheHistory(t *testing.T) {
	s := NewStore(t.TempDir())
	put(t, s, "20260101-000000", example("20260101-000000"))
	if err := s.Publish("20260101-000000"); err != nil {
		t.Fatal(err)
	}
	if known, spoilt := s.readIndex(); len(known) != 1 || spoilt != 0 {
		t.Errorf("%v, %d spoilt", known, spoilt)
	}
}

func TestRetain(t *testing.T) {
	s := NewStore(t.TempDir())
	var ids []string
	for day := range 6 {
		at := time.Date(2026, 1, 1+day, 0, 0, 0, 0, time.UTC)
		id := at.Format("20060102-150405")
		rec := example(id)
		rec.Started = at
		put(t, s, id, rec)
		ids = append(ids, id)
	}
	// The oldest is held, the second is the last good one, the third is latest.
	release, err := s.Hold(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(ids[0]); err == nil {
		t.Error("a run is held twice")
	}
	if err := s.Publish(ids[2]); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Retain(Keep{}); len(gone) != 0 || err != nil {
		t.Errorf("asked to keep everything: %s, %v", folders(gone), err)
	}
	keep := Keep{Runs: 1, Since: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Spare: []string{ids[1]}}
	gone, err := s.Retain(keep)
	if err != nil || folders(gone) != ids[3] {
		t.Fatalf("removed %s, %v", folders(gone), err)
	}
	if left, err := s.IDs(); err != nil || strings.Join(left, " ") != strings.Join([]string{ids[0], ids[1], ids[2], ids[4], ids[5]}, " ") {
		t.Errorf("left: %v, %v", left, err)
	}
	release()
	if gone, err = s.Retain(keep); err != nil || folders(gone) != ids[0] {
		t.Fatalf("once released: %s, %v", folders(gone), err)
	}
	// The history keeps what it knew of them.
	list, notes, err := s.History()
	if err != nil || len(list) != 6 || !list[0].Removed || !list[3].Removed || list[1].Removed || len(notes) != 0 {
		t.Errorf("%v, %q, %s", err, notes, folders(list))
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, ".*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A line says that its run is gone before it is. What stays after all is told
// as it is, and what goes never lacks a line.
// A run's record that somebody put under another name, as the reference that
// packtest carries, is no run of this store.
func TestCopyIsNoRun(t *testing.T) {
	s := NewStore(t.TempDir())
	put(t, s, "20260101-000000", reference(t))
	put(t, s, "20260102-000000", reference(t))
	for _, name := range []string{"a-copy", "reference"} { // before and after the others
		if err := os.CopyFS(s.Dir(name), os.DirFS(s.Dir("20260101-000000"))); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // from the records, and from the index
		list, _, err := s.History()
		if want := "20260101-000000 20260102-000000"; err != nil || folders(list) != want {
			t.Errorf("the history has %q, %v", folders(list), err)
		}
	}
	gone, err := s.Retain(Keep{Runs: 1})
	if err != nil || folders(gone) != "20260101-000000" {
		t.Errorf("removed %q, %v", folders(gone), err)
	}
	if _, err := s.Load("reference"); err != nil {
		t.Error(err)
	}
}

func TestRetainCutShort(t *testing.T) {
	fill := func(t *testing.T) (*Store, []string) {
		s := NewStore(t.TempDir())
		ids := []string{"20260101-000000", "20260102-000000", "20260103-000000"}
		for _, id := range ids {
			put(t, s, id, example(id))
		}
		return s, ids
	}
	t.Run("a folder that can't be moved", func(t *testing.T) {
		s, ids := fill(t)
		// So long a name has no room for what is put before it.
		ids[0] += strings.Repeat("x", 255-len(ids[0])-len(removing)+1)
		put(t, s, ids[0], example(ids[0]))
		if err := os.RemoveAll(s.Dir("20260101-000000")); err != nil {
			t.Fatal(err)
		}
		gone, err := s.Retain(Keep{Runs: 1})
		if err == nil || !strings.Contains(err.Error(), "remove the run "+ids[0]) || folders(gone) != ids[1] {
			t.Fatalf("removed %s, %v", folders(gone), err)
		}
		list, notes, err := s.History()
		if err != nil || len(notes) != 0 || folders(list) != strings.Join(ids, " ") || list[0].Removed || !list[1].Removed {
			t.Errorf("%s, %q, %v", folders(list), notes, err)
		}
	})
	t.Run("killed before the folder was moved", func(t *testing.T) {
		s, ids := fill(t)
		list, _, err := s.History()
		if err != nil {
			t.Fatal(err)
		}
		list[0].Removed, list[1].Removed = true, true
		if err := s.writeIndex(list); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(s.Dir(ids[1])); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if list, _, err = s.History(); err != nil || folders(list) != strings.Join(ids, " ") || list[0].Removed || !list[1].Removed {
				t.Errorf("%s, %v", folders(list), err)
			}
		}
		if known, _ := s.readIndex(); known[ids[0]].Removed {
			t.Error("the index still says that a run is gone which is there")
		}
	})
}

// Who reads the index while runs are removed takes no line away.
func TestRetainBesideReaders(t *testing.T) {
	s := NewStore(t.TempDir())
	const runs = 30
	for i := range runs {
		id := fmt.Sprintf("run-%02d", i)
		put(t, s, id, example(id))
	}
	var g errgroup.Group
	stop := make(chan struct{})
	for range 2 {
		g.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				// What it reads while a folder goes may be an error.
				_, _, _ = s.History()
			}
		})
	}
	for keep := runs - 1; keep > 0; keep-- {
		id := fmt.Sprintf("run-%02d", runs-1)
		put(t, s, id, example(id)) // a line to be made anew
		if _, err := s.Retain(Keep{Runs: keep}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.History()
	if err != nil || len(list) != runs {
		t.Errorf("%d lines for %d runs: %s, %v", len(list), runs, folders(list), err)
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"index":1,"folder":"a","id":"a"}` + "\n{"))
	f.Add([]byte(`{"index":1,"folder":"../a"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		known, spoilt := parseIndex(b)
		if spoilt < 0 {
			t.Errorf("%d spoilt", spoilt)
		}
		for name := range known {
			if strings.Contains(name, "/") {
				t.Errorf("a folder called %q", name)
			}
		}
	})
}

// A thousand runs as large as the reference are listed within a second. What
// it takes to make one line anew is told beside it.
func BenchmarkHistory(b *testing.B) {
	s := NewStore(b.TempDir())
	rec := reference(b)
	put(b, s, rec.ID, rec)
	record := filepath.Join(s.Dir(rec.ID), RecordName)
	started := time.Now()
	if _, _, err := s.History(); err != nil {
		b.Fatal(err)
	}
	anew := time.Since(started)
	stamp, err := s.stamp(rec.ID)
	if err != nil {
		b.Fatal(err)
	}
	line := s.summarise(rec.ID, stamp)
	list := []Summary{line}
	for i := range 1000 {
		line.Folder = fmt.Sprintf("run-%04d", i)
		line.ID = line.Folder
		list = append(list, line)
		if err := os.MkdirAll(s.Dir(line.Folder), 0o755); err != nil {
			b.Fatal(err)
		}
		// One file under many names: a thousand copies would be 3 GB.
		if err := os.Link(record, filepath.Join(s.Dir(line.Folder), RecordName)); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.writeIndex(list); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		list, notes, err := s.History()
		if err != nil || len(list) != 1001 || len(notes) != 0 {
			b.Fatalf("%d runs, %q, %v", len(list), notes, err)
		}
	}
	b.ReportMetric(anew.Seconds(), "s/line-anew")
	b.ReportMetric(float64(stamp.Bytes), "bytes/record")
}
