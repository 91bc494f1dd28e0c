// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"packtest/guest/wire"
	"packtest/internal/fault"
	"packtest/metric"
	"packtest/results"
)

// wrote is a file as packguest local writes it, with what in its scenario.
func wrote(t *testing.T, failure string, what ...wire.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	w := wire.NewWriter(&b)
	list := append([]wire.Message{{Type: wire.TypeHello, Hello: &wire.Hello{Arch: "x86_64", Release: "6.1.0-lab", Build: "#1", CPUs: 8}}, {Type: wire.TypeBegin}}, what...)
	list = append(list, wire.Message{Type: wire.TypeEnd, End: &wire.End{Error: failure}}, wire.Message{Type: wire.TypeDone, Done: &wire.Done{Scenarios: 1}})
	for _, m := range list {
		if m.Type != wire.TypeHello && m.Type != wire.TypeDone {
			m.Scenario = tracedScenario
		}
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestLocal(t *testing.T) {
	var counted, none []wire.Message
	for _, name := range []string{"itlb_pmu_walks", "itlb_pmu_second_level_hits"} {
		s := metric.New(name, map[string]string{"form": "test_run", "loaded": "160", "hot": "100", "event": "re85"}, 0.5)
		counted = append(counted, wire.Message{Type: wire.TypeSample, Sample: &s})
		none = append(none, wire.Message{Type: wire.TypeUnmeasured, Unmeasured: &wire.Unmeasured{Metric: name, Why: "no PMU"}})
	}
	whole := wrote(t, "", counted...)
	for _, tc := range []struct {
		name    string
		file    []byte
		verdict results.Verdict
		why     string
		err     string
		kind    fault.Kind
	}{
		{"counted", whole, results.Pass, "", "", 0},
		{"no PMU", wrote(t, "", none...), results.HarnessFailed, "nothing was measured: no PMU", "", 0},
		{"cut off", whole[:len(whole)-10], "", "", "packguest local wrote", fault.Input},
		{"not done", whole[:bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1], "", "", "fell silent", fault.Input},
		{"another file", []byte("hello\n"), "", "", "doesn't begin with a guest's hello", fault.Input},
		{"nothing", nil, "", "", "doesn't begin with a guest's hello", fault.Input},
		{"it failed", wrote(t, "load program 7: no room", counted...), "", "", "load program 7: no room", fault.Harness},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := &Lab{Store: results.NewStore(t.TempDir()), Now: time.Now, Version: "v"}
			rec, err := l.Local(t.Context(), tc.file, "pack", []string{"packtest", "local"})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || fault.Of(err) != tc.kind {
					t.Errorf("err = %v (%v), want %q", err, fault.Of(err), tc.err)
				}
				if ids, _ := l.Store.IDs(); len(ids) != 0 {
					t.Errorf("records %v", ids)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			saved, err := l.Store.Load("latest")
			if err != nil {
				t.Fatal(err)
			}
			if saved.Verdict != tc.verdict || !strings.Contains(saved.Why, tc.why) {
				t.Errorf("verdict %s: %s", saved.Verdict, saved.Why)
			}
			model := slices.ContainsFunc(saved.Unmeasured, func(u results.Unmeasured) bool { return u.Metric == "itlb_model_misses_per_run" && u.Why != "" })
			if !model || len(saved.Samples) != len(rec.Samples) || (len(saved.Samples) == 2) != (tc.verdict == results.Pass) {
				t.Errorf("model not measured: %v; samples %+v", model, saved.Samples)
			}
		})
	}
}
