// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"packtest/itlb/trace"
)

// sweep fetches from n contiguous pages in a circle.
func sweep(n, rounds int) []trace.Event {
	var list []trace.Event
	for range rounds {
		for i := range n {
			list = append(list, trace.Event{Page: uint64(i), Instructions: 10})
		}
	}
	return list
}

// mix is a trace as the workload gives it: programs in turn, each from its own
// page, and between two of them a dozen pages of the kernel's, some of them always
// the same, and now and then a flush.
func mix(n int) []trace.Event {
	rng := rand.New(rand.NewPCG(1, 2))
	var list []trace.Event
	for program := 0; len(list) < n; program++ {
		list = append(list, trace.Event{Page: 0x10000 + uint64(program*7%400)})
		for i := range 12 {
			page := 0x100 + uint64(i)
			if i%4 == 3 {
				page = 0x200 + rng.Uint64N(300)
			}
			list = append(list, trace.Event{Page: page, Instructions: 20})
		}
		if program%500 == 0 {
			list = append(list, trace.Event{Kind: trace.Flush, Page: uint64(trace.FlushNonGlobal)})
		}
	}
	return list[:n]
}

// threadTime is how long this thread has run.
func threadTime(t testing.TB) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

func flat(t testing.TB, pages uint64) *PageMap {
	t.Helper()
	p, err := NewPageMap([]Mapping{{0, pages * trace.PageBytes, trace.PageBytes}}, nil, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// small returns a geometry with one array of small pages, and another like it
// for large ones.
func small(sets, ways int) Geometry {
	return Geometry{Name: "test", Source: "none", Confidence: "none",
		L1: Level{Arrays: []Array{{Pages: "4k", Sets: sets, Ways: ways}, {Pages: "large", Sets: sets, Ways: ways}}}}
}

// traces returns what the simulator is timed on.
func traces() map[string][]trace.Event {
	return map[string][]trace.Event{"mix": mix(1 << 20), "sweep129": sweep(129, 8000), "sweep144": sweep(144, 7200)}
}

// timed returns the geometries that the simulator is timed with: the presets, and
// first a set-associative one without a second level.
func timed(t testing.TB) []Geometry {
	t.Helper()
	presets, err := Presets("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	return append([]Geometry{small(16, 8)}, presets...)
}

// TestNoAllocation: once a trace's pages are known, nothing is allocated.
func TestNoAllocation(t *testing.T) {
	for name, list := range traces() {
		bank := NewBank(flat(t, 1<<20))
		for _, g := range timed(t) {
			for _, policy := range []Policy{LRU, TreePLRU} {
				if _, err := bank.Model(g, policy, Full, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		feed := func() {
			if err := bank.Feed(list[:1<<18]); err != nil {
				t.Fatal(err)
			}
		}
		feed()
		if n := testing.AllocsPerRun(1, feed); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// fastEnough is how many page events a second one set-associative geometry must
// take, on one core.
const fastEnough = 50e6

// BenchmarkSimulator is the speed of one geometry: the best of some rounds by the
// thread's own clock, since whatever else the machine does can only add to it.
func BenchmarkSimulator(b *testing.B) {
	all := traces()
	for i, g := range timed(b) {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			for _, policy := range []Policy{LRU, TreePLRU} {
				plain := i == 0
				if plain || policy == g.known() {
					b.Run(g.Name+"/"+name+"/"+string(policy), func(b *testing.B) { timeSimulator(b, g, policy, all[name], plain) })
				}
			}
		}
	}
}

// timeSimulator reports events a second and allocations an event; of the plain
// geometry it demands that they be enough, and none.
func timeSimulator(b *testing.B, g Geometry, policy Policy, list []trace.Event, plain bool) {
	bank := NewBank(flat(b, 1<<20))
	if _, err := bank.Model(g, policy, Ignored, nil); err != nil {
		b.Fatal(err)
	}
	feed := func() {
		if err := bank.Feed(list); err != nil {
			b.Fatal(err)
		}
	}
	feed()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best, fed := time.Duration(math.MaxInt64), 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		for range 10 {
			start := threadTime(b)
			feed()
			best = min(best, threadTime(b)-start)
			fed += len(list)
		}
	}
	runtime.ReadMemStats(&after)
	rate := float64(len(list)) / best.Seconds()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rate, "events/s")
	// Rounded, since the runtime allocates a few times for its own ends.
	allocations := math.Round(1e4*float64(after.Mallocs-before.Mallocs)/float64(fed)) / 1e4
	b.ReportMetric(allocations, "allocs/event")
	if os.Getenv("PACKTEST_BENCH") == "1" && plain && (rate < fastEnough || allocations > 0) {
		b.Errorf("%.0f events a second with %g allocations each, want at least %.0f with none", rate, allocations, fastEnough)
	}
}

// BenchmarkAnalyse is everything that is made of one window: all presets, both
// policies and bounds, two what-ifs and the curves.
func BenchmarkAnalyse(b *testing.B) {
	w := perPage(1, trace.PageBytes)
	w.Rounds = 400
	w.Runs = uint64(w.Rounds * w.Hot)
	list := events(w)
	opt := x86(b)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := threadTime(b)
		if _, err := Analyse(w, &source{list: list, batch: batchLen}, opt); err != nil {
			b.Fatal(err)
		}
		best = min(best, threadTime(b)-start)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(list))/best.Seconds(), "events/s")
}
