// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"slices"
	"testing"

	"packtest/guest/wire"
	"packtest/kernel/build"
	"packtest/metric"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

// Where there is KVM, each traced boot has another beside it, whose guest may
// count with the processor's own counters.
func TestCounting(t *testing.T) {
	cells := []*cell{
		{arch: "x86_64", variant: "nopack", kernel: &build.Kernel{}},
		{arch: "x86_64", variant: "pack", kernel: &build.Kernel{}},
		{arch: "s390x", variant: "pack", kernel: &build.Kernel{}},
	}
	boots := schedule(plan.Default(), cells)
	if more := counting(boots, map[string]string{"x86_64": vm.TCG, "s390x": vm.TCG}); more != nil {
		t.Errorf("%d boots without KVM", len(more))
	}
	more := counting(boots, map[string]string{"x86_64": vm.KVM, "s390x": vm.TCG})
	if len(more) != 2 {
		t.Fatalf("%d boots", len(more))
	}
	for i, b := range more {
		taken := slices.ContainsFunc(boots, func(o *boot) bool { return o.cell == b.cell && o.number == b.number })
		if b.cell != cells[i] || taken || b.traced || b.keep || join(b.names()) != tracedScenario {
			t.Errorf("boot %+v", b)
		}
	}
}

// What a traced guest can't count is said to be missing only if nobody counts it.
func TestCountedElsewhere(t *testing.T) {
	const why = "an emulated processor"
	for _, counted := range []bool{false, true} {
		r, _ := testRun(t, openCache(t))
		b := testBoot(false)
		b.traced, b.counted = true, counted
		o := &outcome{Unmeasured: []results.Unmeasured{{Metric: "itlb_pmu_walks", Why: why}, {Metric: "jit_charged", Why: "no kcore"}}}
		if err := r.recordBoot(b, o); err != nil {
			t.Fatal(err)
		}
		left := 2
		if counted {
			left = 1
		}
		if n := len(r.rec.Unmeasured); n != left {
			t.Errorf("counted elsewhere: %v; %d are not measured, want %d", counted, n, left)
		}
	}
}

// An itlb boot without a trace gives what its guest counted, and no model.
func TestUntracedBoot(t *testing.T) {
	walks := metric.New("itlb_pmu_walks", map[string]string{"form": "test_run", "loaded": "1", "hot": "1", "event": "re85"}, 0.5)
	w := toldWindow(1)
	r, _ := testRun(t, openCache(t), fakeBoot{ending: vm.Done, says: []wire.Message{
		{Type: wire.TypeBegin, Scenario: tracedScenario},
		{Type: wire.TypeSample, Scenario: tracedScenario, Sample: &walks},
		{Type: wire.TypeWindow, Scenario: tracedScenario, Window: &w},
		{Type: wire.TypeEnd, Scenario: tracedScenario, End: &wire.End{}},
		{Type: wire.TypeDone, Done: &wire.Done{Scenarios: 1}},
	}})
	b := testBoot(false)
	b.job = wire.Job{Scenarios: []wire.ScenarioSpec{{Name: tracedScenario}}}
	o := r.carryOutOne(t, b, initrdFile(t))
	got := slices.IndexFunc(o.Samples, func(s results.Sample) bool { return s.Metric == walks.Metric })
	if o.Boot.Ending != "done" || o.Boot.Trace != nil || got < 0 || o.Samples[got].Values[0] != 0.5 {
		t.Errorf("%+v", o)
	}
}
