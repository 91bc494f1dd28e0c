// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"packtest/itlb/trace"
)

// validation is one way of finding out that a simulator is wrong. It makes its
// model with make, which mutants replace.
type validation struct {
	name  string
	check func(simulator) error
}

// simulator runs a trace of small pages through one geometry and returns the
// misses, in the order of events: true is a miss.
type simulator func(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error)

func simulate(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
	return simulateWith(func(*Model) {}, g, p, mapping, events)
}

// simulateWith calls damage on the model before each event.
func simulateWith(damage func(*Model), g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
	pages, err := NewPageMap([]Mapping{mapping}, nil, nil, true)
	if err != nil {
		return nil, err
	}
	bank := NewBank(pages)
	m, err := bank.Model(g, p, Ignored, nil)
	if err != nil {
		return nil, err
	}
	var out []bool
	var before uint64
	for i := range events {
		damage(m)
		if err := bank.Feed(events[i : i+1]); err != nil {
			return nil, err
		}
		now := m.Misses(Cold, Kernel) + m.Misses(Warm, Kernel)
		out = append(out, now > before)
		before = now
	}
	return out, nil
}

// smallPages and largePages map the first gibibyte.
func smallPages() Mapping { return Mapping{0, 1 << 30, 4096} }
func largePages() Mapping { return Mapping{0, 1 << 30, 2 << 20} }

func fetches(list ...uint64) []trace.Event {
	var events []trace.Event
	for _, p := range list {
		events = append(events, trace.Event{Page: p, Instructions: 1})
	}
	return events
}

// validations are held against the simulator, which must pass them all, and
// against mutants of it, each of which must fail one.
func validations() []validation {
	return []validation{
		{"cyclic sweep", checkCyclic},
		{"tree-PLRU permutations", checkTree},
		{"LRU order", checkLRU},
		{"large pages", checkLarge},
	}
}

func TestSimulator(t *testing.T) {
	for _, v := range validations() {
		t.Run(v.name, func(t *testing.T) {
			if err := v.check(simulate); err != nil {
				t.Error(err)
			}
		})
	}
}

// checkCyclic holds 16 sets of 8 ways against the published shares of misses
// of a sweep in circles: N pages fill sets with N/16 each, and a set of nine
// pages misses always under LRU, so that the curve has a knee for every set.
// Tree-PLRU does the same on this sweep.
func checkCyclic(run simulator) error {
	for _, policy := range []Policy{LRU, TreePLRU} {
		for n, want := range map[int]float64{64: 0, 128: 0, 129: 7.0, 136: 52.9, 144: 100, 160: 100} {
			const warmUp, rounds = 10, 20
			missed, err := run(small(16, 8), policy, smallPages(), sweep(n, warmUp+rounds))
			if err != nil {
				return err
			}
			misses := 0
			for _, m := range missed[warmUp*n:] {
				if m {
					misses++
				}
			}
			if got := 100 * float64(misses) / float64(rounds*n); math.Abs(got-want) > 0.05 {
				return fmt.Errorf("%s, %d pages: %.1f %% misses, published %.1f %%", policy, n, got, want)
			}
		}
	}
	return nil
}

// A letter is a page; upper case is a miss.
func checkLetters(run simulator, g Geometry, p Policy, want string) error {
	var list []uint64
	for _, c := range want {
		list = append(list, uint64(c|0x20-'a'))
	}
	missed, err := run(g, p, smallPages(), fetches(list...))
	if err != nil {
		return err
	}
	got := []byte(want)
	for i, m := range missed {
		got[i] |= 0x20
		if m {
			got[i] &^= 0x20
		}
	}
	if string(got) != want {
		return fmt.Errorf("%s with %d ways: %s, by hand %s", p, g.L1.Arrays[0].Ways, got, want)
	}
	return nil
}

// checkTree holds one set against sequences worked out on paper, with the
// tree's nodes drawn. Four ways have a root r over two nodes x (ways 0, 1) and y
// (ways 2, 3); each points to where the next victim is.
//
//	ABCD   ways 0 to 3 are filled; r, x and y point left
//	E      goes left, left: way 0 (a). r and x turn right: e b c d
//	F      goes right, left: way 2 (c). r turns left, y right: e b f d
//	b      way 1: r turns right, x left
//	G      goes right, right: way 3 (d). r and y turn left: e b f g
//	e      way 0: r and x turn right
//	C      goes right, left: way 2 (f). r turns left, y right: e b c g
//	b      way 1: r turns right, x left
//	H      goes right, right: way 3 (g)
//	e      is still in way 0
//
// In "ABCDaE" LRU would drop b; the tree was turned to the right half by a, and
// drops c.
func checkTree(run simulator) error {
	for _, tc := range []struct {
		ways int
		want string
	}{
		{2, "ABaCaB"},
		{4, "ABCDEFbGeCbHe"},
		{4, "ABCDaEaC"},
		{4, "ABCDaEbaC"},
		// Eight ways: after a..h the tree points to 0; a turns it to the right half
		// (way 4, e), then I's way 4 turns it to the left half, away from a: way 2 (c).
		{8, "ABCDEFGHaIbdJaE"},
		{8, "ABCDEFGHaIJbaC"},
	} {
		if err := checkLetters(run, small(1, tc.ways), TreePLRU, tc.want); err != nil {
			return err
		}
	}
	return nil
}

// checkLRU drops what was used longest ago, and only that.
func checkLRU(run simulator) error {
	for _, tc := range []struct {
		ways int
		want string
	}{
		{1, "AaBA"},
		{2, "ABaCaB"},
		{4, "ABCDaEaB"},
		{4, "ABCDabEabC"},
		{8, "ABCDEFGHabcdefghIbcdefghA"},
		{3, "ABCcbaDbaC"},
	} {
		if err := checkLetters(run, small(1, tc.ways), LRU, tc.want); err != nil {
			return err
		}
	}
	return nil
}

// checkLarge: 1000 small pages under two large leaves take two misses, and one
// more for a page of the third leaf; neither array has room for 1000 entries.
func checkLarge(run simulator) error {
	for _, policy := range []Policy{LRU, TreePLRU} {
		events := append(sweep(1000, 3), fetches(1024)...)
		missed, err := run(small(16, 8), policy, largePages(), events)
		if err != nil {
			return err
		}
		for i, m := range missed {
			if want := i == 0 || i == 512 || i == 3000; m != want {
				return fmt.Errorf("%s: event %d under a large leaf: miss is %v", policy, i, m)
			}
		}
	}
	return nil
}

// TestMutants breaks the simulator in one place at a time: some validation must
// notice each.
func TestMutants(t *testing.T) {
	swap := map[Policy]Policy{LRU: TreePLRU, TreePLRU: LRU}
	with := func(damage func(*Model)) simulator {
		return func(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
			return simulateWith(damage, g, p, mapping, events)
		}
	}
	mutants := map[string]simulator{
		"set index: a bit higher": func(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
			shifted := make([]trace.Event, len(events))
			for i, e := range events {
				// The lowest bit becomes one above the index.
				e.Page = e.Page>>1 | e.Page&1<<12
				shifted[i] = e
			}
			return simulate(g, p, mapping, shifted)
		},
		"set index: always the first": func(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
			return simulateWith(func(m *Model) {
				for _, c := range m.cpus {
					c.l1.arrays = []Array{{Pages: "4k", Sets: 1}, {Pages: "large", Sets: 1}}
				}
			}, g, p, mapping, events)
		},
		"policy: the other one": func(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
			return simulate(g, swap[p], mapping, events)
		},
		"policy: tree bits stuck": with(func(m *Model) {
			for _, c := range m.cpus {
				clear(c.l1.tree)
			}
		}),
		"policy: first in, first out": fifo,
		"page size: small for large": func(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
			mapping.PageBytes = trace.PageBytes
			return simulate(g, p, mapping, events)
		},
		"page size: large for small": func(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
			mapping.PageBytes = 2 << 20
			return simulate(g, p, mapping, events)
		},
		"page size: the arrays exchanged": func(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
			g.L1.Arrays = []Array{{Pages: "large", Sets: g.L1.Arrays[0].Sets, Ways: g.L1.Arrays[0].Ways}, {Pages: "4k", Sets: 1, Ways: 1}}
			return simulate(g, p, mapping, events)
		},
		"a way less": func(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
			if w := g.L1.Arrays[0].Ways / 2; w > 0 {
				g.L1.Arrays = []Array{{Pages: "4k", Sets: g.L1.Arrays[0].Sets, Ways: w}, {Pages: "large", Sets: 1, Ways: w}}
			}
			return simulate(g, p, mapping, events)
		},
		"nothing is ever held": with(func(m *Model) {
			for _, c := range m.cpus {
				c.l1.flush(nil)
			}
		}),
	}
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			var found []error
			for _, v := range validations() {
				if err := v.check(mutant); err != nil {
					found = append(found, fmt.Errorf("%s: %w", v.name, err))
				}
			}
			if len(found) == 0 {
				t.Error("every validation passes")
			}
			t.Log(errors.Join(found...))
		})
	}
}

// fifo is a simulator whose hits change nothing: it remembers the state of the
// policy before each event and puts it back after a hit.
func fifo(g Geometry, p Policy, mapping Mapping, events []trace.Event) ([]bool, error) {
	var head []int32
	var slots []slot
	var tree []uint64
	var misses uint64
	return simulateWith(func(m *Model) {
		if len(m.cpus) == 0 {
			return
		}
		l := m.cpus[0].l1
		if now := m.Misses(Cold, Kernel); now == misses {
			copy(l.head, head)
			copy(l.tree, tree)
			copy(l.slots, slots)
		} else {
			misses = now
		}
		head, slots, tree = append([]int32{}, l.head...), append([]slot{}, l.slots...), append([]uint64{}, l.tree...)
	}, g, p, mapping, events)
}
