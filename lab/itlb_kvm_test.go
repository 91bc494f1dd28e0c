// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"packtest/guest/wire"
	"packtest/internal/fault"
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
		if b.cell != cells[i] || taken || b.traced || b.keep || !slices.ContainsFunc(boots, func(o *boot) bool {
			return o.traced && o.cell == b.cell && o.beside == b.number && b.beside == o.number
		}) || join(b.names()) != tracedScenario {
			t.Errorf("boot %+v", b)
		}
	}
}

// Only a host that splits what guests execute is said to.
func TestSplitsLargePages(t *testing.T) {
	const file = "sys/module/kvm/parameters/nx_huge_pages"
	for _, tc := range []struct {
		host fstest.MapFS
		want bool
	}{
		{fstest.MapFS{file: {Data: []byte("Y\n")}}, true},
		{fstest.MapFS{file: {Data: []byte("N\n")}}, false},
		{fstest.MapFS{file: {Data: []byte("never\n")}}, false},
		{fstest.MapFS{}, false},
	} {
		if got := splitsLargePages(tc.host); got != tc.want {
			t.Errorf("%v: %v", tc.host, got)
		}
	}
}

// countedRun is a run with KVM and one traced boot, which can't count, and one that
// counts beside it, in the order in which they are to be recorded.
func countedRun(t *testing.T) (r *run, traced, counts *boot) {
	t.Helper()
	r, _ = testRun(t, openCache(t))
	r.plan = smallPlan()
	r.plan.Scenarios = []plan.Scenario{{Name: tracedScenario}}
	r.rec.Provenance.Accelerator = map[string]string{"s390x": vm.KVM}
	if err := r.keepPlan(); err != nil {
		t.Fatal(err)
	}
	boots := everyBoot(r.rec, r.plan, []*cell{{arch: "s390x", variant: "pack", kernel: &build.Kernel{}}}, r.rec.Provenance.Accelerator)
	if len(boots) != 2 {
		t.Fatalf("%d boots", len(boots))
	}
	return r, boots[0], boots[1]
}

// endsIn is what a boot came to, and what it did not measure.
func endsIn(b *boot, ending string, unmeasured ...string) *outcome {
	o := &outcome{Boot: results.Boot{Arch: b.arch, Variant: b.variant, Number: b.number, Scenarios: b.names(), Ending: ending}}
	if ending != results.EndingDone {
		o.harness = fault.Harnessf("%s", ending)
		o.Boot.Fault = fault.Of(o.harness).String()
	}
	if len(unmeasured) == 1 { // the scenario itself
		o.Findings = []results.Finding{{Arch: b.arch, Variant: b.variant, Scenario: tracedScenario, Kind: results.ScenarioFailed, Title: unmeasured[0], Boot: b.number}}
		return o
	}
	for i := 0; i < len(unmeasured); i += 2 {
		o.Unmeasured = append(o.Unmeasured, results.Unmeasured{Arch: b.arch, Variant: b.variant, Scenario: tracedScenario, Metric: unmeasured[i], Why: unmeasured[i+1]})
	}
	return o
}

// What a traced guest can't count is said to be missing until another has counted
// it, whichever comes first, and that one says itself what it could not count.
func TestCountedElsewhere(t *testing.T) {
	const why = "an emulated processor"
	for _, tc := range []struct {
		name   string
		ending string // of the boot that counts; "" if it was never made
		says   []string
		want   []string
	}{
		{"never", "", nil, []string{"itlb_pmu_walks: " + why, "jit_charged: no kcore"}},
		{"all of it", results.EndingDone, nil, []string{"jit_charged: no kcore"}},
		{"nothing", results.EndingDone, []string{"itlb_pmu_walks", "no counters"}, []string{"itlb_pmu_walks: no counters", "jit_charged: no kcore"}},
		{"not even begun", results.EndingDone, []string{"failed"}, []string{"itlb_pmu_walks: " + why, "jit_charged: no kcore"}},
		{"not to its end", "qemu-died", nil, []string{"itlb_pmu_walks: " + why, "jit_charged: no kcore"}},
	} {
		for _, tracedFirst := range []bool{true, false} {
			r, traced, counts := countedRun(t)
			record := func(b *boot, o *outcome) {
				t.Helper()
				if err := r.recordBoot(b, o); err != nil {
					t.Fatal(err)
				}
			}
			if tc.ending != "" && !tracedFirst {
				record(counts, endsIn(counts, tc.ending, tc.says...))
			}
			record(traced, endsIn(traced, results.EndingDone, "itlb_pmu_walks", why, "jit_charged", "no kcore"))
			if tc.ending != "" && tracedFirst {
				record(counts, endsIn(counts, tc.ending, tc.says...))
			}
			var got []string
			for _, u := range r.rec.Unmeasured {
				got = append(got, u.Metric+": "+u.Why)
			}
			slices.Sort(got)
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s, the traced one first %v: %q, want %q", tc.name, tracedFirst, got, tc.want)
			}
			if said := strings.Contains(strings.Join(r.rec.Notes, "\n"), "nothing was counted on a processor, because boot 2 ended in qemu-died"); said != (tc.ending == "qemu-died") {
				t.Errorf("%s: notes %q", tc.name, r.rec.Notes)
			}
		}
	}
}

// A run that was cut short in the boot that counts is not finished: that boot is
// still to be made, and nothing but that.
func TestResumeMakesTheBootThatCounts(t *testing.T) {
	for ending, left := range map[string]int{"": 1, "interrupted": 1, "qemu-died": 1, results.EndingDone: 0} {
		r, traced, counts := countedRun(t)
		if err := r.recordBoot(traced, endsIn(traced, results.EndingDone)); err != nil {
			t.Fatal(err)
		}
		if ending != "" {
			if err := r.recordBoot(counts, endsIn(counts, ending)); err != nil {
				t.Fatal(err)
			}
		}
		if n, total := Unfinished(r.rec); n != left || total != 2 {
			t.Errorf("ended in %q: %d of %d left, want %d of 2", ending, n, total, left)
		}
		// What is made goes by the same list.
		for _, b := range unsettled(r.rec, r.plan) {
			if b.number != counts.number || b.traced {
				t.Errorf("ended in %q: boot %d is left", ending, b.number)
			}
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
