// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/metric"
	"packtest/results"
)

// Each cell has the one value that all its labels name: every other value here
// differs from it in a single label. Another policy is a row of its own.
func TestITLBTables(t *testing.T) {
	rec := &results.Record{Schema: results.Schema, ID: "x", Baseline: "nopack", Candidate: "pack"}
	window := map[string]string{"loaded": "1000", "hot": "64", "form": "test_run"}
	add := func(variant, name string, value float64, labels map[string]string) {
		all := maps.Clone(window)
		maps.Copy(all, labels)
		rec.Samples = append(rec.Samples, results.Sample{Arch: "s390x", Variant: variant, Scenario: "itlb", Sample: metric.New(name, all, value)})
	}
	for variant, value := range map[string]float64{"nopack": 7, "pack": 3} {
		add(variant, tracePages, value+10, map[string]string{"part": "bpf"})
		add(variant, tracePages, value+20, map[string]string{"part": "kernel"})
		add(variant, traceMappings, value+40, map[string]string{"part": "bpf", "page": "all"})
		want := map[string]string{"geometry": "skylake-sp", "policy": "lru", "bound": "ignored", "mapping": asIs, "lap": "warm", "part": "bpf"}
		add(variant, modelMisses, value, want)
		for label, other := range map[string]string{"policy": "plru", "bound": "flushed", "lap": "cold", "part": "all"} {
			labels := maps.Clone(want)
			labels[label] = other
			add(variant, modelMisses, 999, labels)
		}
		add(variant, modelCapacity, value+2, map[string]string{"entries": "128", "bound": "ignored", "mapping": asIs, "part": "bpf"})
		delete(want, "lap")
		delete(want, "part")
		add(variant, modelPrograms, value+50, want)
		for label, other := range map[string]string{"policy": "plru", "bound": "flushed"} {
			labels := maps.Clone(want)
			labels[label] = other
			add(variant, modelPrograms, 888, labels)
		}
	}
	rec.Normalise()
	var out strings.Builder
	for _, s := range Build(rec).Sections {
		if s.ID != "itlb" {
			continue
		}
		for _, b := range s.Blocks {
			if table, ok := b.(Table); ok {
				for _, r := range table.Rows {
					for _, c := range r.Cells {
						out.WriteString(c.Text + " | ")
					}
					out.WriteString("\n")
				}
			}
		}
	}
	const want = `pages of BPF code | 17 | 13 | 
TLB entries for BPF code | 47 | 43 | 
pages of kernel code | 27 | 23 | 
skylake-sp, lru | 7.00 | 3.00 | 
  programs with such a page | 57 | 53 | 
skylake-sp, plru | 999.00 | 999.00 | 
  programs with such a page | 888 | 888 | 
128 entries, fully assoc. | 9.00 | 5.00 | 
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// The plots over hot programs are of the windows with most programs loaded, the
// table is of the others; what-ifs are marked.
func TestITLBSweep(t *testing.T) {
	rec := &results.Record{Schema: results.Schema, ID: "x", Baseline: "nopack", Candidate: "pack"}
	value := map[string]float64{"160/100": 1, "2048/8": 2, "2048/512": 3}
	for window, y := range value {
		loaded, hot, _ := strings.Cut(window, "/")
		for i, form := range forms() {
			add := func(name string, value float64, labels map[string]string) {
				maps.Copy(labels, map[string]string{"loaded": loaded, "hot": hot, "form": form, "part": "bpf"})
				rec.Samples = append(rec.Samples, results.Sample{Arch: "x86_64", Variant: "pack", Scenario: "itlb", Sample: metric.New(name, labels, value)})
			}
			add(tracePages, 5, map[string]string{})
			add(traceMappings, 20+y, map[string]string{"page": "4k"})
			add(traceMappings, 0, map[string]string{"page": "large"})
			add(traceMappings, 99, map[string]string{"page": "all"})
			for j, mapping := range []string{asIs, "what-if-4k"} {
				add(modelMisses, y+10*float64(i)+100*float64(j), map[string]string{"geometry": "skylake-sp", "policy": "lru", "bound": "ignored", "mapping": mapping, "lap": "warm"})
			}
		}
	}
	rec.Normalise()
	var got []string
	for _, s := range Build(rec).Sections {
		for _, b := range s.Blocks {
			switch b := b.(type) {
			case Table:
				if strings.Contains(b.Caption, ", model:") {
					got = append(got, fmt.Sprintf("%v %v", b.Columns, b.Rows))
				}
			case Plot:
				got = append(got, fmt.Sprintf("%s, in brief %v: %v", b.Title, !b.Detail, b.Series))
			}
		}
	}
	want := []string{
		"x86_64, trace: TLB entries for BPF code by their size, hot programs of 2048, in brief false: [{pack, 4 KiB [8 512] [22 23] false}]",
		"[{TLB false false} {pack false false} {pack 4k? false false}] [{[{skylake-sp, lru  } {1.00  } {101.00  }] false} {[{skylake-sp, lru, attached  } {11.00  } {111.00  }] true}]",
		"x86_64, model skylake-sp, lru: misses on BPF code per run, hot programs of 2048, in brief true: [{pack [8 512] [2 3] false} {pack 4k? [8 512] [102 103] false}]",
		"x86_64, model skylake-sp, lru: misses on BPF code per run, hot programs of 2048, attached, in brief false: [{pack [8 512] [12 13] false} {pack 4k? [8 512] [112 113] false}]",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Which flushes there were is said, and where what they drop makes a difference
// both bounds stand in the table.
func TestITLBFlushes(t *testing.T) {
	for name, tc := range map[string]struct {
		partly, fully, full float64
		cell, says          string
	}{
		"none":           {0, 0, 1.25, "1.25", "no instruction in any window drops TLB entries"},
		"all known":      {0, 4, 1.25, "1.25", "TLB entries are dropped by 8 instructions in the windows, and the trace tells which."},
		"no difference":  {3, 4, 1.254, "1.25", "TLB entries are dropped by 6 instructions in the windows, and the trace doesn't tell which."},
		"two bounds":     {3, 0, 1.5, "1.25 to 1.50", "TLB entries are dropped by 6 instructions in the windows, and the trace doesn't tell which."},
		"a lower second": {1, 0, 1.2, "1.25 to 1.20", "TLB entries are dropped by 2 instructions"},
	} {
		t.Run(name, func(t *testing.T) {
			rec := &results.Record{Schema: results.Schema, ID: "x", Candidate: "pack"}
			for _, hot := range []string{"64", "128"} {
				add := func(name string, value float64, labels map[string]string) {
					maps.Copy(labels, map[string]string{"loaded": hot + "0", "hot": hot, "form": byTestRun})
					rec.Samples = append(rec.Samples, results.Sample{Arch: "x86_64", Variant: "pack", Scenario: "itlb", Sample: metric.New(name, labels, value)})
				}
				add(tracePages, 5, map[string]string{"part": "bpf"})
				add(traceFlushes, tc.partly, map[string]string{"seen": "partly"})
				add(traceFlushes, tc.fully, map[string]string{"seen": "fully"})
				for bound, misses := range map[string]float64{"ignored": 1.25, "full": tc.full} {
					add(modelMisses, misses, map[string]string{"geometry": "zen2", "policy": "lru", "bound": bound, "mapping": asIs, "lap": "warm", "part": "bpf"})
				}
			}
			rec.Normalise()
			var said, cell string
			for _, s := range Build(rec).Sections {
				for _, b := range s.Blocks {
					switch b := b.(type) {
					case Para:
						if s.ID == "itlb" && strings.Contains(b.Text, "drop") {
							said += b.Text
						}
					case Table:
						if strings.Contains(b.Caption, ", model:") {
							cell = b.Rows[0].Cells[1].Text
						}
					}
				}
			}
			if cell != tc.cell || !strings.HasPrefix(said, "x86_64: "+tc.says) {
				t.Errorf("%q, and said: %s", cell, said)
			}
		})
	}
}
