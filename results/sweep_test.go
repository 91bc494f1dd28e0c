// SPDX-License-Identifier: GPL-2.0-or-later

package results

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestSweep(t *testing.T) {
	s := NewStore(t.TempDir())
	now := time.Now()
	old := now.Add(-2 * time.Hour)
	if n, err := NewStore(filepath.Join(s.dir, "none")).Sweep(now); n != 0 || err != nil {
		t.Errorf("no store: %d, %v", n, err)
	}
	file := func(age time.Time, path ...string) {
		t.Helper()
		p := filepath.Join(append([]string{s.dir}, path...)...)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
		for ; p != s.dir; p = filepath.Dir(p) {
			if err := os.Chtimes(p, age, age); err != nil {
				t.Fatal(err)
			}
		}
	}
	folder := func(age time.Time, name string) {
		t.Helper()
		file(age, name, "x")
		if err := os.Remove(filepath.Join(s.dir, name, "x")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(s.dir, name), age, age); err != nil {
			t.Fatal(err)
		}
	}
	// What goes.
	folder(old, "20260101-000001")
	file(old, "20260101-000002-2", ".record.json.new-12")
	file(old, ".history.new-12")
	if err := os.Symlink("20260101-000001", filepath.Join(s.dir, ".latest-20260101-000001")); err != nil {
		t.Fatal(err)
	}
	// What stays.
	folder(now.Add(time.Minute), "20260101-000003") // just made
	folder(old, "20260101-000004")                  // at work
	folder(old, "mine")
	file(old, "20260101-000005", RecordName)
	file(old, "20260101-000006", "consoles", "s390x-pack-1.log")
	file(old, "packtest.toml")
	file(old, ".gitignore")
	file(now.Add(time.Minute), ".history.new-13")
	release, err := s.Hold("20260101-000004")
	if err != nil {
		t.Fatal(err)
	}
	stay := []string{".gitignore", ".history.new-13", "20260101-000003", "20260101-000004", "20260101-000005", "20260101-000006", "mine", "packtest.toml"}
	names := func() (list []string) {
		all, err := os.ReadDir(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			list = append(list, d.Name())
		}
		return list
	}
	if n, err := s.Sweep(now.Add(time.Second)); n != 4 || err != nil || !slices.Equal(names(), stay) {
		t.Errorf("%d, %v; there are %q", n, err, names())
	}
	release()
	if n, err := s.Sweep(now.Add(time.Second)); n != 1 || err != nil {
		t.Errorf("when it no longer is: %d, %v", n, err)
	}
}

// A run that has a record is not held while others are swept, not even for a moment:
// it may be gone on with.
func TestSweepHoldsNoRun(t *testing.T) {
	s := NewStore(t.TempDir())
	const id = "20260101-000001"
	if err := os.MkdirAll(s.Dir(id), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir(id), RecordName), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	swept := make(chan error)
	go func() {
		var err error
		for n := 0; n < 2000 && err == nil; n++ {
			_, err = s.Sweep(time.Now().Add(time.Hour))
		}
		swept <- err
	}()
	for {
		select {
		case err := <-swept:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
		release, err := s.Hold(id)
		if err != nil {
			t.Error(err)
			<-swept
			return
		}
		release()
	}
}
