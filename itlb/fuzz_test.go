// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"testing"

	"packtest/itlb/trace"
)

// fuzzMap has everything that a translation can depend on: large and small
// leaves, ranges that coalescing entries do not fit into, user pages.
func fuzzMap(t testing.TB, global bool) (*PageMap, []uint64) {
	kernel := []Mapping{
		{0x200000, 0x800000, 2 << 20},
		{0x801000, 0x80a000, 4096},
		{0x900000, 0x980000, 4096},
	}
	user := []Mapping{{0x10000000, 0x10006000, 4096}}
	p, err := NewPageMap(kernel, user, nil, global)
	if err != nil {
		t.Fatal(err)
	}
	var pages []uint64
	for _, r := range [][2]uint64{{0x300, 0x304}, {0x5fc, 0x604}, {0x801, 0x80a}, {0x900, 0x928}, {0x10000, 0x10006}} {
		for page := r[0]; page < r[1]; page++ {
			pages = append(pages, page)
		}
	}
	return p, pages
}

// fuzzEvents makes a trace of bytes. Most are fetches.
func fuzzEvents(data []byte, pages []uint64) []trace.Event {
	var events []trace.Event
	for _, b := range data {
		switch {
		case b >= 0xfc:
			events = append(events, trace.Event{Kind: trace.Flush, Page: uint64(trace.FlushAll) + uint64(b-0xfc)})
		case b >= 0xf8:
			events = append(events, trace.Event{Kind: trace.Flush, Page: uint64(trace.FlushNonGlobal), CPU: b % 2})
		case b == 0xf6:
			events = append(events, trace.Event{Kind: trace.Flush, Page: uint64(trace.FlushSpace)})
		case b == 0xf7:
			events = append(events, trace.Event{Kind: trace.Lap})
		default:
			events = append(events, trace.Event{Page: pages[int(b>>1)%len(pages)], CPU: b & 1, Instructions: 1})
		}
	}
	return events
}

// fuzzGeometry makes a geometry of one number.
func fuzzGeometry(n uint16) Geometry {
	g := small(1<<(n&3), 1<<(n>>2&3))
	g.Coalesce = n&16 != 0
	if n&32 != 0 {
		g.L1.Arrays = []Array{{Pages: "any", Sets: 1 << (n & 3), Ways: 1 << (n >> 2 & 3)}}
	}
	if n&64 != 0 {
		g.L2 = Level{Arrays: []Array{{Pages: "any", Sets: 4, Ways: 3, Index: "xor"}}}
	}
	if n&128 != 0 {
		g.L2 = Level{Policy: TreePLRU, Arrays: []Array{{Pages: "4k", Sets: 2, Ways: 8}}}
	}
	return g
}

func seedTraces(f *testing.F) {
	for n := range uint16(256) {
		f.Add(n, n%3 == 0, []byte{0, 2, 4, 6, 8, 0, 2, 0xfd, 4, 0xf8, 0, 1, 3, 0xff, 2, 60, 62, 64, 0xf7, 66, 70, 0xfe, 0})
	}
	long := make([]byte, 3000)
	x := uint32(1)
	for i := range long {
		x = x*1664525 + 1013904223
		long[i] = byte(x >> 24)
	}
	for _, n := range []uint16{0, 5, 10, 15, 0x1a, 0x2a, 0x4a, 0x8a, 0x7a, 0xbf} {
		f.Add(n, true, long)
		f.Add(n, false, long)
	}
}

// FuzzModel holds models of every kind against the naive one, page by page.
func FuzzModel(f *testing.F) {
	seedTraces(f)
	f.Fuzz(func(t *testing.T, n uint16, global bool, data []byte) {
		pages, list := fuzzMap(t, global)
		events := fuzzEvents(data, list)
		g := fuzzGeometry(n)
		bank := NewBank(pages)
		var models []*Model
		for _, p := range []Policy{LRU, TreePLRU} {
			for _, bound := range []Bound{Ignored, Full} {
				m, err := bank.Model(g, p, bound, nil)
				if err != nil {
					t.Fatal(err)
				}
				models = append(models, m)
			}
		}
		// Batches must not matter.
		for i := 0; i < len(events); i += 7 {
			if err := bank.Feed(events[i:min(i+7, len(events))]); err != nil {
				t.Fatal(err)
			}
		}
		if lower, upper := total(func(p Part) uint64 { return models[0].Misses(Cold, p) + models[0].Misses(Warm, p) }),
			total(func(p Part) uint64 { return models[1].Misses(Cold, p) + models[1].Misses(Warm, p) }); lower > upper {
			t.Errorf("%+v: %d misses with flushes ignored, %d with full ones, under LRU", g, lower, upper)
		}
		for _, m := range models {
			misses, walks := naiveMisses(m.Geometry, m.Bound, pages, events)
			for id, page := range bank.list {
				if got := int(m.misses[Cold][id] + m.misses[Warm][id]); got != misses[page] {
					t.Errorf("%+v %s %s: page %#x: %d misses, naively %d", g, m.Policy, m.Bound, page, got, misses[page])
				}
				if got := int(m.walks[Cold][id] + m.walks[Warm][id]); got != walks[page] {
					t.Errorf("%+v %s %s: page %#x: %d walks, naively %d", g, m.Policy, m.Bound, page, got, walks[page])
				}
			}
		}
	})
}

// FuzzStack holds stack distances against LRU models of every number of ways.
func FuzzStack(f *testing.F) {
	seedTraces(f)
	f.Fuzz(func(t *testing.T, n uint16, global bool, data []byte) {
		pages, list := fuzzMap(t, global)
		bank := NewBank(pages)
		sets := 1 << (n & 3)
		type pair struct {
			m *Model
			c *Curve
		}
		var pairs []pair
		for _, bound := range []Bound{Ignored, Full} {
			c, err := bank.Curve(sets, bound, nil)
			if err != nil {
				t.Fatal(err)
			}
			for ways := 1; ways <= 70; ways = ways*3/2 + 1 {
				g := small(sets, ways)
				g.L1.Arrays = []Array{{Pages: "any", Sets: sets, Ways: ways}}
				m, err := bank.Model(g, LRU, bound, nil)
				if err != nil {
					t.Fatal(err)
				}
				pairs = append(pairs, pair{m, c})
			}
		}
		if err := bank.Feed(fuzzEvents(data, list)); err != nil {
			t.Fatal(err)
		}
		for _, p := range pairs {
			for _, lap := range []Lap{Cold, Warm} {
				for _, part := range []Part{BPF, Kernel, User} {
					ways := p.m.Geometry.L1.Arrays[0].Ways
					if got, want := p.c.Misses(lap, part, ways), p.m.Misses(lap, part); got != want {
						t.Errorf("%d sets of %d ways, %s, %s %s: %d misses by stack distance, %d simulated", sets, ways, p.c.Bound, lap, part, got, want)
					}
				}
			}
		}
	})
}

func FuzzParseGeometries(f *testing.F) {
	f.Add(presets)
	f.Add("[[geometry]]\nname = \"x\"\nl1.arrays = [{ pages = \"any\", sets = 3, ways = 1 }]")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseGeometries(text)
		if err != nil {
			return
		}
		pages, numbers := fuzzMap(t, true)
		for _, g := range list {
			if len(list) > 8 || entries(g) > 1<<14 {
				return // possible, and slow
			}
			bank := NewBank(pages)
			if _, err := bank.Model(g, g.known(), Full, nil); err != nil {
				t.Errorf("%+v is valid, and: %v", g, err)
			}
			if err := bank.Feed(fetches(numbers...)); err != nil {
				t.Error(err)
			}
		}
	})
}

func entries(g Geometry) int {
	n := 0
	for _, a := range append(g.L1.Arrays, g.L2.Arrays...) {
		n += a.Sets * a.Ways
	}
	return n
}
