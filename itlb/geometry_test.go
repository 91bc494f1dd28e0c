// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"packtest/internal/fault"
	"packtest/itlb/trace"
)

// Each preset is what docs/itlb.md says of it.
func TestPresets(t *testing.T) {
	want := map[string]string{
		"skylake-sp":  "tree-plru 4k 16x8 large 1x8, with data any 128x12 xor",
		"ice-lake-sp": "4k 16x8 large 1x16, with data any 128x16",
		"golden-cove": "4k 32x8 large 4x8, with data any 128x16",
		"zen2":        "any 1x64, any 64x8",
		"zen4":        "coalescing any 1x64, any 64x8",
	}
	list, err := Presets("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list {
		if got := inWords(g); got != want[g.Name] {
			t.Errorf("%s: %s, not %s", g.Name, got, want[g.Name])
		}
		delete(want, g.Name)
		for _, p := range []Policy{LRU, TreePLRU} {
			if err := g.with(p).Validate(); err != nil {
				t.Error(err)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	if list, err := Presets("s390x"); err != nil || len(list) > 0 {
		t.Errorf("s390x has %v, %v", list, err)
	}
}

func inWords(g Geometry) string {
	level := func(l Level, words ...string) string {
		if l.WithData {
			words = append(words, "with data")
		}
		if l.Policy != "" {
			words = append(words, string(l.Policy))
		}
		for _, a := range l.Arrays {
			words = append(words, fmt.Sprintf("%s %dx%d", a.Pages, a.Sets, a.Ways))
			if a.Index != "" {
				words = append(words, a.Index)
			}
		}
		return strings.Join(words, " ")
	}
	l1 := level(g.L1)
	if g.Coalesce {
		l1 = level(g.L1, "coalescing")
	}
	return l1 + ", " + level(g.L2)
}

// The example in docs/itlb.md is a geometry.
func TestExampleGeometry(t *testing.T) {
	page, err := os.ReadFile("../docs/itlb.md")
	if err != nil {
		t.Fatal(err)
	}
	var example strings.Builder
	_, rest, _ := strings.Cut(string(page), "\n    [[geometry]]\n")
	for l := range strings.Lines("    [[geometry]]\n" + rest) {
		if l, ok := strings.CutPrefix(l, "    "); ok {
			example.WriteString(l)
		} else {
			break
		}
	}
	list, err := ParseGeometries(example.String())
	if err != nil || len(list) != 1 {
		t.Fatalf("%d geometries, %v in\n%s", len(list), err, example.String())
	}
	if got, want := inWords(list[0]), "lru 4k 32x4 large 1x16 xor, with data any 64x8"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestGeometryRefused(t *testing.T) {
	const head = "[[geometry]]\nname = \"x\"\nsource = \"s\"\nconfidence = \"c\"\n"
	for name, tc := range map[string]struct{ text, want string }{
		"sets no power of two":   {head + `l1.arrays = [{ pages = "any", sets = 12, ways = 8 }]`, `geometry "x": l1: 12 sets; it must be a power of two`},
		"no sets":                {head + `l1.arrays = [{ pages = "any", ways = 8 }]`, "0 sets"},
		"no ways":                {head + `l1.arrays = [{ pages = "any", sets = 1 }]`, "1 sets of 0 ways"},
		"too large":              {head + `l1.arrays = [{ pages = "any", sets = 1048576, ways = 4096 }]`, "1048576 sets of 4096 ways"},
		"tree over twelve":       {head + "l1.policy = \"tree-plru\"\n" + `l1.arrays = [{ pages = "any", sets = 1, ways = 12 }]`, "a tree over 12 ways"},
		"tree over 128":          {head + "l1.policy = \"tree-plru\"\n" + `l1.arrays = [{ pages = "any", sets = 1, ways = 128 }]`, "a tree over 128 ways"},
		"second level":           {head + "l1.arrays = [{ pages = \"any\", sets = 1, ways = 2 }]\n" + `l2.arrays = [{ pages = "any", sets = 3, ways = 2 }]`, "l2: 3 sets"},
		"no policy":              {head + "l1.policy = \"random\"\n", `no policy called "random"`},
		"no such pages":          {head + `l1.arrays = [{ pages = "2m", sets = 1, ways = 8 }]`, `pages = "2m"`},
		"no such index":          {head + `l1.arrays = [{ pages = "any", sets = 1, ways = 8, index = "mod" }]`, `no index called "mod"`},
		"nothing for large":      {head + `l1.arrays = [{ pages = "4k", sets = 1, ways = 8 }]`, "must take both"},
		"two for small":          {head + `l1.arrays = [{ pages = "4k", sets = 1, ways = 8 }, { pages = "any", sets = 1, ways = 8 }]`, "two arrays"},
		"no source":              {"[[geometry]]\nname = \"x\"", "needs a name, a source and a confidence"},
		"a key that is not":      {head + "sets = 5", "unknown key geometry.sets"},
		"twice":                  {strings.Repeat(head+"l1.arrays = [{ pages = \"any\", sets = 1, ways = 8 }]\n", 2), "stands twice"},
		"a name of two words":    {"[[geometry]]\nname = \"my core\"\nsource = \"s\"\nconfidence = \"c\"\n", "a name is of lower-case letters"},
		"a long name":            {"[[geometry]]\nname = \"" + strings.Repeat("x", 25) + "\"\nsource = \"s\"\nconfidence = \"c\"\n", "at most 24"},
		"not TOML":               {"geometry = [", "read geometries"},
		"a number for something": {"[[geometry]]\nname = 5", "read geometries"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseGeometries(tc.text)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, expected %q", err, tc.want)
			}
			if fault.Of(err) != fault.Input {
				t.Errorf("%v is the %s's fault", err, fault.Of(err))
			}
		})
	}
}

// A geometry whose ways make no tree is simulated with LRU alone; and policies
// that are not known to be a core's can be left out.
func TestNoTree(t *testing.T) {
	g := small(1, 12)
	r, err := Analyse(perPage(1, 4096), &source{list: events(perPage(1, 4096))}, Options{Geometries: []Geometry{g}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Models {
		if m.Policy != LRU {
			t.Errorf("a model with %s", m.Policy)
		}
	}
	all := analyse(t, perPage(1, 4096), events(perPage(1, 4096)))
	for _, m := range all.Models {
		if m.Mapping != AsIs && (m.Policy == TreePLRU) != (m.Geometry.Name == "skylake-sp") {
			t.Errorf("a what-if of %s with %s", m.Geometry.Name, m.Policy)
		}
	}
	opt := x86(t)
	opt.KnownPolicy = true
	r, err = Analyse(perPage(1, 4096), &source{list: events(perPage(1, 4096))}, opt)
	if err != nil {
		t.Fatal(err)
	}
	// Five geometries, two bounds, as mapped and two what-ifs, which have the
	// known policy alone in any case.
	if len(all.Models) != 40 || len(r.Models) != 30 {
		t.Errorf("%d models with all policies, %d with the known ones", len(all.Models), len(r.Models))
	}
	if _, err := NewBank(flat(t, 8)).Model(g, TreePLRU, Full, nil); fault.Of(err) != fault.Input {
		t.Errorf("asked for a tree over 12 ways: %v", err)
	}
	if _, err := NewBank(flat(t, 8)).Curve(3, Full, nil); err == nil {
		t.Error("a curve over 3 sets")
	}
}

// The table holds many pages, whose numbers agree in their low or high bits.
func TestTable(t *testing.T) {
	var tab table
	want := map[uint64]uint32{}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range uint32(20000) {
		page := []uint64{uint64(i), uint64(i) << 12, rng.Uint64() >> 12}[i%3]
		if _, ok := want[page]; ok {
			continue
		}
		if _, ok := tab.find(page); ok {
			t.Fatalf("%#x is there before it was put", page)
		}
		want[page] = i
		tab.put(page, i)
	}
	for page, id := range want {
		if got, ok := tab.find(page); !ok || got != id {
			t.Fatalf("%#x: %d %v, not %d", page, got, ok, id)
		}
	}
}

// Laps and CPUs over a trace longer than a stack's time, with holes in it when
// time is numbered anew.
func TestLongStack(t *testing.T) {
	pages, list := fuzzMap(t, true)
	rng := rand.New(rand.NewPCG(5, 6))
	var events []trace.Event
	for len(events) < 30000 {
		events = append(events, trace.Event{Page: list[rng.IntN(len(list))], CPU: uint8(rng.IntN(2))})
		if rng.IntN(20) == 0 {
			events = append(events, trace.Event{Kind: trace.Flush, Page: uint64(trace.FlushNonGlobal), CPU: uint8(rng.IntN(2))})
		}
	}
	bank := NewBank(pages)
	c, err := bank.Curve(1, Ignored, nil)
	if err != nil {
		t.Fatal(err)
	}
	models := map[int]*Model{}
	for ways := 1; ways < 60; ways++ {
		g := small(1, ways)
		g.L1.Arrays = []Array{{Pages: "any", Sets: 1, Ways: ways}}
		if models[ways], err = bank.Model(g, LRU, Ignored, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := bank.Feed(events); err != nil {
		t.Fatal(err)
	}
	for ways, m := range models {
		for _, part := range []Part{Kernel, User} {
			if got, want := c.Misses(Cold, part, ways), m.Misses(Cold, part); got != want {
				t.Errorf("%d ways, %s: %d misses by stack distance, %d simulated", ways, part, got, want)
			}
		}
	}
}
