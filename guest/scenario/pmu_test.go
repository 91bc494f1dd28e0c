// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"packtest/guest/probe"
	"packtest/guest/wire"
)

func TestReportCounted(t *testing.T) {
	window := wire.Window{Form: FormTestRun, Loaded: 160, Hot: 100}
	for name, tc := range map[string]struct {
		counted    counted
		samples    map[string]float64
		unmeasured []string
	}{
		"both": {counted{counts: probe.ITLBCounts{Instructions: 4000, Hits: 12, HitsEvent: "r2085", Walks: 2, WalksEvent: "re85"}},
			map[string]float64{
				"itlb_pmu_second_level_hits event=r2085 form=test_run hot=100 loaded=160": 3,
				"itlb_pmu_walks event=re85 form=test_run hot=100 loaded=160":              0.5,
			}, nil},
		"no walk at all": {counted{counts: probe.ITLBCounts{Instructions: 4000, Hits: 12, HitsEvent: "r84", WalksEvent: "rf85"}},
			map[string]float64{
				"itlb_pmu_second_level_hits event=r84 form=test_run hot=100 loaded=160": 3,
				"itlb_pmu_walks event=rf85 form=test_run hot=100 loaded=160":            0,
			}, nil},
		"walks alone": {counted{counts: probe.ITLBCounts{Instructions: 1000, Walks: 2, WalksEvent: "r86"}},
			map[string]float64{"itlb_pmu_walks event=r86 form=test_run hot=100 loaded=160": 2},
			[]string{"itlb_pmu_second_level_hits"}},
		"nothing": {counted{err: errors.New("no PMU")}, map[string]float64{},
			[]string{"itlb_pmu_second_level_hits", "itlb_pmu_walks"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecorder()
			reportCounted(r, window, tc.counted)
			if d := cmp.Diff(tc.samples, r.samples); d != "" {
				t.Error(d)
			}
			if !slices.Equal(r.unmeasured, tc.unmeasured) {
				t.Errorf("not measured: %v", r.unmeasured)
			}
		})
	}
}

// Without a PMU the loop runs all the same, edges and all; an error of the loop
// is one.
func TestCountWindow(t *testing.T) {
	var calls []string
	note := func(s string) func() { return func() { calls = append(calls, s) } }
	e := edges{note("begin"), note("lap"), note("end")}
	none := openCounters(probe.Kernel{Root: t.TempDir()})
	c, err := countWindow(none, &loop{steps: []step{{call: unix.SYS_GETPID, what: "getpid"}}}, 3, e)
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs to set the scheduling policy")
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.err == nil {
		t.Error("counted where there is no PMU")
	}
	if want := []string{"begin", "lap", "lap", "end"}; !slices.Equal(calls, want) {
		t.Errorf("edges: %v", calls)
	}
	if _, err := countWindow(none, &loop{steps: []step{{call: unix.SYS_CLOSE, args: [6]uintptr{^uintptr(0)}, what: "close"}}}, 2, e); !errors.Is(err, unix.EBADF) {
		t.Errorf("a loop that fails: %v", err)
	}
}
