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

// change makes a record with one metric on two variants and compares it. An
// empty list leaves the sample out.
func change(t *testing.T, name, accel string, base, head []float64) Change {
	t.Helper()
	rec := &results.Record{Baseline: "nopack", Candidate: "pack",
		Provenance: results.Provenance{Accelerator: map[string]string{"x86_64": accel}}}
	for v, values := range map[string][]float64{"nopack": base, "pack": head} {
		if len(values) > 0 {
			rec.Samples = append(rec.Samples, results.Sample{Arch: "x86_64", Variant: v, Scenario: "load", Sample: metric.New(name, nil, values...)})
		}
	}
	list := Compare(rec)
	if len(list) != 1 || len(list[0].Changes) != 1 {
		t.Fatalf("comparisons: %+v", list)
	}
	return list[0].Changes[0]
}

func TestChanges(t *testing.T) {
	slow := []float64{200, 201, 202, 203, 204}
	fast := []float64{100, 101, 102, 103, 104}
	for _, tc := range []struct {
		name, metric, accel string
		base, head          []float64
		want                Outcome
		weighs              bool
		why                 string
	}{
		{"exact, lower is better", "jit_pages", "tcg", []float64{9, 9}, []float64{3, 3}, Better, true, "lower"},
		{"exact, lower is worse", "test_bpf_passed", "tcg", []float64{9}, []float64{8}, Worse, true, "lower"},
		{"exact, one more is worse", "test_bpf_failed", "tcg", []float64{1000}, []float64{1001}, Worse, true, "higher"},
		{"exact, a page in a hundred", "jit_pages", "tcg", []float64{1000}, []float64{1010}, Worse, false, "no more than the rule allows"},
		{"exact, more than a page in a hundred", "jit_pages", "tcg", []float64{1000}, []float64{1011}, Worse, true, "higher"},
		{"exact, equal", "jit_pages", "tcg", []float64{9, 9}, []float64{9, 9}, Same, true, "equal"},
		{"exact, only describes", "packs", "tcg", []float64{0}, []float64{2}, Changed, false, "higher"},
		{"exact, from zero", "test_bpf_failed", "tcg", []float64{0}, []float64{1}, Worse, true, "higher"},
		{"exact, boots differ and lie apart", "jit_pages", "tcg", []float64{9, 8}, []float64{3, 4}, Better, true, "boots differ"},
		{"exact, boots differ a little and overlap", "jit_pages", "tcg", []float64{1000, 1002}, []float64{1001, 1003}, Same, true, "overlap"},
		{"exact, boots differ a lot and overlap", "jit_pages", "tcg", []float64{100, 200}, []float64{150, 150}, Inconclusive, true, "overlap"},
		{"a first pack's worth more mapped", "jit_bytes_mapped", "tcg", []float64{1 << 20}, []float64{3 << 20}, Worse, false, "no more than the rule allows"},
		{"an absurd pack mapped", "jit_bytes_mapped", "tcg", []float64{4 << 20}, []float64{512 << 20}, Worse, true, "higher"},
		{"one split more", "directmap_4k", "tcg", []float64{40 << 20}, []float64{42 << 20}, Worse, false, "no more than"},
		{"many splits more", "directmap_4k", "tcg", []float64{40 << 20}, []float64{80 << 20}, Worse, true, "higher"},
		{"head missing", "jit_pages", "tcg", []float64{9}, nil, Missing, true, "no value from pack, and nothing says why"},
		{"base missing", "jit_pages", "tcg", nil, []float64{9}, Missing, true, "no value from nopack"},
		{"missing where it is only shown", "packs", "tcg", []float64{9}, nil, Missing, false, ""},
		{"timing, six times as slow, TCG", "load_time_per_program", "tcg", fast, []float64{600, 601, 602, 603, 604}, Worse, true, "higher"},
		{"timing, six times as fast, TCG", "load_time_per_program", "tcg", []float64{600, 601, 602, 603, 604}, fast, Better, true, "lower"},
		{"timing, twice as slow, TCG", "load_time_per_program", "tcg", fast, slow, Worse, false, "timed under TCG"},
		{"timing, half as slow again, KVM", "load_time_per_program", "kvm", fast, []float64{150, 151, 152, 153, 154}, Worse, true, "p=0.008"},
		{"timing, unknown accelerator", "load_time_per_program", "", fast, []float64{150, 151, 152, 153, 154}, Worse, true, "p=0.008"},
		{"timing, faster, KVM", "load_time_per_program", "kvm", slow, fast, Better, true, "lower"},
		{"timing, significant and within tolerance", "load_time_per_program", "kvm", fast, []float64{105, 106, 107, 108, 109}, Same, true, "within 10 %"},
		{"timing, too few", "load_time_per_program", "kvm", fast[:3], slow[:3], Inconclusive, false, "3 values; at least 4 values a side needed"},
		{"timing, one value", "load_time_per_program", "kvm", fast[:1], slow[:1], Inconclusive, false, "1 value; at least 4"},
		{"timing, apart but overlapping", "load_time_per_program", "kvm", []float64{100, 150, 200, 250}, []float64{130, 190, 240, 260}, Inconclusive, false, "medians more than 10 % apart"},
		{"timing, all equal", "load_time_per_program", "kvm", []float64{5, 5, 5, 5}, []float64{5, 5, 5, 5}, Same, true, "within"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			base, head := slices.Clone(tc.base), slices.Clone(tc.head)
			c := change(t, tc.metric, tc.accel, base, head)
			if c.Verdict != tc.want || c.Weighs != tc.weighs || !strings.Contains(c.Why, tc.why) {
				t.Errorf("verdict %s, weighs %v, %q; want %s, %v, %q", c.Verdict, c.Weighs, c.Why, tc.want, tc.weighs, tc.why)
			}
			if !slices.Equal(base, tc.base) || !slices.Equal(c.Head, tc.head) {
				t.Error("the values were reordered")
			}
			for _, x := range []*float64{c.Ratio, c.Delta, c.P, c.Effect, c.BaseCentre, c.HeadCentre} {
				if x != nil && (math.IsNaN(*x) || math.IsInf(*x, 0)) {
					t.Errorf("%g cannot be written as JSON", *x)
				}
			}
		})
	}
}

func TestOrderOfValuesIsKept(t *testing.T) {
	c := change(t, "load_time_per_program", "kvm", []float64{3, 1, 2, 5}, []float64{9, 7, 8, 6})
	if !slices.Equal(c.Base, []float64{3, 1, 2, 5}) || !slices.Equal(c.Head, []float64{9, 7, 8, 6}) {
		t.Errorf("base %v, head %v", c.Base, c.Head)
	}
	if *c.Effect != 1 || *c.BaseCentre != 2.5 {
		t.Errorf("effect %g, centre %g", *c.Effect, *c.BaseCentre)
	}
}

func TestDescribedUnmeasured(t *testing.T) {
	rec := goodRecord()
	dropSamples(rec, "pack", "jit_pages")
	rec.Unmeasured = append(rec.Unmeasured, results.Unmeasured{Arch: "x86_64", Variant: "pack", Scenario: "load", Metric: "jit_pages", Why: "addresses are hidden"})
	for _, c := range Compare(rec)[0].Changes {
		if c.Metric == "jit_pages" && c.Arch == "x86_64" && c.Why != "not measured on pack: addresses are hidden" {
			t.Errorf("why = %q", c.Why)
		}
	}
}

// TestHolm: p-values that are each below 5 % are no longer after the
// correction, and stay in order.
func TestHolm(t *testing.T) {
	var list []*Change
	for _, p := range []float64{0.04, 0.01, 0.03, 0.5} {
		list = append(list, &Change{P: &p})
	}
	holm(list)
	for i, want := range []float64{0.09, 0.04, 0.09, 0.5} {
		if got := *list[i].P; math.Abs(got-want) > 1e-12 {
			t.Errorf("p[%d] = %g, want %g", i, got, want)
		}
	}
}

func TestHolmIsOverTheWholeComparison(t *testing.T) {
	rec := &results.Record{Baseline: "a", Candidate: "b", Provenance: results.Provenance{Accelerator: map[string]string{"x86_64": "kvm", "s390x": "kvm"}}}
	for _, arch := range []string{"x86_64", "s390x"} {
		for _, m := range []string{"load_time_per_program", "free_time_per_program", "boot_time"} {
			for v, f := range map[string]float64{"a": 1, "b": 2} {
				rec.Samples = append(rec.Samples, results.Sample{Arch: arch, Variant: v, Scenario: "load", Sample: metric.New(m, nil, f, f*1.01, f*1.02, f*1.03)})
			}
		}
	}
	for _, c := range Compare(rec)[0].Changes {
		// Four a side would do for one metric, not for six.
		if c.Verdict != Inconclusive || !strings.Contains(c.Why, "5 values a side would tell") {
			t.Errorf("%s %s: %s, %s", c.Arch, c.Metric, c.Verdict, c.Why)
		}
	}
}

func TestSmallestP(t *testing.T) {
	for n, want := range map[int]float64{1: 1, 3: 0.1, 4: 2.0 / 70, 5: 2.0 / 252} {
		if got := smallestP(n, n); math.Abs(got-want) > 1e-12 {
			t.Errorf("smallestP(%d, %d) = %g, want %g", n, n, got, want)
		}
		apart := make([]float64, n)
		if got := uTest(seq(0, n), seq(100, n)); math.Abs(got-want) > 1e-9 {
			t.Errorf("the U test gives %g for %d values a side that lie apart, want %g", got, len(apart), want)
		}
	}
}

func seq(from float64, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = from + float64(i)
	}
	return v
}

func TestUnequalLoadsAreNotCompared(t *testing.T) {
	rec := goodRecord()
	for i := range rec.Samples {
		if s := &rec.Samples[i]; s.Variant == "pack" && s.Arch == "s390x" && s.Metric == "programs" {
			s.Values = []float64{999, 999}
		}
	}
	for _, c := range Compare(rec)[0].Changes {
		if c.Metric == "jit_pages" && (c.Verdict == Inconclusive) != (c.Arch == "s390x") {
			t.Errorf("%s: %s", c.Arch, c.Verdict)
		}
	}
	wantVerdict(t, rec, results.Inconclusive, "same number of programs")
}

func TestRulesAreTheCatalogue(t *testing.T) {
	var names, rules []string
	for _, d := range metric.Catalogue() {
		names = append(names, d.Name)
	}
	for _, r := range Rules() {
		rules = append(rules, r.Metric)
		d, _ := metric.Lookup(r.Metric)
		if r.Gate == Judged && d.Better == metric.Neither {
			t.Errorf("%s is judged and has no better", r.Metric)
		}
		if d.Exact == (r.Tolerance > 0) {
			t.Errorf("%s: exact is %v, and the tolerance %g", r.Metric, d.Exact, r.Tolerance)
		}
		if r.Why == "" {
			t.Errorf("%s: no reason", r.Metric)
		}
	}
	if !slices.Equal(names, rules) {
		t.Errorf("the catalogue has\n%v, the rules\n%v", names, rules)
	}
}

func TestLabelsInOrder(t *testing.T) {
	l := func(n string) map[string]string { return map[string]string{"programs": n} }
	list := []map[string]string{l("2048"), l("0"), l("1024"), l("512"), nil}
	slices.SortFunc(list, func(a, b map[string]string) int {
		if LessLabels(a, b) {
			return -1
		}
		return 1
	})
	var got []string
	for _, m := range list {
		got = append(got, m["programs"])
	}
	if s := strings.Join(got, " "); s != " 0 512 1024 2048" {
		t.Errorf("order: %q", s)
	}
}
