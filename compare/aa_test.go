// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"math"
	"math/rand/v2"
	"testing"

	"packtest/metric"
	"packtest/results"
)

// aaRecord is a run whose two variants are the same but for the noise of boots:
// times that follow a lognormal with a few per cent of spread, drift while the
// machine warms up, share a slow moment with whatever else the boot timed, and
// now and then are far off; counts that differ by a page from boot to boot. The
// candidate's times are factor times the baseline's.
func aaRecord(r *rand.Rand, boots int, factor float64) *results.Record {
	rec := &results.Record{Schema: 1, ID: "aa", Baseline: "a", Candidate: "b",
		Provenance: results.Provenance{Accelerator: map[string]string{"x86_64": "kvm", "s390x": "kvm"}}}
	for _, arch := range []string{"x86_64", "s390x"} {
		spread := 0.02 + 0.06*r.Float64()
		drift := 0.05 * r.NormFloat64()
		timed := map[string]map[string][]float64{"a": {}, "b": {}}
		for n := range boots {
			for _, v := range []string{"a", "b"} { // in turns, as they are booted
				slow := math.Exp(0.03*r.NormFloat64() + drift*float64(n)/float64(boots))
				if r.IntN(20) == 0 {
					slow *= 1 + 2*r.Float64()
				}
				if v == "b" {
					slow *= factor
				}
				for _, rule := range Rules() {
					d, _ := metric.Lookup(rule.Metric)
					switch {
					case rule.Scenario == "" || rule.Gate == Unpaired:
					case d.Exact:
						x := 400.0
						if rule.Metric == "jit_pages" || rule.Metric == "text_mappings" {
							x += float64(r.IntN(3) - 1)
						}
						timed[v][rule.Metric] = append(timed[v][rule.Metric], x)
					default:
						timed[v][rule.Metric] = append(timed[v][rule.Metric], 1e6*slow*math.Exp(spread*r.NormFloat64()))
					}
				}
			}
		}
		for _, v := range []string{"a", "b"} {
			rec.Cells = append(rec.Cells, results.Cell{Arch: arch, Variant: v, Image: arch + v})
			seen := map[string]bool{}
			for _, rule := range Rules() {
				if len(timed[v][rule.Metric]) > 0 {
					rec.Samples = append(rec.Samples, results.Sample{Arch: arch, Variant: v, Scenario: rule.Scenario, Sample: metric.New(rule.Metric, nil, timed[v][rule.Metric]...)})
				}
				if rule.Scenario == "" || seen[rule.Scenario] {
					continue
				}
				seen[rule.Scenario] = true
				rec.Planned = append(rec.Planned, results.Planned{Arch: arch, Variant: v, Scenario: rule.Scenario, Boots: boots})
				for n := range boots {
					rec.Boots = append(rec.Boots, results.Boot{Arch: arch, Variant: v, Number: n + 1, Scenarios: []string{rule.Scenario}, Ending: results.EndingDone})
				}
			}
		}
	}
	return rec
}

// A hundred comparisons of a kernel with itself, on hardware, where times weigh:
// no more of them find a difference, either way, than alpha allows, and none
// ends in a verdict that a run of equals can't have.
func TestAA(t *testing.T) {
	for _, boots := range []int{5, 8} {
		r := rand.New(rand.NewPCG(uint64(boots), 2026))
		const rounds = 100
		count := map[results.Verdict]int{}
		for range rounds {
			verdict, why := Judge(aaRecord(r, boots, 1))
			count[verdict]++
			if verdict != results.Pass && verdict != results.Regressed && verdict != results.Improved {
				t.Fatalf("%d boots: %s: %s", boots, verdict, why)
			}
		}
		if wrong := count[results.Regressed] + count[results.Improved]; float64(wrong) > rounds*alpha {
			t.Errorf("%d boots: of %d comparisons of equals, %d regressed and %d improved", boots, rounds, count[results.Regressed], count[results.Improved])
		}
		t.Logf("%d boots: %v", boots, count)
	}
}

// The same noise with a candidate that is slower is told: a test that never
// says regressed would pass the one above.
func TestSlowerIsTold(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2026))
	const rounds = 100
	told := 0
	for range rounds {
		if verdict, _ := Judge(aaRecord(r, 8, 1.5)); verdict == results.Regressed {
			told++
		}
	}
	if told < 90 {
		t.Errorf("of %d candidates half as slow again, %d are told", rounds, told)
	}
}
