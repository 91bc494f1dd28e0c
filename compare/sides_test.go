// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"slices"
	"strings"
	"testing"

	faults "packtest/internal/fault"
	"packtest/metric"
	"packtest/results"
)

// sideRecord is goodRecord as a run of its own, with what a machine says.
func sideRecord(id string) *results.Record {
	rec := goodRecord()
	rec.ID, rec.Seed = id, 1
	rec.Provenance.Host = results.Host{CPU: "Example CPU", CPUs: 2}
	for i := range rec.Cells {
		rec.Cells[i].Config = "measure"
	}
	for i := range rec.Boots {
		b := &rec.Boots[i]
		b.QEMU, b.CPUs, b.MemoryMiB = "7.2.0", 2, 2048
	}
	return rec
}

// leaveOut plans a scenario that the machine can't carry out.
func leaveOut(rec *results.Record) {
	rec.Planned = append(rec.Planned, results.Planned{Arch: "s390x", Variant: "pack", Scenario: "itlb", Boots: 1, LeftOut: "no gcc"})
}

// What both sides left out is told as of a run.
func TestSidesLeftOut(t *testing.T) {
	a, b := sideRecord("a"), sideRecord("b")
	images(b)
	leaveOut(a)
	leaveOut(b)
	rec, err := Sides(Side{a, "pack"}, Side{b, "pack"})
	if err != nil {
		t.Fatal(err)
	}
	wantVerdict(t, rec, results.Pass, "differs from pack@A's; itlb was left out on s390x: no gcc")
	if notes := strings.Join(rec.Notes, "\n"); strings.Contains(notes, "itlb") {
		t.Errorf("notes: %s", notes)
	}
}

func TestSides(t *testing.T) {
	for _, tc := range []struct {
		name       string
		change     func(a, b *results.Record)
		va, vb     string
		base, head string
		want       results.Verdict
		note       string
	}{
		{"two sides of one run", func(a, b *results.Record) { *b = *a }, "nopack", "pack", "nopack", "pack", results.Improved, ""},
		{"the other way round", func(a, b *results.Record) { *b = *a }, "pack", "nopack", "pack", "nopack", results.Regressed, ""},
		{"the same kernel in two runs", nil, "pack", "pack", "pack@A", "pack@B", results.Unchanged, "pack@A is pack of a, and pack@B is pack of b"},
		{"another kernel in each", func(a, b *results.Record) { images(b) }, "pack", "pack", "pack@A", "pack@B", results.Pass, ""},
		{"worse than it was", func(a, b *results.Record) { images(b); set(b, "pack", "jit_pages", 60) }, "pack", "pack", "pack@A", "pack@B", results.Regressed, ""},
		{"another base", func(a, b *results.Record) { images(b); b.Provenance.Base.Version = "6.1.1" }, "pack", "pack", "pack@A", "pack@B", results.Pass, "the base differs"},
		{"a scenario of one alone", func(a, b *results.Record) {
			images(b)
			b.Planned = append(b.Planned, results.Planned{Arch: "s390x", Variant: "pack", Scenario: "drain", Boots: 1})
		}, "pack", "pack", "pack@A", "pack@B", results.Pass, "only pack of b has it: drain on s390x"},
		{"a scenario that one left out", func(a, b *results.Record) {
			images(b)
			leaveOut(a)
			leaveOut(b)
			b.Planned[len(b.Planned)-1].LeftOut = ""
		}, "pack", "pack", "pack@A", "pack@B", results.Pass, "only pack of b has it: itlb on s390x"},
		{"an architecture of one alone", func(a, b *results.Record) {
			images(b)
			b.Planned = filterPlanned(b.Planned, "x86_64")
		}, "pack", "pack", "pack@A", "pack@B", results.Pass, "only pack of a has it: load on s390x"},
		{"another configuration of another source", func(a, b *results.Record) {
			images(b)
			configs(a, "aaaa", "one")
			configs(b, "bbbb", "two")
		}, "pack", "pack", "pack@A", "pack@B", results.Pass, "the effective kernel configuration on s390x differs: aaaa and bbbb"},
		{"another configuration by another compiler", func(a, b *results.Record) {
			images(b)
			configs(a, "aaaa", "one")
			configs(b, "bbbb", "one")
			b.Provenance.Tools = map[string]string{"gcc-s390x": "13", "gcc-x86_64": "13"}
		}, "pack", "pack", "pack@A", "pack@B", results.Pass, "the compiler for s390x differs"},
		{"two sides of one run, one of which has an option of its own", func(a, b *results.Record) {
			*b = *a
			configs(a, "aaaa", "one")
			a.Cells[0].ConfigSHA256 = "bbbb"
		}, "nopack", "pack", "nopack", "pack", results.Improved, "the effective kernel configuration on x86_64 differs"},
		{"other parameters", func(a, b *results.Record) {
			images(b)
			for i := range b.Boots {
				b.Boots[i].Cmdline = "quiet"
			}
		}, "pack", "pack", "pack@A", "pack@B", results.Pass, "what the kernel was told on s390x differs: unknown and quiet"},
		{"other geometries", func(a, b *results.Record) {
			images(b)
			b.Provenance.Geometries = "[[geometry]]"
		}, "pack", "pack", "pack@A", "pack@B", results.Pass, "the files of simulated TLBs differ"},
		{"other tolerances", func(a, b *results.Record) {
			images(b)
			set(b, "pack", "jit_pages", 60)
			b.Tolerances = map[string]metric.Tolerance{"jit_pages": "1000"}
		}, "pack", "pack", "pack@A", "pack@B", results.Pass, "those of pack of b hold"},
		{"a finding that was there before", func(a, b *results.Record) {
			images(b)
			for _, r := range []*results.Record{a, b} {
				r.Findings = []results.Finding{{Arch: "s390x", Variant: "pack", Scenario: "load", Kind: "warning", Title: "x"}}
			}
		}, "pack", "pack", "pack@A", "pack@B", results.Pass, ""},
		{"a finding that is new", func(a, b *results.Record) {
			images(b)
			b.Findings = []results.Finding{{Arch: "s390x", Variant: "pack", Scenario: "load", Kind: "warning", Title: "x"}}
		}, "pack", "pack", "pack@A", "pack@B", results.KernelFailed, ""},
		{"a run that is not complete", func(a, b *results.Record) { images(b); b.Boots = b.Boots[:1] }, "pack", "pack", "pack@A", "pack@B", results.HarnessFailed, ""},
		{"another machine", func(a, b *results.Record) { images(b); b.Provenance.Host.CPU = "Another" }, "pack", "pack", "pack@A", "pack@B", results.Pass, "the host differs"},
		{"values of a twin", func(a, b *results.Record) {
			images(b)
			for i := range b.Cells {
				if c := &b.Cells[i]; c.Variant == "pack" {
					b.Cells = append(b.Cells, results.Cell{Arch: c.Arch, Variant: "twin", Config: "measure", Image: c.Image, SameAs: "pack"})
				}
			}
			for _, p := range b.Planned {
				if p.Variant == "pack" {
					p.Variant = "twin"
					b.Planned = append(b.Planned, p)
				}
			}
		}, "pack", "twin", "pack", "twin", results.Pass, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := sideRecord("a"), sideRecord("b")
			if tc.change != nil {
				tc.change(a, b)
			}
			rec, err := Sides(Side{a, tc.va}, Side{b, tc.vb})
			if err != nil {
				t.Fatal(err)
			}
			verdict, why := Judge(rec)
			if verdict != tc.want || rec.Baseline != tc.base || rec.Candidate != tc.head {
				t.Errorf("%s: %s, %s against %s; want %s, %s against %s", verdict, why, rec.Candidate, rec.Baseline, tc.want, tc.head, tc.base)
			}
			if notes := strings.Join(rec.Notes, "\n"); !strings.Contains(notes, tc.note) {
				t.Errorf("notes %q, want %q", notes, tc.note)
			}
		})
	}
}

func TestTimesOfTwoMachinesAreNotCompared(t *testing.T) {
	a, b := sideRecord("a"), sideRecord("b")
	images(b)
	b.Provenance.Host.CPU = "Another"
	rec, err := Sides(Side{a, "pack"}, Side{b, "pack"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Compare(rec)[0].Changes {
		if c.Metric == "load_time_per_program" {
			t.Errorf("%s is compared: %s", c.Metric, c.Why)
		}
	}
	said := false
	for _, u := range rec.Unmeasured {
		said = said || u.Metric == "load_time_per_program" && strings.Contains(u.Why, "different machines")
	}
	if !said {
		t.Error("nothing says why")
	}
}

func TestSidesRefuse(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(a, b *results.Record)
		va, vb string
		want   string
	}{
		{"unknown variant", nil, "pack", "packk", `the run b has no variant "packk": it has nopack, pack`},
		{"itself", func(a, b *results.Record) { b.ID = "a" }, "pack", "pack", "pack of a is compared with itself"},
		{"accelerator", func(a, b *results.Record) {
			b.Provenance.Accelerator = map[string]string{"x86_64": "kvm", "s390x": "tcg"}
		}, "pack", "pack", "accelerator on x86_64: tcg and kvm"},
		{"accelerator is not known", func(a, b *results.Record) { b.Provenance.Accelerator = nil }, "pack", "pack", "accelerator on s390x: tcg and unknown"},
		{"config", func(a, b *results.Record) {
			for i := range b.Cells {
				b.Cells[i].Config = "debug"
			}
		}, "pack", "pack", "kernel configuration on s390x: measure and debug"},
		{"effective config", func(a, b *results.Record) {
			configs(a, "aaaa", "one")
			configs(b, "bbbb", "one")
		}, "pack", "pack", "effective kernel configuration on s390x, of the same source: aaaa and bbbb"},
		{"QEMU", func(a, b *results.Record) {
			for i := range b.Boots {
				b.Boots[i].QEMU = "9.0.0"
			}
		}, "pack", "pack", "QEMU on x86_64: 7.2.0 and 9.0.0"},
		{"memory", func(a, b *results.Record) {
			for i := range b.Boots {
				b.Boots[i].MemoryMiB = 4096
			}
		}, "pack", "pack", "memory of the VM on s390x: 2048 MiB and 4096 MiB"},
		{"seed", func(a, b *results.Record) { b.Seed = 2 }, "pack", "pack", "seed, from which the programs are made: 1 and 2"},
		{"architectures", func(a, b *results.Record) {
			a.Planned, b.Planned = filterPlanned(a.Planned, "x86_64"), filterPlanned(b.Planned, "s390x")
		}, "pack", "pack", "no architecture in common"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := sideRecord("a"), sideRecord("b")
			if tc.change != nil {
				tc.change(a, b)
			}
			_, err := Sides(Side{a, tc.va}, Side{b, tc.vb})
			if err == nil || !strings.Contains(err.Error(), tc.want) || faults.Of(err) != faults.Input {
				t.Errorf("err = %v, want %q", err, tc.want)
			}
		})
	}
}

// images makes every kernel of rec another binary.
func images(rec *results.Record) {
	for i := range rec.Cells {
		rec.Cells[i].Image += "'"
	}
}

// configs gives every kernel of rec an effective configuration, and the commit it
// was built from.
func configs(rec *results.Record, sum, commit string) {
	rec.Cells = slices.Clone(rec.Cells)
	for i := range rec.Cells {
		rec.Cells[i].ConfigSHA256, rec.Cells[i].Commit = sum, commit
	}
}

func set(rec *results.Record, variant, name string, x float64) {
	for i := range rec.Samples {
		if s := &rec.Samples[i]; s.Variant == variant && s.Metric == name {
			s.Values = []float64{x, x}
		}
	}
}

func filterPlanned(list []results.Planned, arch string) []results.Planned {
	var out []results.Planned
	for _, p := range list {
		if p.Arch == arch {
			out = append(out, p)
		}
	}
	return out
}
