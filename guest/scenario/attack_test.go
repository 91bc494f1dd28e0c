// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

// heard is a Reporter that keeps what it is told.
type heard struct {
	findings   []wire.Finding
	samples    map[string]float64
	unmeasured []string
}

func (*heard) Progress(int, int, string) {}
func (h *heard) Sample(s metric.Sample) {
	if h.samples == nil {
		h.samples = map[string]float64{}
	}
	h.samples[s.Metric] = s.Values[0]
}
func (*heard) Layout(wire.Layout)          {}
func (h *heard) Finding(f wire.Finding)    { h.findings = append(h.findings, f) }
func (h *heard) Unmeasured(name, _ string) { h.unmeasured = append(h.unmeasured, name) }
func (*heard) Window(wire.Window)          {}

func TestWatchTellsOnce(t *testing.T) {
	h := &heard{}
	w := &watch{env: &Env{Report: h}, told: map[string]wire.Extent{}}
	a, b := wire.Finding{Kind: "leak", Title: "a"}, wire.Finding{Kind: "leak", Title: "b"}
	if !w.news([]wire.Finding{a}) {
		t.Error("a finding is no news")
	}
	w.report([]wire.Finding{a, a, b})
	w.report([]wire.Finding{b})
	if len(h.findings) != 2 || w.news([]wire.Finding{a, b}) {
		t.Errorf("%+v", h.findings)
	}
}

// What was told of is told again if there is far more of it, and not for every
// case more.
func TestWatchTellsGrowth(t *testing.T) {
	for _, tc := range []struct {
		name       string
		seen, told []int
	}{
		{"once and again", []int{2, 1, 2, 3}, []int{2}},
		{"a page, and then a pack", []int{1, 512, 513}, []int{1, 512}},
		{"page by page", []int{1, 2, 3, 4, 5, 6, 7, 8}, []int{1, 2, 4, 7}},
		{"less, and as much again", []int{9, 3, 9, 13, 14}, []int{9, 14}},
		{"nothing that is counted", []int{0, 0}, []int{0}},
	} {
		h := &heard{}
		w := &watch{env: &Env{Report: h}, told: map[string]wire.Extent{}}
		for _, n := range tc.seen {
			w.report([]wire.Finding{{Kind: "permissions", Title: "a", Cases: n}})
		}
		var told []int
		for _, f := range h.findings {
			told = append(told, f.Cases)
		}
		if !slices.Equal(told, tc.told) {
			t.Errorf("%s: told %v, want %v", tc.name, told, tc.told)
		}
	}
}

// Of one title, what is about something else is told as well.
func TestWatchTellsOthers(t *testing.T) {
	h := &heard{}
	w := &watch{env: &Env{Report: h}, told: map[string]wire.Extent{}}
	for _, name := range []string{"SUnreclaim", "slab kmalloc-64", "SUnreclaim", "slab kmalloc-128", "slab kmalloc-64"} {
		w.report(oracle.Leaks(map[string][]int64{name: {0, 10, 20, 30, 40}}, 1, "round"))
	}
	if len(h.findings) != 3 {
		t.Errorf("%d findings: %+v", len(h.findings), h.findings)
	}
}

func TestFunctions(t *testing.T) {
	images := oracle.Images([]bpf.Info{
		{ID: 1, Functions: []bpf.Function{{Address: 0x1004, Bytes: 4}, {Address: 0x2000, Bytes: 2}}},
		{ID: 2, Functions: []bpf.Function{{Address: 0x200e, Bytes: 4}}}, // over the end
		{ID: 3, Functions: []bpf.Function{{Address: 0x5000, Bytes: 4}}}, // nowhere
	})
	spans := []oracle.Span{{Start: 0x1000, Bytes: []byte("....main........")}, {Start: 0x2000, Bytes: []byte("su..............")}}
	got := functions(images, spans)
	if len(got) != 2 || string(got[oracle.Function{Program: 1}].Bytes) != "main" || string(got[oracle.Function{Program: 1, Function: 1}].Bytes) != "su" {
		t.Errorf("%v", got)
	}
}

func TestRemember(t *testing.T) {
	w := &watch{code: map[oracle.Function]oracle.Span{}, patched: map[uint32]bool{2: true}}
	code := []byte("code")
	w.remember(map[oracle.Function]oracle.Span{{Program: 1}: {Bytes: code}, {Program: 2}: {Bytes: code}})
	code[0] = 'C'
	if s := w.code[oracle.Function{Program: 1}]; !bytes.Equal(s.Bytes, []byte("code")) || len(w.code) != 1 {
		t.Errorf("%v", w.code)
	}
	w.remember(nil)
	if len(w.code) != 0 {
		t.Errorf("a program that is gone is remembered: %v", w.code)
	}
}

func TestMapped(t *testing.T) {
	areas := []probe.Area{{Start: 0x10000, End: 0x21000, Pages: 16}, {Start: 0x30000, End: 0x32000, Pages: 1},
		{Start: 0x40000, End: 0x42000, Pages: 1}, {Start: 0x50000, End: 0x52000, Pages: 1}}
	w := &watch{before: map[uint64]oracle.Span{0x30000: {}, 0x40000: {}}}
	images := []oracle.Image{{Start: 0x10000, End: 0x10010}, {Start: 0x10010, End: 0x11011}, {Start: 0x30008, End: 0x30010}}
	// The second was there before and holds code now, the third holds none; the
	// last holds none and is new.
	want := oracle.Mapped{Live: 4096 + 2*4096 + 4096, Held: 18 * 4096, Area: 16 * 4096}
	if got := w.mapped(images, areas); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestKeepFragments(t *testing.T) {
	a := &attack{workload: &workload{}}
	var infos []bpf.Info
	// Loaded in the order 0 to 5, and placed in another.
	for i, addr := range []uint64{0x500, 0x100, 0x300, 0x600, 0x200, 0x400} {
		a.set.programs = append(a.set.programs, program{fleet.Program{Index: 10 + i}, -1})
		infos = append(infos, bpf.Info{Functions: []bpf.Function{{Address: addr}}})
	}
	a.fragment(infos)
	var left []int
	for _, p := range a.set.programs {
		left = append(left, p.Index)
	}
	// 0x100, 0x300 and 0x500 stay.
	if len(left) != 3 || left[0] != 10 || left[1] != 11 || left[2] != 12 {
		t.Errorf("%v stay", left)
	}
}

func TestPace(t *testing.T) {
	h := &heard{}
	var p pace
	for _, spent := range []time.Duration{100, 100, 120, 120, 400, 400} {
		p.load(spent, []bpf.Info{{JITBytes: 10}})
	}
	p.free(10, 1)
	p.free(10, 1)
	p.report(&Env{Report: h})
	if got := h.samples["load_time_ratio"]; got != 4 {
		t.Errorf("load_time_ratio %v", got)
	}
	if _, ok := h.samples["free_time_ratio"]; ok || len(h.unmeasured) != 1 {
		t.Errorf("too little was freed to compare: %v, %v", h.samples, h.unmeasured)
	}
}
