// SPDX-License-Identifier: GPL-2.0-or-later

package results

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packtest/internal/fault"
	"packtest/metric"
)

func example(id string) *Record {
	return &Record{Schema: Schema, ID: id, Verdict: Pass, Seed: 1<<63 + 1,
		Samples: []Sample{
			{Arch: "x86_64", Variant: "pack", Scenario: "load", Sample: metric.New("jit_pages", nil, 12)},
			{Arch: "s390x", Variant: "pack", Scenario: "load", Sample: metric.New("directmap_4k", map[string]string{"programs": "512"}, 1, 2)},
		}}
}

func TestSaveLoad(t *testing.T) {
	s := NewStore(filepath.Join(t.TempDir(), "results"))
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	id, err := s.Create(now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Create(now)
	if err != nil || second != id+"-2" {
		t.Fatalf("second run in the same second: %q, %v", second, err)
	}
	want := example(id)
	if err := s.Save(want); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(id); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{id, "latest", s.Dir(id), filepath.Join(s.Dir(id), RecordName)} {
		got, err := s.Load(ref)
		if err != nil {
			t.Fatalf("Load(%q): %v", ref, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("Load(%q): %s", ref, d)
		}
	}
	ids, err := s.IDs()
	if err != nil || cmp.Diff([]string{id}, ids) != "" {
		t.Errorf("IDs = %v, %v", ids, err)
	}
}

// The record's outside contract: samples are flat objects with these keys.
func TestSampleKeys(t *testing.T) {
	r := example("x")
	r.Normalise()
	b, err := json.Marshal(r.Samples[0])
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(b, &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"arch", "variant", "scenario", "metric", "unit", "better", "exact", "labels", "values"} {
		if _, ok := keys[k]; !ok {
			t.Errorf("a sample has no %q: %s", k, b)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(dir)
	for name, body := range map[string]string{"cut": `{"schema":1,`, "future": `{"schema":99}`, "none": `{}`} {
		if err := os.MkdirAll(s.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Dir(name), RecordName), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for ref, want := range map[string]string{"cut": "unexpected end", "future": "schema 99", "none": "is no record of a run", "absent": `no run called "absent"`} {
		_, err := s.Load(ref)
		if err == nil || !strings.Contains(err.Error(), want) || fault.Of(err) != fault.Input {
			t.Errorf("Load(%q): %v, want an input error with %q", ref, err, want)
		}
	}
}
