// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"math"
	"slices"
	"strings"
	"testing"

	"packtest/metric"
	"packtest/results"
)

// goodRecord is a complete record of two architectures and two variants on
// which the candidate is better and nothing is wrong.
func goodRecord() *results.Record {
	rec := &results.Record{Schema: 1, ID: "test", Baseline: "nopack", Candidate: "pack",
		Provenance: results.Provenance{Accelerator: map[string]string{"x86_64": "tcg", "s390x": "tcg"}}}
	for _, arch := range []string{"x86_64", "s390x"} {
		for i, v := range []string{"nopack", "pack"} {
			rec.Cells = append(rec.Cells, results.Cell{Arch: arch, Variant: v, Image: arch + v})
			rec.Planned = append(rec.Planned, results.Planned{Arch: arch, Variant: v, Scenario: "load", Boots: 2})
			for n := 1; n <= 2; n++ {
				rec.Boots = append(rec.Boots, results.Boot{Arch: arch, Variant: v, Number: n, Scenarios: []string{"load"}, Ending: results.EndingDone})
			}
			for _, r := range Rules() {
				if r.Scenario != "load" {
					continue
				}
				x := 100.0
				if r.Metric == "jit_pages" || r.Metric == "text_mappings" {
					x = 100 - 50*float64(i)
				}
				rec.Samples = append(rec.Samples, results.Sample{Arch: arch, Variant: v, Scenario: "load", Sample: metric.New(r.Metric, nil, x, x)})
			}
		}
	}
	return rec
}

// evenRecord is goodRecord with a candidate that is no different.
func evenRecord() *results.Record {
	rec := goodRecord()
	for i := range rec.Samples {
		rec.Samples[i].Values = []float64{100, 100}
	}
	return rec
}

func dropSamples(rec *results.Record, variant, name string) {
	rec.Samples = slices.DeleteFunc(rec.Samples, func(s results.Sample) bool {
		return s.Variant == variant && (name == "" || s.Metric == name)
	})
}

func wantVerdict(t *testing.T, rec *results.Record, want results.Verdict, why string) {
	t.Helper()
	got, says := Judge(rec)
	if got != want || !strings.Contains(says, why) {
		t.Errorf("verdict %s: %s\nwant %s: ...%s...", got, says, want, why)
	}
	if says == "" {
		t.Error("a verdict without a reason")
	}
}

func TestJudge(t *testing.T) {
	finding := func(variant, title string) results.Finding {
		return results.Finding{Arch: "s390x", Variant: variant, Scenario: "load", Kind: "warning", Title: title}
	}
	for _, tc := range []struct {
		name string
		do   func(*results.Record)
		want results.Verdict
		why  string
	}{
		{"better", func(r *results.Record) {}, results.Improved, "jit_pages (x86_64 -50.0 %, s390x -50.0 %)"},
		{"no different", func(r *results.Record) { *r = *evenRecord() }, results.Pass, "no judged metric differs"},
		{"worse on one architecture", func(r *results.Record) {
			for i := range r.Samples {
				if s := &r.Samples[i]; s.Metric == "jit_pages" && s.Arch == "s390x" && s.Variant == "pack" {
					s.Values = []float64{102, 102}
				}
			}
		}, results.Regressed, "jit_pages (s390x +2.0 %)"},
		{"finding on the candidate", func(r *results.Record) { r.Findings = []results.Finding{finding("pack", "boo")} }, results.KernelFailed, "pack on s390x: boo"},
		{"finding on both", func(r *results.Record) {
			r.Findings = []results.Finding{finding("pack", "boo"), finding("nopack", "boo")}
		}, results.Improved, ""},
		{"finding on the baseline only", func(r *results.Record) { r.Findings = []results.Finding{finding("nopack", "boo")} }, results.Improved, ""},
		{"another finding on the baseline", func(r *results.Record) {
			r.Findings = []results.Finding{finding("pack", "boo"), finding("nopack", "ah")}
		}, results.KernelFailed, "boo"},
		{"the same finding in another scenario", func(r *results.Record) {
			f := finding("nopack", "boo")
			f.Scenario = "drain"
			r.Findings = []results.Finding{finding("pack", "boo"), f}
		}, results.KernelFailed, "boo"},
		{"a mark that says the baseline has it", func(r *results.Record) {
			f := finding("pack", "boo")
			f.OnBaseline = true
			r.Findings = []results.Finding{f}
		}, results.KernelFailed, "boo"},
		{"finding on a third variant", func(r *results.Record) { r.Findings = []results.Finding{finding("upstream", "boo")} }, results.Improved, ""},
		{"finding and a failed harness", func(r *results.Record) {
			r.Findings = []results.Finding{finding("pack", "boo")}
			r.Boots = r.Boots[:7]
		}, results.KernelFailed, "boo"},
		{"finding where the baseline's harness failed", func(r *results.Record) {
			r.Findings = []results.Finding{finding("pack", "boo")}
			for _, i := range []int{4, 5} {
				r.Boots[i].Ending, r.Boots[i].Fault = "qemu-died", "harness"
			}
		}, results.HarnessFailed, "nopack on s390x ended well in 0 of 2 boots"},
		{"finding where the baseline panicked", func(r *results.Record) {
			r.Findings = []results.Finding{finding("pack", "boo")}
			for _, i := range []int{4, 5} {
				r.Boots[i].Ending, r.Boots[i].Fault = "panic", "kernel"
			}
		}, results.Inconclusive, "boot 1 of nopack on s390x ended in panic"},
		{"finding where one of the baseline's boots ended well", func(r *results.Record) {
			r.Findings = []results.Finding{finding("pack", "boo")}
			r.Boots[4].Ending, r.Boots[4].Fault = "qemu-died", "harness"
		}, results.KernelFailed, "boo"},
		{"finding before the baseline was booted, and then the end", func(r *results.Record) {
			r.Findings = []results.Finding{finding("pack", "boo")}
			r.Boots = slices.DeleteFunc(r.Boots, func(b results.Boot) bool { return b.Arch == "s390x" && b.Variant == "nopack" })
			r.Verdict = results.Interrupted
		}, results.Interrupted, ""},
		{"finding where the baseline was not built", func(r *results.Record) {
			r.Findings = []results.Finding{{Arch: "s390x", Variant: "pack", Scenario: "build", Kind: "build", Title: "the kernel does not build"}}
			r.Cells[3].Error, r.Cells[3].Fault, r.Cells[3].Image = "core.c:1: error", "kernel", ""
			r.Cells = slices.Delete(r.Cells, 2, 3)
		}, results.HarnessFailed, "nopack for s390x was not built"},
		{"panic where the baseline's harness failed", func(r *results.Record) {
			for _, i := range []int{0, 1} {
				r.Boots[i].Ending, r.Boots[i].Fault = "qemu-died", "harness"
			}
			r.Boots[2].Ending, r.Boots[2].Fault = "panic", "kernel"
		}, results.HarnessFailed, "qemu-died"},
		{"candidate did not build", func(r *results.Record) {
			r.Cells[1].Error, r.Cells[1].Fault, r.Cells[1].Image = "core.c:1: error\nmore", "kernel", ""
		}, results.KernelFailed, "pack for x86_64 could not be built: core.c:1: error"},
		{"candidate did not build for the harness's fault", func(r *results.Record) {
			r.Cells[1].Error, r.Cells[1].Image = "no space", ""
		}, results.HarnessFailed, "no space"},
		{"baseline did not build", func(r *results.Record) {
			r.Cells[0].Error, r.Cells[0].Fault, r.Cells[0].Image = "core.c:1: error", "kernel", ""
		}, results.Inconclusive, "nopack for x86_64 could not be built"},
		{"neither built", func(r *results.Record) {
			for i := range 2 {
				r.Cells[i].Error, r.Cells[i].Fault, r.Cells[i].Image = "core.c:1: error", "kernel", ""
			}
			r.Boots = r.Boots[4:]
			r.Samples = slices.DeleteFunc(r.Samples, func(s results.Sample) bool { return s.Arch == "x86_64" })
		}, results.Inconclusive, "could not be built"},
		{"candidate panicked", func(r *results.Record) { r.Boots[2].Ending, r.Boots[2].Fault = "panic", "kernel" }, results.KernelFailed, "boot 1 of pack on x86_64 ended in panic"},
		{"candidate panicked once and was booted again", func(r *results.Record) {
			b := r.Boots[2]
			b.Number, b.Ending, b.Fault = 3, "panic", "kernel"
			r.Boots = append(r.Boots, b)
		}, results.KernelFailed, "boot 3 of pack"},
		{"baseline panicked", func(r *results.Record) { r.Boots[0].Ending, r.Boots[0].Fault = "panic", "kernel" }, results.Inconclusive, "boot 1 of nopack"},
		{"both panicked", func(r *results.Record) {
			for _, i := range []int{0, 2} {
				r.Boots[i].Ending, r.Boots[i].Fault = "panic", "kernel"
			}
		}, results.Inconclusive, "panic"},
		{"QEMU died and the boot was repeated", func(r *results.Record) {
			b := r.Boots[2]
			b.Number, b.Ending, b.Fault = 3, "qemu-died", "harness"
			r.Boots = append(r.Boots, b)
		}, results.Improved, ""},
		{"QEMU died", func(r *results.Record) { r.Boots[2].Ending, r.Boots[2].Fault = "qemu-died", "harness" }, results.HarnessFailed, "ended well in 1 of 2 boots: boot 1 of pack on x86_64 ended in qemu-died"},
		{"an ending nobody classed", func(r *results.Record) { r.Boots[2].Ending = "odd" }, results.HarnessFailed, "odd"},
		{"no ending", func(r *results.Record) { r.Boots[2].Ending = "" }, results.HarnessFailed, "nothing that was written down"},
		{"interrupted boot", func(r *results.Record) { r.Boots[2].Ending, r.Boots[2].Fault = "interrupted", "interrupted" }, results.Interrupted, ""},
		{"interrupted, says the harness", func(r *results.Record) { r.Verdict = results.Interrupted }, results.Interrupted, "the user"},
		{"failed, says the harness, after a finding", func(r *results.Record) {
			r.Verdict, r.Why = results.HarnessFailed, "disk full"
			r.Findings = []results.Finding{finding("pack", "boo")}
		}, results.KernelFailed, "boo"},
		{"failed, says the harness", func(r *results.Record) { r.Verdict, r.Why = results.HarnessFailed, "disk full" }, results.HarnessFailed, "disk full"},
		{"an earlier pass is not believed", func(r *results.Record) {
			r.Verdict = results.Pass
			r.Boots = nil
		}, results.HarnessFailed, ""},
		{"same binary", func(r *results.Record) {
			for i := range r.Cells {
				r.Cells[i].Image = "same"
			}
		}, results.Unchanged, "same binary on s390x and x86_64"},
		{"same binary with other modules", func(r *results.Record) {
			for i := range r.Cells {
				r.Cells[i].Image, r.Cells[i].Modules = "same", r.Cells[i].Variant
			}
		}, results.Improved, ""},
		{"same binary on one architecture", func(r *results.Record) { r.Cells[0].Image, r.Cells[1].Image = "same", "same" }, results.Improved, ""},
		{"same binary, not booted twice", func(r *results.Record) {
			for i := range r.Cells {
				r.Cells[i].Image = "same"
				if r.Cells[i].Variant == "pack" {
					r.Cells[i].SameAs = "nopack"
				}
			}
			r.Boots = slices.DeleteFunc(r.Boots, func(b results.Boot) bool { return b.Variant == "pack" })
			dropSamples(r, "pack", "")
		}, results.Unchanged, ""},
		{"said to be the same, and is not", func(r *results.Record) {
			r.Cells[1].SameAs = "nopack"
			r.Boots = slices.DeleteFunc(r.Boots, func(b results.Boot) bool { return b.Variant == "pack" })
		}, results.HarnessFailed, ""},
		{"no baseline", func(r *results.Record) { r.Baseline = "" }, results.Pass, "no baseline"},
		{"no baseline, and a finding", func(r *results.Record) {
			r.Baseline = ""
			r.Findings = []results.Finding{finding("pack", "boo")}
		}, results.KernelFailed, "boo"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := goodRecord()
			tc.do(rec)
			wantVerdict(t, rec, tc.want, tc.why)
		})
	}
}

// TestNoFalseGreen takes one thing after another away from a record that would
// be improved, or pass, and demands that neither is said of what is left.
func TestNoFalseGreen(t *testing.T) {
	for name, do := range map[string]func(*results.Record){
		"empty record":       func(r *results.Record) { *r = results.Record{} },
		"no plan":            func(r *results.Record) { r.Planned = nil },
		"no cells":           func(r *results.Record) { r.Cells = nil },
		"no boots":           func(r *results.Record) { r.Boots = nil },
		"no samples":         func(r *results.Record) { r.Samples = nil },
		"no candidate":       func(r *results.Record) { r.Candidate = "" },
		"unknown candidate":  func(r *results.Record) { r.Candidate = "pakc" },
		"unknown baseline":   func(r *results.Record) { r.Baseline = "nopakc" },
		"candidate's values": func(r *results.Record) { dropSamples(r, "pack", "") },
		"baseline's values":  func(r *results.Record) { dropSamples(r, "nopack", "") },
		"an architecture's everything": func(r *results.Record) {
			r.Cells = slices.DeleteFunc(r.Cells, func(c results.Cell) bool { return c.Arch == "s390x" })
			r.Boots = slices.DeleteFunc(r.Boots, func(b results.Boot) bool { return b.Arch == "s390x" })
			r.Samples = slices.DeleteFunc(r.Samples, func(s results.Sample) bool { return s.Arch == "s390x" })
		},
		"an architecture's samples": func(r *results.Record) {
			r.Samples = slices.DeleteFunc(r.Samples, func(s results.Sample) bool { return s.Arch == "s390x" })
		},
		"an architecture's samples but one": func(r *results.Record) {
			r.Samples = slices.DeleteFunc(r.Samples, func(s results.Sample) bool { return s.Arch == "s390x" && s.Metric != "jit_bytes_used" })
		},
		"one metric on both sides": func(r *results.Record) {
			dropSamples(r, "pack", "jit_pages")
			dropSamples(r, "nopack", "jit_pages")
		},
		"judged metrics, all explained": func(r *results.Record) {
			for _, m := range Rules() {
				if m.Gate != Judged {
					continue
				}
				for _, v := range []string{"nopack", "pack"} {
					dropSamples(r, v, m.Metric)
					for _, a := range []string{"x86_64", "s390x"} {
						r.Unmeasured = append(r.Unmeasured, results.Unmeasured{Arch: a, Variant: v, Metric: m.Metric, Why: "hidden"})
					}
				}
			}
		},
		"one metric explained on one side": func(r *results.Record) {
			dropSamples(r, "pack", "jit_pages")
			for _, a := range []string{"x86_64", "s390x"} {
				r.Unmeasured = append(r.Unmeasured, results.Unmeasured{Arch: a, Variant: "pack", Metric: "jit_pages", Why: "hidden"})
			}
		},
		"unmeasured without a reason": func(r *results.Record) {
			for _, v := range []string{"nopack", "pack"} {
				dropSamples(r, v, "jit_pages")
				r.Unmeasured = append(r.Unmeasured, results.Unmeasured{Arch: "x86_64", Variant: v, Metric: "jit_pages"})
			}
		},
		"values that are no numbers": func(r *results.Record) {
			for i := range r.Samples {
				r.Samples[i].Values = []float64{math.NaN(), math.Inf(1)}
			}
		},
		"a value of two boots": func(r *results.Record) {
			for i := range r.Samples {
				r.Samples[i].Values = r.Samples[i].Values[:1]
			}
		},
		"boots that were killed": func(r *results.Record) {
			for i := range r.Boots {
				r.Boots[i].Ending = "timeout"
			}
		},
		"boots of another scenario": func(r *results.Record) {
			for i := range r.Boots {
				r.Boots[i].Scenarios = []string{"other"}
			}
		},
		"baseline planned for less": func(r *results.Record) {
			r.Planned = slices.DeleteFunc(r.Planned, func(p results.Planned) bool { return p.Variant == "nopack" && p.Arch == "s390x" })
		},
		"malformed plan": func(r *results.Record) { r.Planned[0].Boots = 0 },
		"third variant not built": func(r *results.Record) {
			r.Planned = append(r.Planned, results.Planned{Arch: "x86_64", Variant: "upstream", Scenario: "load", Boots: 1})
		},
		"images unknown": func(r *results.Record) {
			for i := range r.Cells {
				r.Cells[i].Image = ""
			}
		},
	} {
		for start, rec := range map[string]*results.Record{"improved": goodRecord(), "pass": evenRecord()} {
			t.Run(name+", was "+start, func(t *testing.T) {
				if v, _ := Judge(rec); string(v) != start {
					t.Fatalf("starts as %s", v)
				}
				do(rec)
				v, why := Judge(rec)
				if ExitCode(v) == 0 {
					t.Errorf("%s: %s", v, why)
				}
				if why == "" {
					t.Error("no reason")
				}
			})
		}
	}
}

func TestExitCode(t *testing.T) {
	for v, want := range map[results.Verdict]int{
		results.Pass: 0, results.Improved: 0, results.Unchanged: 0,
		results.Regressed: 1, results.KernelFailed: 1,
		results.HarnessFailed: 3, results.Inconclusive: 3, results.Interrupted: 130,
		"": 3, "word from the future": 3,
	} {
		if got := ExitCode(v); got != want {
			t.Errorf("ExitCode(%q) = %d, want %d", v, got, want)
		}
	}
}

func TestFindingsToldApart(t *testing.T) {
	f := func(variant, title string) results.Finding {
		return results.Finding{Arch: "x86_64", Variant: variant, Kind: "warning", Title: title}
	}
	rec := &results.Record{Baseline: "nopack", Candidate: "pack", Findings: []results.Finding{
		f("pack", "new"), f("pack", "new"), f("pack", "both"), f("nopack", "both"), f("nopack", "old"), f("upstream", "other"), f("upstream", "both"),
	}}
	got := SortFindings(rec)
	if len(got.New) != 1 || len(got.Shared) != 1 || len(got.Baseline) != 1 || len(got.Others) != 2 {
		t.Errorf("%+v", got)
	}
	MarkBaseline(rec)
	var marks []bool
	for _, f := range rec.Findings {
		marks = append(marks, f.OnBaseline)
	}
	if want := []bool{false, false, true, false, false, false, true}; !slices.Equal(marks, want) {
		t.Errorf("marks = %v, want %v", marks, want)
	}
}

// What a machine can't carry out is held against no kernel, and no good verdict is
// silent of it.
func TestJudgeLeftOut(t *testing.T) {
	const why = "no gcc in PATH"
	with := func(rec *results.Record, leftOut ...string) *results.Record {
		for _, arch := range []string{"x86_64", "s390x"} {
			for _, v := range []string{"nopack", "pack"} {
				p := results.Planned{Arch: arch, Variant: v, Scenario: "itlb", Boots: 1}
				if slices.Contains(leftOut, arch) {
					p.LeftOut = why
				}
				rec.Planned = append(rec.Planned, p)
			}
		}
		return rec
	}
	worse := goodRecord()
	worse.Baseline, worse.Candidate = "pack", "nopack"
	same := evenRecord()
	for i := range same.Cells {
		same.Cells[i].Image = same.Cells[i].Arch
	}
	alone := goodRecord()
	alone.Baseline = ""
	both := []string{"x86_64", "s390x"}
	for _, tc := range []struct {
		name string
		rec  *results.Record
		want results.Verdict
		why  string
	}{
		{"better", with(goodRecord(), both...), results.Improved, "s390x -50.0 %); itlb was left out on x86_64 and s390x: " + why},
		{"no different", with(evenRecord(), both...), results.Pass, "what this machine can do of the plan was carried out, nothing wrong was found, and no judged metric differs from nopack's; itlb was left out on x86_64 and s390x: " + why},
		{"no baseline", with(alone, both...), results.Pass, "what this machine can do of the plan was carried out and nothing wrong was found; there is no baseline to compare with; itlb was left out"},
		{"the same binary", with(same, both...), results.Unchanged, "are the same binary on s390x and x86_64; itlb was left out"},
		{"worse", with(worse, both...), results.Regressed, "2 judged metrics worse"},
		{"of one architecture nothing is said", with(goodRecord(), "x86_64"), results.HarnessFailed, "itlb of nopack on s390x was never booted"},
		{"nothing is said", with(goodRecord()), results.HarnessFailed, "was never booted"},
	} {
		t.Run(tc.name, func(t *testing.T) { wantVerdict(t, tc.rec, tc.want, tc.why) })
	}
	if _, says := Judge(goodRecord()); strings.Contains(says, "left out") {
		t.Errorf("nothing was left out, and: %s", says)
	}
}
