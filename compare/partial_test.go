// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"packtest/metric"
	"packtest/results"
)

// wholeRecord is a complete record of all scenarios of a usual run, on which the
// candidate is better.
func wholeRecord() *results.Record {
	rec := &results.Record{Schema: 1, ID: "test", Baseline: "nopack", Candidate: "pack",
		Provenance: results.Provenance{Accelerator: map[string]string{"x86_64": "tcg", "s390x": "tcg"}}}
	groups := [][]string{{"directmap"}, {"load", "drain"}, {"load", "drain"}, {"churn", "faults"}, {"itlb"}, {"test_bpf"}}
	for _, arch := range []string{"x86_64", "s390x"} {
		for i, v := range []string{"nopack", "pack", "upstream"} {
			rec.Cells = append(rec.Cells, results.Cell{Arch: arch, Variant: v, Image: arch + v})
			boots := map[string]int{}
			for n, scenarios := range groups {
				rec.Boots = append(rec.Boots, results.Boot{Arch: arch, Variant: v, Number: n + 1, Scenarios: scenarios, Ending: results.EndingDone})
				for _, s := range scenarios {
					boots[s]++
				}
			}
			for _, s := range []string{"directmap", "load", "drain", "churn", "faults", "itlb", "test_bpf"} {
				rec.Planned = append(rec.Planned, results.Planned{Arch: arch, Variant: v, Scenario: s, Boots: boots[s]})
				for _, r := range Rules() {
					if !r.expects(s) {
						continue
					}
					x := 100.0
					if r.Metric == "jit_pages" {
						x = 100 - 40*float64(i)
					}
					rec.Samples = append(rec.Samples, results.Sample{Arch: arch, Variant: v, Scenario: s,
						Sample: metric.New(r.Metric, nil, slices.Repeat([]float64{x}, boots[s])...)})
				}
			}
		}
	}
	return rec
}

// dropBoot takes the values of a boot that failed out of the record.
func dropBoot(rec *results.Record, b results.Boot) {
	for i := range rec.Samples {
		if s := &rec.Samples[i]; s.Arch == b.Arch && s.Variant == b.Variant && slices.Contains(b.Scenarios, s.Scenario) {
			s.Values = s.Values[1:]
		}
	}
	rec.Samples = slices.DeleteFunc(rec.Samples, func(s results.Sample) bool { return len(s.Values) == 0 })
}

// A run that is good on one architecture says nothing of another on which
// something was not done: whatever one boot, or several, or a build, fails by.
func TestPartial(t *testing.T) {
	wantVerdict(t, wholeRecord(), results.Improved, "jit_pages (x86_64 -40.0 %, s390x -40.0 %)")
	type fate struct{ how, ending, fault string }
	fates := []fate{{"QEMU dies", "qemu-died", "harness"}, {"is not started", "not-started", "harness"}, {"leaves a bad trace", "bad-trace", "harness"},
		{"finds the host busy", "host-busy", "harness"}, {"ends nobody knows how", "", ""}, {"panics", "panic", "kernel"}, {"hangs", "hang", "kernel"}, {"is given up", "interrupted", "interrupted"}}
	want := func(variant, fault string) results.Verdict {
		switch {
		case fault == "interrupted":
			return results.Interrupted
		case fault != "kernel":
			return results.HarnessFailed
		case variant == "pack":
			return results.KernelFailed
		case variant == "nopack":
			return results.Inconclusive
		}
		return results.Improved // another variant's kernel does not concern it
	}
	for _, which := range []struct {
		name string
		ours func(results.Boot) bool
	}{
		{"all boots", func(results.Boot) bool { return true }},
		{"the timed boots", func(b results.Boot) bool { return b.Number == 2 || b.Number == 3 }},
		{"one timed boot", func(b results.Boot) bool { return b.Number == 3 }},
		{"the fresh boot", func(b results.Boot) bool { return b.Number == 1 }},
		{"the attack", func(b results.Boot) bool { return b.Number == 4 }},
		{"the traced boot", func(b results.Boot) bool { return b.Number == 5 }},
		{"the kernel's suite", func(b results.Boot) bool { return b.Number == 6 }},
	} {
		for _, variant := range []string{"nopack", "pack", "upstream"} {
			for _, f := range fates {
				t.Run(fmt.Sprintf("%s of %s %s", which.name, variant, f.how), func(t *testing.T) {
					rec := wholeRecord()
					for i := range rec.Boots {
						if b := &rec.Boots[i]; b.Arch == "s390x" && b.Variant == variant && which.ours(*b) {
							b.Ending, b.Fault = f.ending, f.fault
							dropBoot(rec, *b)
						}
					}
					wantVerdict(t, rec, want(variant, f.fault), "")
				})
			}
			t.Run(fmt.Sprintf("%s of %s not made", which.name, variant), func(t *testing.T) {
				rec := wholeRecord()
				rec.Boots = slices.DeleteFunc(rec.Boots, func(b results.Boot) bool {
					gone := b.Arch == "s390x" && b.Variant == variant && which.ours(b)
					if gone {
						dropBoot(rec, b)
					}
					return gone
				})
				wantVerdict(t, rec, results.HarnessFailed, variant+" on s390x")
			})
		}
	}
	for _, tc := range []struct {
		variant, fault string
		want           results.Verdict
	}{
		{"nopack", "harness", results.HarnessFailed}, {"pack", "", results.HarnessFailed}, {"upstream", "harness", results.HarnessFailed},
		{"nopack", "kernel", results.Inconclusive}, {"pack", "kernel", results.KernelFailed}, {"upstream", "kernel", results.Improved},
	} {
		rec := wholeRecord()
		ours := func(arch, variant string) bool { return arch == "s390x" && variant == tc.variant }
		for i := range rec.Cells {
			if c := &rec.Cells[i]; ours(c.Arch, c.Variant) {
				c.Image, c.Error, c.Fault = "", "ld: killed", tc.fault
			}
		}
		rec.Boots = slices.DeleteFunc(rec.Boots, func(b results.Boot) bool { return ours(b.Arch, b.Variant) })
		rec.Samples = slices.DeleteFunc(rec.Samples, func(s results.Sample) bool { return ours(s.Arch, s.Variant) })
		wantVerdict(t, rec, tc.want, "")
	}
}

// An architecture on which scenarios could do nothing, for whatever good reason,
// has proved nothing, though another has.
func TestNothingDoneOnOne(t *testing.T) {
	record := func(baseline string, done ...string) *results.Record {
		r := &results.Record{Baseline: baseline, Candidate: "pack"}
		for _, arch := range []string{"s390x", "x86_64"} {
			for i, v := range []string{"nopack", "pack"} {
				r.Planned = append(r.Planned, results.Planned{Arch: arch, Variant: v, Scenario: "faults", Boots: 1})
				r.Cells = append(r.Cells, results.Cell{Arch: arch, Variant: v, Image: strings.Repeat(string(rune('a'+i)), 64)})
				r.Boots = append(r.Boots, results.Boot{Arch: arch, Variant: v, Number: 1, Scenarios: []string{"faults"}, Ending: results.EndingDone})
				r.Samples = append(r.Samples, results.Sample{Arch: arch, Variant: v, Scenario: "boot", Sample: metric.New("boot_time", nil, 1e9)})
				if slices.Contains(done, arch) {
					r.Samples = append(r.Samples, results.Sample{Arch: arch, Variant: v, Scenario: "faults", Sample: metric.New("faults_injected", nil, 9)})
				} else {
					r.Unmeasured = append(r.Unmeasured, results.Unmeasured{Arch: arch, Variant: v, Scenario: "faults", Metric: "faults_injected", Why: "the kernel has no fault injection"})
				}
			}
		}
		return r
	}
	for _, baseline := range []string{"nopack", ""} {
		wantVerdict(t, record(baseline, "s390x", "x86_64"), results.Pass, "")
		wantVerdict(t, record(baseline, "x86_64"), results.Inconclusive, "did anything on pack's kernel for s390x")
		wantVerdict(t, record(baseline, "s390x"), results.Inconclusive, "did anything on pack's kernel for x86_64")
		wantVerdict(t, record(baseline), results.Inconclusive, "")
	}
	// Of a twin, what was done on the other holds.
	twin := record("nopack", "s390x", "x86_64")
	for i := range twin.Cells {
		if c := &twin.Cells[i]; c.Arch == "s390x" && c.Variant == "pack" {
			c.SameAs, c.Image = "nopack", strings.Repeat("a", 64)
		}
	}
	twin.Boots = slices.DeleteFunc(twin.Boots, func(b results.Boot) bool { return b.Arch == "s390x" && b.Variant == "pack" })
	twin.Samples = slices.DeleteFunc(twin.Samples, func(s results.Sample) bool { return s.Arch == "s390x" && s.Variant == "pack" })
	wantVerdict(t, twin, results.Pass, "")
}

// Whatever single thing a record lacks, it is not good any more.
func TestNothingCanBeMissing(t *testing.T) {
	whole := wholeRecord()
	var lists []func(*results.Record)
	var names []string
	add := func(name string, take func(*results.Record)) { names, lists = append(names, name), append(lists, take) }
	for i, b := range whole.Boots {
		at := fmt.Sprintf("boot %d of %s on %s", b.Number, b.Variant, b.Arch)
		add(at, func(r *results.Record) { r.Boots = slices.Delete(r.Boots, i, i+1) })
		add("the ending of "+at, func(r *results.Record) { r.Boots[i].Ending = "" })
		for n, s := range b.Scenarios {
			add(s+" in "+at, func(r *results.Record) { r.Boots[i].Scenarios = slices.Delete(slices.Clone(b.Scenarios), n, n+1) })
		}
	}
	for i, c := range whole.Cells {
		add("kernel "+c.Variant+" for "+c.Arch, func(r *results.Record) { r.Cells = slices.Delete(r.Cells, i, i+1) })
		add("image of "+c.Variant+" for "+c.Arch, func(r *results.Record) { r.Cells[i].Image = "" })
	}
	for i, s := range whole.Samples {
		at := fmt.Sprintf("%s of %s of %s on %s", s.Metric, s.Scenario, s.Variant, s.Arch)
		add(at, func(r *results.Record) { r.Samples = slices.Delete(r.Samples, i, i+1) })
		add("a value of "+at, func(r *results.Record) { r.Samples[i].Values = r.Samples[i].Values[1:] })
		add("the scenario of "+at, func(r *results.Record) { r.Samples[i].Scenario = "other" })
	}
	if len(lists) < 300 {
		t.Fatalf("%d things", len(lists))
	}
	for i, take := range lists {
		rec := wholeRecord()
		take(rec)
		if v, why := Judge(rec); ExitCode(v) == 0 {
			t.Errorf("without %s: %s: %s", names[i], v, why)
		}
	}
}
