// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/guest/bpf"
	"packtest/guest/probe"
	"packtest/guest/wire"
	"packtest/metric"
)

// recorder keeps what is reported: samples by name and labels.
type recorder struct {
	samples    map[string]float64
	layouts    []wire.Layout
	findings   []wire.Finding
	unmeasured []string
}

func newRecorder() *recorder { return &recorder{samples: map[string]float64{}} }

func (r *recorder) Progress(int, int, string) {}
func (r *recorder) Sample(s metric.Sample) {
	r.samples[strings.TrimSpace(s.Metric+" "+metric.LabelString(s.Labels))] = s.Values[0]
}
func (r *recorder) Layout(l wire.Layout)     { r.layouts = append(r.layouts, l) }
func (r *recorder) Finding(f wire.Finding)   { r.findings = append(r.findings, f) }
func (r *recorder) Window(wire.Window)       {}
func (r *recorder) Unmeasured(m, why string) { r.unmeasured = append(r.unmeasured, m) }

func info(id uint32, functions ...bpf.Function) bpf.Info {
	return bpf.Info{ID: id, Type: bpf.XDP, Functions: functions}
}

const text = 0xffffffffa0000000

// code maps [text+from, text+to) as JIT code should be.
func code(from, to, leaf uint64) probe.Mapping {
	return probe.Mapping{Start: text + from, End: text + to, LeafBytes: leaf, Executable: true}
}

func TestLayoutFigures(t *testing.T) {
	pack := probe.Area{Start: text, End: text + 0x201000, Pages: 512}
	single := func(n uint64) probe.Area {
		return probe.Area{Start: text + n*0x2000, End: text + (n+1)*0x2000, Pages: 1}
	}
	for _, tc := range []struct {
		name   string
		infos  []bpf.Info
		areas  []probe.Area
		table  probe.PageTable
		want   map[string]float64
		unmeas []string
	}{
		{
			name: "each program on a page of its own",
			infos: []bpf.Info{
				info(1, bpf.Function{Address: text + 0x100, Bytes: 300}),
				info(2, bpf.Function{Address: text + 0x2100, Bytes: 400}),
			},
			areas: []probe.Area{single(0), single(1), single(2)},
			table: probe.PageTable{code(0, 0x1000, 4096), code(0x2000, 0x3000, 4096)},
			want: map[string]float64{"programs": 2, "jit_pages": 2, "jit_bytes_used": 700, "jit_bytes_mapped": 8192, "jit_utilisation": 100 * 700 / 8192.0,
				"programs_per_page": 1, "packs": 0, "programs_mapped_4k": 2, "programs_mapped_2m": 0, "text_mappings": 2},
			unmeas: []string{"pack_occupancy"},
		},
		{
			name: "a pack in small pages, a subprogram, and code over the end of a page",
			infos: []bpf.Info{
				// Chunks 0 to 1, then 1024/64=16 to 17 of the subprogram.
				info(1, bpf.Function{Address: text + 4, Bytes: 100}, bpf.Function{Address: text + 0x404, Bytes: 70}),
				// From the last chunk of the first page into the second; with its
				// header it takes a third chunk, wherever in the first it begins.
				info(2, bpf.Function{Address: text + 0xfc4, Bytes: 124}),
			},
			areas: []probe.Area{pack},
			table: probe.PageTable{code(0, 0x200000, 4096)},
			want: map[string]float64{"programs": 2, "jit_pages": 2, "jit_bytes_used": 294, "jit_bytes_mapped": 2 << 20, "jit_utilisation": 100 * 294.0 / (2 << 20),
				"programs_per_page": 1, "packs": 1, "pack_occupancy pack=0": 100 * 7 * 64.0 / (2 << 20), "programs_mapped_4k": 2, "programs_mapped_2m": 0, "text_mappings": 2},
		},
		{
			name: "a pack in one large page",
			infos: []bpf.Info{
				info(1, bpf.Function{Address: text + 4, Bytes: 100}),
				info(2, bpf.Function{Address: text + 0x100004, Bytes: 100}),
			},
			areas: []probe.Area{pack},
			table: probe.PageTable{code(0, 0x200000, 2<<20)},
			want: map[string]float64{"programs": 2, "jit_pages": 2, "jit_bytes_used": 200, "jit_bytes_mapped": 2 << 20, "jit_utilisation": 100 * 200.0 / (2 << 20),
				"programs_per_page": 1, "packs": 1, "pack_occupancy pack=0": 100 * 4 * 64.0 / (2 << 20), "programs_mapped_4k": 0, "programs_mapped_2m": 2, "text_mappings": 1},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRecorder()
			newTextLayout("loaded", tc.infos, tc.areas, tc.table).report(&Env{Report: r})
			if d := cmp.Diff(tc.want, r.samples); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tc.unmeas, r.unmeasured); d != "" {
				t.Error(d)
			}
			if len(r.findings) > 0 {
				t.Errorf("findings: %v", r.findings)
			}
		})
	}
}

func TestLayoutRegions(t *testing.T) {
	areas := []probe.Area{{Start: text, End: text + 0x201000, Pages: 512}, {Start: text + 0x300000, End: text + 0x302000, Pages: 1}}
	l := newTextLayout("loaded", []bpf.Info{
		info(9, bpf.Function{Address: text + 0x300010, Bytes: 50}),
		info(4, bpf.Function{Address: text + 0x80, Bytes: 60}),
	}, areas, probe.PageTable{code(0, 0x200000, 2<<20), code(0x300000, 0x301000, 4096)})
	want := wire.Layout{Step: "loaded", Regions: []wire.Region{
		{Start: text, Bytes: 2 << 20, PageBytes: 2 << 20, Images: []wire.Image{{Offset: 0x80, Bytes: 60, Type: "xdp", ID: 4}}},
		{Start: text + 0x300000, Bytes: 4096, PageBytes: 4096, Images: []wire.Image{{Offset: 0x10, Bytes: 50, Type: "xdp", ID: 9}}},
	}}
	if d := cmp.Diff(want, l.Layout); d != "" {
		t.Error(d)
	}
}

// TestLayoutFaults: each rule is broken once, and only its finding comes.
func TestLayoutFaults(t *testing.T) {
	area := []probe.Area{{Start: text, End: text + 0x5000, Pages: 4}}
	good := probe.PageTable{code(0, 0x4000, 4096)}
	for _, tc := range []struct {
		name  string
		infos []bpf.Info
		areas []probe.Area
		table probe.PageTable
		want  string
	}{
		{"overlap by a byte", []bpf.Info{info(1, bpf.Function{Address: text, Bytes: 65}), info(2, bpf.Function{Address: text + 64, Bytes: 64})}, area, good,
			"overlap: programs' code overlaps"},
		{"at the same address", []bpf.Info{info(1, bpf.Function{Address: text, Bytes: 64}), info(2, bpf.Function{Address: text, Bytes: 64})}, area, good,
			"overlap: programs' code overlaps"},
		{"in no area", []bpf.Info{info(1, bpf.Function{Address: text, Bytes: 64})}, nil, good,
			"placement: programs' code lies outside of any vmalloc area"},
		{"into the guard page", []bpf.Info{info(1, bpf.Function{Address: text + 0x3fc0, Bytes: 65})}, area, probe.PageTable{code(0, 0x5000, 4096)},
			"placement: programs' code lies outside of any vmalloc area"},
		{"in a freed area", []bpf.Info{info(1, bpf.Function{Address: text, Bytes: 64})}, []probe.Area{{Start: text, End: text + 0x5000, Unpurged: true}}, good,
			"placement: programs' code lies outside of any vmalloc area"},
		{"writable at its end", []bpf.Info{info(1, bpf.Function{Address: text, Bytes: 0x1001})}, area,
			probe.PageTable{code(0, 0x1000, 4096), {Start: text + 0x1000, End: text + 0x4000, LeafBytes: 4096, Executable: true, Writable: true}},
			"permissions: programs' code is writable"},
		{"not executable", []bpf.Info{info(1, bpf.Function{Address: text, Bytes: 64})}, area,
			probe.PageTable{{Start: text, End: text + 0x4000, LeafBytes: 4096}},
			"permissions: programs' code is not executable"},
		{"not mapped", []bpf.Info{info(1, bpf.Function{Address: text + 0xff0, Bytes: 64})}, area, probe.PageTable{code(0, 0x1000, 4096)},
			"permissions: programs' code is not mapped"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, f := range newTextLayout("loaded", tc.infos, tc.areas, tc.table).faults {
				got = append(got, f.Kind+": "+f.Title)
			}
			if d := cmp.Diff([]string{tc.want}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	var infos []bpf.Info
	for i := range uint32(1000) {
		infos = append(infos, info(i, bpf.Function{Address: text, Bytes: 64}))
	}
	l := newTextLayout("loaded", infos, []probe.Area{{Start: text, End: text + 0x2000, Pages: 1}}, probe.PageTable{code(0, 0x1000, 4096)})
	if len(l.faults) != 1 || len(l.faults[0].Evidence) > 2000 || !strings.Contains(l.faults[0].Evidence, "and 989 more") {
		t.Errorf("%.3000v", l.faults)
	}
}

func TestCheckSizes(t *testing.T) {
	make := func(bytes func(i int) uint32) ([]program, []bpf.Info) {
		var programs []program
		var infos []bpf.Info
		for i := range 1000 {
			programs = append(programs, program{})
			programs[i].Functions = 1
			infos = append(infos, bpf.Info{JITBytes: bytes(i), Functions: []bpf.Function{{}}})
		}
		return programs, infos
	}
	fleet := func(i int) uint32 { return []uint32{300, 300, 1000, 5000}[i%4] }
	for _, tc := range []struct {
		name  string
		bytes func(i int) uint32
		want  string
	}{
		{"a fleet", fleet, ""},
		{"all small", func(int) uint32 { return 300 }, "less than 500 bytes"},
		{"all large", func(int) uint32 { return 5000 }, "less than 500 bytes"},
		{"one beyond", func(i int) uint32 {
			if i == 3 {
				return 1 << 20
			}
			return fleet(i)
		}, "less than 81920 bytes"},
	} {
		err := checkSizes(make(tc.bytes))
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	programs, infos := make(fleet)
	infos[7].Functions = append(infos[7].Functions, bpf.Function{})
	if err := checkSizes(programs, infos); err == nil || !strings.Contains(err.Error(), "2 functions") {
		t.Errorf("a function too many: %v", err)
	}
}

func TestAreasSince(t *testing.T) {
	area := func(n uint64, unpurged bool) probe.Area {
		return probe.Area{Start: n * 0x10000, End: n*0x10000 + 0x3000, Pages: 2, Unpurged: unpurged}
	}
	before := []probe.Area{area(1, false), area(2, true)}
	now := []probe.Area{area(1, false), area(2, false), area(3, false), area(4, true), area(5, false)}
	held := map[uint64]bool{0x10000: true, 0x20000: true, 0x30000: true, 0x40000: true}
	// 1 was there before, 4 is free, 5 never held code: 2 and 3 are left.
	if got := areasSince(before, now, held); got != 2*2*4096 {
		t.Errorf("%d bytes", got)
	}
}

func TestPrograms(t *testing.T) {
	for in, want := range map[int]string{0: "1000", 1: "1", 10000: "10000", 10001: "error", -1: "error"} {
		got := "error"
		if n, err := programs(wire.ScenarioSpec{Programs: in}); err == nil {
			got = fmt.Sprint(n)
		}
		if got != want {
			t.Errorf("programs(%d) = %s, want %s", in, got, want)
		}
	}
}
