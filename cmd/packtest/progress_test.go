// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packtest/internal/fault"
	"packtest/lab"
	"packtest/results"
)

func TestJSONProgress(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b bytes.Buffer
	p := newListener("json", &b)
	p.event(lab.Event{At: at, Stage: lab.StageBuild, State: lab.Begun, Arch: "s390x", Variant: "pack"})
	for i := range 5 {
		p.event(lab.Event{At: at.Add(time.Duration(i) * 400 * time.Millisecond), Stage: lab.StageBuild, State: lab.Going, Arch: "s390x", Variant: "pack",
			Text: "CC \"a\"\nb", Done: i, Total: 5, Left: 2500 * time.Millisecond})
	}
	p.event(lab.Event{At: at, State: lab.Noted, Text: "a boot was tried again"})
	p.close()
	p.ended("results/x", &results.Record{ID: "x", Finished: at, Verdict: results.Regressed, Why: "worse"}, 1)
	p.(*jsonProgress).now = func() time.Time { return at }
	p.failed("results/x", &results.Record{ID: "x", Verdict: results.HarnessFailed}, errors.New("no space"))
	p.failed("", nil, fault.Inputf("no plan"))
	want := []string{
		`{"time":"2026-01-02T03:04:05Z","stage":"build","state":"begun","arch":"s390x","variant":"pack"}`,
		`{"time":"2026-01-02T03:04:05Z","stage":"build","state":"going","arch":"s390x","variant":"pack","text":"CC \"a\"\nb","total":5,"left_seconds":2.5}`,
		`{"time":"2026-01-02T03:04:06.2Z","stage":"build","state":"going","arch":"s390x","variant":"pack","text":"CC \"a\"\nb","done":3,"total":5,"left_seconds":2.5}`,
		`{"time":"2026-01-02T03:04:05Z","state":"noted","text":"a boot was tried again"}`,
		`{"time":"2026-01-02T03:04:05Z","stage":"run","state":"finished","text":"worse","id":"x","folder":"results/x","verdict":"regressed","exit_code":1}`,
		`{"time":"2026-01-02T03:04:05Z","stage":"run","state":"failed","text":"no space","id":"x","folder":"results/x","verdict":"harness-failed","exit_code":3}`,
		`{"time":"2026-01-02T03:04:05Z","stage":"run","state":"failed","text":"no plan","exit_code":2}`,
	}
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, l := range got {
		if !json.Valid([]byte(l)) {
			t.Errorf("no JSON: %s", l)
		}
	}
}

func TestPlainProgressHasNoBars(t *testing.T) {
	if p := newListener("plain", &bytes.Buffer{}).(*progress); p.bars != nil {
		t.Error("plain lines with bars")
	}
}
