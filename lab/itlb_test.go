// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"packtest/guest/wire"
	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/itlb"
	"packtest/itlb/plugin"
	"packtest/itlb/trace"
	"packtest/kernel/build"
	"packtest/metric"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

const (
	kernelText = uint64(0xffffffff81000000)
	packStart  = uint64(0xffffffffa0000000)
	userText   = uint64(0x400000)
)

// toldWindow is a window of one program, whose code is the first page of a pack.
func toldWindow(number int) wire.Window {
	w := wire.Window{Number: number, Form: "test_run", Loaded: 1, Hot: 1, Rounds: 2, Runs: 2, HotIDs: []uint32{7}, Memory: 1}
	if number == 1 {
		w.Kernel = []wire.Mapped{{Start: kernelText, End: kernelText + 2<<20, PageBytes: 2 << 20}, {Start: packStart, End: packStart + 2<<20, PageBytes: 4096}}
		w.User = []wire.Mapped{{Start: userText, End: userText + 0x1000, PageBytes: 4096}}
		w.Images = []wire.LoadedImage{{Start: packStart, Bytes: 100, ID: 7}}
	}
	return w
}

// traceOf writes a trace of so many such windows.
func traceOf(t *testing.T, h trace.Header, windows, laps int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	fetch := func(address uint64) trace.Event {
		return trace.Event{Page: address / trace.PageBytes, Instructions: 10}
	}
	round := []trace.Event{fetch(userText), fetch(kernelText), fetch(packStart), fetch(kernelText)}
	for range windows {
		must(w.Begin(0))
		for i := range laps {
			if i > 0 {
				must(w.Write([]trace.Event{{Kind: trace.Lap}}))
			}
			must(w.Write(round))
		}
		must(w.End())
	}
	must(w.Close())
	return b.Bytes()
}

func TestJoin(t *testing.T) {
	header := trace.Header{Arch: "x86_64", Interface: 1, CPUs: 1, Tag: "image", Build: "b"}
	with := func(change func(h *trace.Header)) trace.Header {
		h := header
		change(&h)
		return h
	}
	two := []wire.Window{toldWindow(1), toldWindow(2)}
	changed := func(change func(list []wire.Window)) []wire.Window {
		list := slices.Clone(two)
		change(list)
		return list
	}
	whole := traceOf(t, header, 2, 2)
	for _, tc := range []struct {
		name string
		file []byte
		told []wire.Window
		err  string
	}{
		{"good", whole, two, ""},
		{"another image", traceOf(t, with(func(h *trace.Header) { h.Tag = "other" }), 2, 2), two, "another kernel image"},
		{"another architecture", traceOf(t, with(func(h *trace.Header) { h.Arch = "s390x" }), 2, 2), two, "it is of s390x"},
		{"two CPUs", traceOf(t, with(func(h *trace.Header) { h.CPUs = 2 }), 2, 2), two, "2 CPUs"},
		{"a window too few", traceOf(t, header, 1, 2), two, "it has 1 windows, the guest told of 2"},
		{"a window too many", traceOf(t, header, 3, 2), two, "more windows than the 2"},
		{"none", traceOf(t, header, 0, 2), nil, "told of no window"},
		{"a round too many", traceOf(t, header, 2, 3), two, "3 rounds"},
		{"cut off", whole[:len(whole)-1], two, "cut off"},
		{"windows in disorder", whole, []wire.Window{two[1], two[0]}, "stands where"},
		{"memory of nobody's", whole, changed(func(list []wire.Window) { list[1].Memory = 3 }), "memory of window 3"},
		{"runs that were not counted", whole, changed(func(list []wire.Window) { list[1].Runs = 1 }), "window 2"},
		{"a hot program that nobody knows", whole, changed(func(list []wire.Window) { list[1].HotIDs = []uint32{8} }), "window 2"},
		{"another kernel's tables", whole, changed(func(list []wire.Window) { list[0].Kernel = list[0].Kernel[1:] }), itlb.ErrOtherKernel.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := joiner{arch: "x86_64", tag: "image", windows: tc.told}
			err := j.join(bytes.NewReader(tc.file))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("err = %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			pages := slices.IndexFunc(j.samples, func(s metric.Sample) bool { return s.Metric == "itlb_trace_pages" && s.Labels["part"] == "bpf" })
			whatIf := slices.ContainsFunc(j.samples, func(s metric.Sample) bool { return s.Labels["mapping"] == "what-if-2m" })
			if j.events != 18 || pages < 0 || j.samples[pages].Values[0] != 1 || !whatIf {
				t.Errorf("%d events, samples %+v", j.events, j.samples)
			}
		})
	}
}

// A flush of what isn't global leaves the kernel's entries, unless page tables are
// isolated.
func TestJoinGlobal(t *testing.T) {
	for meltdown, want := range map[string]float64{"Not affected": 0, "Vulnerable": 0, "Mitigation: PTI": 1} {
		fetch := func(address uint64) trace.Event {
			return trace.Event{Page: address / trace.PageBytes, Instructions: 10}
		}
		var b bytes.Buffer
		w, err := trace.NewWriter(&b, trace.Header{Arch: "x86_64", Interface: 4, CPUs: 1, Tag: "image", Build: "b"})
		if err != nil {
			t.Fatal(err)
		}
		round := []trace.Event{{Kind: trace.Flush, Page: uint64(trace.FlushNonGlobal)}, fetch(userText), fetch(packStart), fetch(kernelText)}
		events := slices.Concat(round, []trace.Event{{Kind: trace.Lap}}, round)
		if err := errors.Join(w.Begin(0), w.Write(events), w.End(), w.Close()); err != nil {
			t.Fatal(err)
		}
		j := joiner{arch: "x86_64", tag: "image", windows: []wire.Window{toldWindow(1)}, mitigations: map[string]string{"meltdown": meltdown}}
		if err := j.join(&b); err != nil {
			t.Fatal(err)
		}
		for _, s := range j.samples {
			if l := s.Labels; s.Metric == "itlb_model_misses_per_run" && l["mapping"] == itlb.AsIs && l["lap"] == "warm" && l["part"] == "bpf" && s.Values[0] != want {
				t.Errorf("meltdown: %s: %s misses %g times a run, not %g", meltdown, l["geometry"], s.Values[0], want)
			}
		}
	}
}

// Of the windows after the first two there is what plots need.
func TestJoinSweep(t *testing.T) {
	told := []wire.Window{toldWindow(1), toldWindow(2), toldWindow(3)}
	for i, form := range []string{"first", "second", "third"} {
		told[i].Form = form
	}
	j := joiner{arch: "x86_64", tag: "image", windows: told}
	if err := j.join(bytes.NewReader(traceOf(t, trace.Header{Arch: "x86_64", Interface: 1, CPUs: 1, Tag: "image", Build: "b"}, 3, 2))); err != nil {
		t.Fatal(err)
	}
	has := func(form, name, label, value string) bool {
		return slices.ContainsFunc(j.samples, func(s metric.Sample) bool {
			return s.Labels["form"] == form && s.Metric == name && s.Labels[label] == value
		})
	}
	for _, tc := range []struct {
		name, label, value string
		swept              bool
	}{
		{"itlb_trace_pages", "part", "bpf", true},
		{"itlb_model_misses_per_run", "lap", "warm", true},
		{"itlb_model_misses_per_run", "lap", "cold", false},
		{"itlb_model_misses_per_run", "geometry", "zen2", true},
		{"itlb_model_walks_per_run", "geometry", "zen2", false},
		{"itlb_model_capacity_misses_per_run", "entries", "32", false},
		{"itlb_model_capacity_misses_per_run", "entries", "64", true},
		{"itlb_model_capacity_misses_per_run", "entries", "96", false},
		{"itlb_model_capacity_misses_per_run", "entries", "1024", true},
		{"itlb_model_programs_missing", "geometry", "zen2", false},
	} {
		if !has("first", tc.name, tc.label, tc.value) || !has("second", tc.name, tc.label, tc.value) {
			t.Errorf("%s, %s %s: lacking", tc.name, tc.label, tc.value)
		}
		if got := has("third", tc.name, tc.label, tc.value); got != tc.swept {
			t.Errorf("%s, %s %s in the sweep: %v", tc.name, tc.label, tc.value, got)
		}
	}
}

// Only code that could lie under pages of another size is replayed so.
func TestWhatIfs(t *testing.T) {
	memory := func(bytes, page uint64) itlb.Window {
		return itlb.Window{Kernel: []itlb.Mapping{{Start: kernelText, End: kernelText + 4<<20, PageBytes: 2 << 20}, {Start: packStart, End: packStart + bytes, PageBytes: page}},
			Images: []itlb.Image{{Start: packStart + 64, Bytes: 100, ID: 1}}}
	}
	for _, tc := range []struct {
		name   string
		arch   string
		memory itlb.Window
		want   []itlb.Remap
	}{
		{"a page for each program", "x86_64", memory(4096, 4096), nil},
		{"a pack of small pages", "x86_64", memory(2<<20, 4096), []itlb.Remap{{Name: "what-if-2m", PageBytes: 2 << 20}}},
		{"a pack under a large page", "x86_64", memory(2<<20, 2<<20), []itlb.Remap{{Name: "what-if-4k", PageBytes: 4096}}},
		{"another architecture", "s390x", memory(2<<20, 4096), nil},
	} {
		if got := whatIfs(tc.arch, tc.memory); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// keptKeyOf is the key that an outcome of a boot is kept under in a run that change
// has set up.
func keptKeyOf(t *testing.T, traced bool, change func(*run)) string {
	t.Helper()
	r, _ := testRun(t, openCache(t))
	change(r)
	b := testBoot(true)
	b.traced = traced
	k, err := r.keptKey(b, "tcg", initrdFile(t))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Kept outcomes of a traced boot are those of this packtest, which has the
// simulator in it; of the others they outlive it.
func TestKeptTraces(t *testing.T) {
	key := func(version string, traced bool) string {
		return keptKeyOf(t, traced, func(r *run) { r.Version = version })
	}
	if key("1", true) == key("2", true) {
		t.Error("another packtest takes over what a trace came to")
	}
	if key("1", false) != key("2", false) {
		t.Error("another packtest makes the kernel's own suite run again")
	}
	if key("1", true) == key("1", false) {
		t.Error("a traced boot has the key of another")
	}
}

// A traced boot without a trace that fits is the harness's failure: tried again,
// and none of its figures count.
func TestBadTrace(t *testing.T) {
	counted := metric.New("itlb_pmu_walks", map[string]string{"form": "test_run", "loaded": "1", "hot": "1", "event": "re85"}, 0.5)
	says := []wire.Message{{Type: wire.TypeBegin, Scenario: "itlb"}, {Type: wire.TypeSample, Scenario: "itlb", Sample: &counted}}
	for n := 1; n <= 2; n++ {
		w := toldWindow(n)
		says = append(says, wire.Message{Type: wire.TypeWindow, Scenario: "itlb", Window: &w})
	}
	says = append(says, wire.Message{Type: wire.TypeEnd, Scenario: "itlb", End: &wire.End{}}, wire.Message{Type: wire.TypeDone, Done: &wire.Done{Scenarios: 1}})
	header := trace.Header{Arch: "s390x", Interface: 1, CPUs: 1, Tag: "aa", Build: "b"}
	for _, tc := range []struct {
		name   string
		file   []byte
		ending string
		boots  int
	}{
		{"good", traceOf(t, header, 2, 2), "done", 1},
		{"no trace", nil, "bad-trace", 2},
		{"one window", traceOf(t, header, 1, 2), "bad-trace", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			good := fakeBoot{ending: vm.Done, says: says}
			r, f := testRun(t, openCache(t), good, good)
			r.plugin, r.loads = &plugin.Plugin{Path: "/nowhere/itlb.so"}, map[string]bool{"s390x": true}
			boot := r.Boot
			r.Boot = func(ctx context.Context, m vm.Machine, g vm.Guest) (*vm.Outcome, error) {
				if !m.Deterministic || m.Accel != vm.TCG || m.CPUs != 1 || !strings.Contains(m.Plugin, "tag=aa") || !slices.Contains(m.Cmdline, "norandmaps") {
					t.Errorf("machine %+v", m)
				}
				if tc.file != nil {
					if err := os.WriteFile(filepath.Join(m.Dir, traceFile), tc.file, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				return boot(ctx, m, g)
			}
			b := testBoot(true)
			b.traced, b.job = true, wire.Job{Scenarios: []wire.ScenarioSpec{{Name: "itlb"}}}
			o := r.carryOutOne(t, b, initrdFile(t))
			if o.Boot.Ending != tc.ending || f.boots != tc.boots {
				t.Errorf("ended with %s: %s after %d boots", o.Boot.Ending, o.Boot.Detail, f.boots)
			}
			whole := tc.ending == "done"
			if (o.Boot.Trace != nil) != whole || (len(o.Samples) > 0) != whole || (o.keep != "") != whole {
				t.Errorf("trace %+v, %d samples, kept %v", o.Boot.Trace, len(o.Samples), o.keep != "")
			}
			for _, s := range o.Samples {
				if s.Metric == "boot_time" || s.Scenario != "itlb" {
					t.Errorf("sample %+v", s)
				}
			}
		})
	}
}

// Where nothing can be traced the rest of a plan is carried out, and the record
// says what was left out and why; what was asked for by its name is not left out.
func TestPrepareTraces(t *testing.T) {
	const takes, refuses = "echo itlb plugin: here", "echo no plugins in this build >&2; exit 1"
	for _, tc := range []struct {
		name      string
		x86, s390 string // what QEMU does
		gcc       string // "" is the installed one
		change    func(*run)
		leftOut   []string
		why       string
		err       string
	}{
		{name: "it works", x86: takes, s390: takes},
		{name: "QEMU without plugins", x86: takes, s390: refuses, leftOut: []string{"s390x"},
			why: "load the iTLB plugin: qemu-system-s390x takes no plugins, or not this one: no plugins in this build"},
		{name: "QEMU that says nothing", x86: takes, s390: "exit 3", leftOut: []string{"s390x"},
			why: "load the iTLB plugin: qemu-system-s390x takes no plugins, or not this one: exit status 3"},
		{name: "neither QEMU has any", x86: refuses, s390: refuses, leftOut: []string{"x86_64", "s390x"}},
		{name: "no compiler that works", x86: takes, s390: takes, gcc: "case $1 in -*version|-dumpmachine) exit;; esac; echo a.c: in f: >&2; echo a.c:1: fatal error: no headers >&2; echo ended. >&2; exit 1",
			leftOut: []string{"x86_64", "s390x"}, why: "build the iTLB plugin: a.c:1: fatal error: no headers"},
		{name: "a compiler whose part is killed", x86: takes, s390: takes, gcc: "case $1 in -*version|-dumpmachine) exit;; esac; echo gcc: fatal error: Killed signal terminated program cc1 >&2; exit 1",
			err: "Killed signal"},
		{name: "a full disk", x86: takes, s390: takes, gcc: "case $1 in -*version|-dumpmachine) exit;; esac; echo a.c:1: fatal error: error writing to a.s: No space left on device >&2; exit 1",
			err: "No space left"},
		{name: "QEMU that is killed", x86: takes, s390: "kill -9 $$", err: "signal: killed"},
		{name: "asked for", x86: takes, s390: refuses, change: func(r *run) {
			if err := r.plan.Keep(nil, nil, []string{"load", "itlb"}); err != nil {
				t.Fatal(err)
			}
		}, err: "no plugins in this build"},
		{name: "nothing else is asked for", x86: takes, s390: refuses, change: func(r *run) {
			r.plan.Scenarios = []plan.Scenario{{Name: "itlb"}}
		}, err: "no plugins in this build"},
		{name: "not asked for at all", x86: refuses, s390: refuses, change: func(r *run) {
			r.plan.Scenarios = []plan.Scenario{{Name: "load"}}
		}},
		{name: "traced before", x86: takes, s390: refuses, change: func(r *run) {
			r.rec.Boots = []results.Boot{{Arch: "s390x", Variant: "pack", Trace: &results.Trace{}}}
		}, err: "no plugins in this build"},
		{name: "left out before", x86: refuses, s390: refuses, change: func(r *run) {
			for _, arch := range r.plan.Arches {
				if err := r.leaveOutTraces(arch, "no plugins in this build"); err != nil {
					t.Fatal(err)
				}
			}
		}, leftOut: []string{"x86_64", "s390x"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tools := t.TempDir()
			script := func(name, body string) {
				if err := os.WriteFile(filepath.Join(tools, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			script("qemu-system-x86_64", tc.x86)
			script("qemu-system-s390x", tc.s390)
			if tc.gcc != "" {
				script("gcc", tc.gcc)
			} else {
				need.Commands(t, "gcc")
			}
			t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
			r, _ := testRun(t, openCache(t))
			r.rec.Planned = planned(r.plan)
			if tc.change != nil {
				tc.change(r)
			}
			err := r.prepareTraces(t.Context())
			r.removePlugin()
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || fault.Of(err) != fault.Harness {
					t.Errorf("err = %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var cells []*cell
			for _, arch := range r.plan.Arches {
				cells = append(cells, &cell{arch: arch, variant: "pack", kernel: &build.Kernel{}})
			}
			boots := everyBoot(r.rec, r.plan, cells, map[string]string{"x86_64": vm.TCG, "s390x": vm.KVM})
			for _, arch := range r.plan.Arches {
				out := slices.Contains(tc.leftOut, arch)
				missing := map[string]int{}
				for _, u := range r.rec.Unmeasured {
					if u.Arch == arch && u.Variant == "pack" && u.Why != "" {
						missing[u.Metric]++
					}
				}
				for _, m := range []string{"itlb_trace_pages", "itlb_model_misses_per_run", "itlb_model_capacity_misses_per_run", "itlb_pmu_walks"} {
					if want := map[bool]int{true: 1}[out]; missing[m] != want {
						t.Errorf("%s: %s is said to be missing %d times, not %d", arch, m, missing[m], want)
					}
				}
				for _, p := range r.rec.Planned {
					if p.LeftOut != "" && tc.why != "" && p.LeftOut != tc.why {
						t.Errorf("%s: because %q, want %q", arch, p.LeftOut, tc.why)
					}
					if got := p.LeftOut != ""; p.Arch == arch && got != (out && p.Scenario == "itlb") {
						t.Errorf("%s: %s of %s is left out: %v", arch, p.Scenario, p.Variant, got)
					}
				}
				traced := slices.ContainsFunc(boots, func(b *boot) bool { return b.arch == arch && b.traced })
				if want := !out && len(r.plan.Scenarios) > 1; traced != want {
					t.Errorf("%s: there is a boot to be traced: %v, want %v", arch, traced, want)
				}
				// What a processor counts takes no plugin.
				counts := slices.ContainsFunc(boots, func(b *boot) bool { return b.arch == arch && !b.traced && b.beside > 0 })
				if want := arch == "s390x" && len(r.plan.Scenarios) > 1; counts != want {
					t.Errorf("%s: there is a boot that counts: %v, want %v", arch, counts, want)
				}
			}
		})
	}
}

// A user who gives up while the plugin is compiled is not taken for a machine that
// can't trace.
func TestPrepareTracesInterrupted(t *testing.T) {
	r, _ := testRun(t, openCache(t))
	r.rec.Planned = planned(r.plan)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.prepareTraces(ctx); !errors.Is(err, context.Canceled) || leftOut(r.rec, "x86_64", tracedScenario) {
		t.Errorf("err = %v, left out %v", err, leftOut(r.rec, "x86_64", tracedScenario))
	}
}
