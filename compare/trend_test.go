// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packtest/results"
)

// times are nights of a noisy figure: lognormal around levels that begin at the
// given nights, and now and then a night that is far off.
func times(r *rand.Rand, n int, spread float64, levels map[int]float64) []float64 {
	level := 1e6
	var list []float64
	for i := range n {
		if f, ok := levels[i]; ok {
			level = 1e6 * f
		}
		x := level * math.Exp(spread*r.NormFloat64())
		if r.IntN(20) == 0 {
			x *= 1 + 2*r.Float64()
		}
		list = append(list, x)
	}
	return list
}

// Nights that are all alike seldom show a step: in one trend of a hundred, as
// stated. The bound is three standard deviations above that.
func TestChangePointsFalseAlarms(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, n := range []int{8, 30, 90} {
		const trials = 600
		alarms := 0
		for range trials {
			if len(changePoints(times(r, n, 0.05, nil), 0)) > 0 {
				alarms++
			}
		}
		bound := trials*stepAlpha + 3*math.Sqrt(trials*stepAlpha*(1-stepAlpha))
		t.Logf("%d nights: %d false alarms in %d", n, alarms, trials)
		if float64(alarms) > bound {
			t.Errorf("%d nights: %d false alarms in %d, at most %.0f by chance", n, alarms, trials, bound)
		}
	}
}

func TestChangePointsFindSteps(t *testing.T) {
	for _, tc := range []struct {
		name    string
		n       int
		levels  map[int]float64
		near    int
		atLeast int // of a hundred trials must find all and nothing else
	}{
		{"one in the middle", 40, map[int]float64{20: 1.3}, 2, 80},
		{"one four nights ago", 40, map[int]float64{36: 1.5}, 1, 75},
		{"fourteen nights, half of them worse", 14, map[int]float64{7: 1.5}, 1, 60},
		{"there and back", 60, map[int]float64{20: 1.4, 40: 1}, 2, 65},
		{"two of three sizes", 90, map[int]float64{30: 1.2, 60: 1.6}, 2, 70},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			good := 0
			for range 100 {
				var want []int
				for at := range tc.levels {
					want = append(want, at)
				}
				slices.Sort(want)
				found := changePoints(times(r, tc.n, 0.05, tc.levels), 0.1)
				ok := len(found) == len(want)
				for i := range found {
					ok = ok && abs(float64(found[i].at-want[i])) <= float64(tc.near)
				}
				if ok {
					good++
				}
			}
			t.Logf("%d of 100", good)
			if good < tc.atLeast {
				t.Errorf("found in %d of 100, want %d", good, tc.atLeast)
			}
		})
	}
}

func TestChangePointsEdges(t *testing.T) {
	steady := slices.Repeat([]float64{5}, 50)
	if got := changePoints(steady, 0); len(got) != 0 {
		t.Errorf("a steady figure has steps: %v", got)
	}
	for n := range 6 {
		if got := changePoints(steady[:n], 0); len(got) != 0 {
			t.Errorf("%d values have steps: %v", n, got)
		}
	}
	// Real and smaller than the tolerance: not shown.
	small := append(slices.Repeat([]float64{100}, 20), slices.Repeat([]float64{105}, 20)...)
	if got := changePoints(small, 0.1); len(got) != 0 {
		t.Errorf("five per cent: %v", got)
	}
	if got := changePoints(small, 0.01); len(got) != 1 || got[0].at != 20 || got[0].p > stepAlpha {
		t.Errorf("five per cent, with a tolerance of one: %v", got)
	}
	// The same twice.
	v := times(rand.New(rand.NewPCG(3, 4)), 60, 0.05, map[int]float64{30: 1.4})
	if d := cmp.Diff(fmt.Sprint(changePoints(v, 0)), fmt.Sprint(changePoints(v, 0))); d != "" {
		t.Error(d)
	}
}

func TestExactSteps(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   string
	}{
		{nil, "[]"},
		{[]float64{444, 444, 445, 443, 444}, "[]"},
		{[]float64{444, 444, 512}, "[{2 0}]"},
		{[]float64{444, 512, 444}, "[{1 0} {2 0}]"},
		{[]float64{1000, 1006, 1012, 1018}, "[{2 0}]"}, // creeping does not hide it
		{[]float64{0, 0, 1}, "[{2 0}]"},
	} {
		if got := fmt.Sprint(exactSteps(tc.values, 0.01, 0)); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.values, got, tc.want)
		}
	}
}

// night is a run's line in the history.
func night(day int, figures map[string]float64) results.Summary {
	at := time.Date(2026, 1, day, 3, 0, 0, 0, time.UTC)
	return results.Summary{Folder: at.Format("20060102-150405"), Started: at, Verdict: results.Pass, Seed: 1, Host: "a host",
		Machines: map[string]string{"x86_64": "measure, tcg, QEMU 7.2"},
		Figures:  map[string]map[string]map[string]float64{"x86_64": {"pack": figures}}}
}

func TestTrends(t *testing.T) {
	var runs []results.Summary
	for day := 1; day <= 8; day++ {
		f := map[string]float64{"load programs": 200, "load jit_pages": 90, "load load_time_per_program": 1e6, "load jit_bytes_used": 1, "drain drain_residue figure=jit_pages": 0}
		if day >= 6 {
			f["load jit_pages"] = 120
		}
		runs = append(runs, night(day, f))
	}
	runs[1].Machines["x86_64"] = "measure, tcg, QEMU 10"        // another QEMU
	runs[2].Figures["x86_64"]["pack"]["load programs"] = 1000   // another load
	runs[3].Host = "another host"                               // its times don't count, its pages do
	runs[4].Verdict = results.Interrupted                       // half a run
	delete(runs[6].Figures["x86_64"]["pack"], "load jit_pages") // not measured: no point, and no 0
	runs[7].Removed = true                                      // still part of the trend
	trends := Trends(runs)
	var names []string
	for _, x := range trends {
		names = append(names, fmt.Sprintf("%s %d left %d", x.Metric, len(x.Points), x.Left))
	}
	if d := cmp.Diff([]string{"jit_pages 4 left 2", "load_time_per_program 4 left 3"}, names); d != "" {
		t.Fatal(d)
	}
	want := []Step{{At: 2, Run: runs[5].Folder, Before: 90, After: 120, Outcome: Worse}}
	if d := cmp.Diff(want, trends[0].Steps); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Step{}, trends[1].Steps); d != "" {
		t.Error(d)
	}
}

// A thousand nights of a default run's figures.
func BenchmarkTrends(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	var runs []results.Summary
	for i := range 1000 {
		s := night(1, nil)
		s.Started = s.Started.AddDate(0, 0, i)
		s.Folder = s.Started.Format("20060102-150405")
		s.Machines["s390x"] = "measure, tcg, QEMU 7.2"
		for _, arch := range []string{"x86_64", "s390x"} {
			s.Figures[arch] = map[string]map[string]float64{}
			for _, v := range []string{"nopack", "pack", "upstream"} {
				s.Figures[arch][v] = map[string]float64{"load programs": 1000, "load jit_pages": 444, "load jit_bytes_mapped": 2 << 20, "load text_mappings": 1,
					"directmap directmap_4k programs=2048": 16 << 20, "load load_time_per_program": 1e6 * math.Exp(0.1*r.NormFloat64()),
					"drain free_time_per_program": 1e5 * math.Exp(0.1*r.NormFloat64()), "boot boot_time": 1e9 * math.Exp(0.1*r.NormFloat64())}
			}
		}
		runs = append(runs, s)
	}
	for b.Loop() {
		if len(Trends(runs)) != 2*3*7 {
			b.Fatal("trends are missing")
		}
	}
}
