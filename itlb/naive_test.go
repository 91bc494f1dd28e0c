// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"slices"

	"packtest/itlb/trace"
)

// naive is a TLB written to be believed: sets are lists of page numbers, a tree
// is a tree. It shares no code and no table with level.
type naive struct {
	arrays map[bool]*naiveArray // by large
}

type naiveArray struct {
	array Array
	sets  map[uint64]*naiveSet
	tree  bool
}

// naiveSet: under LRU entries are in the order of use, the last one first.
// Under tree-PLRU entries are ways, nil if empty.
type naiveSet struct {
	used []naiveEntry
	ways []*naiveEntry
	root *naiveNode
}

type naiveEntry struct {
	number uint64
	bytes  uint64
	global bool
}

type naiveNode struct {
	left, right *naiveNode // nil in a leaf
	way         int        // of a leaf
	toRight     bool       // where the next victim is
}

func newNaive(l Level) *naive {
	n := &naive{arrays: map[bool]*naiveArray{}}
	for _, a := range l.Arrays {
		arr := &naiveArray{array: a, sets: map[uint64]*naiveSet{}, tree: l.Policy == TreePLRU}
		if a.Pages != "large" {
			n.arrays[false] = arr
		}
		if a.Pages != "4k" {
			n.arrays[true] = arr
		}
	}
	return n
}

func naiveTree(from, to int) *naiveNode {
	if to-from == 1 {
		return &naiveNode{way: from}
	}
	mid := (from + to) / 2
	return &naiveNode{left: naiveTree(from, mid), right: naiveTree(mid, to)}
}

// point turns every node on the way to a leaf away from it; it says whether the
// leaf is below.
func (n *naiveNode) point(way int) bool {
	switch {
	case n.left == nil:
		return n.way == way
	case n.left.point(way):
		n.toRight = true
		return true
	case n.right.point(way):
		n.toRight = false
		return true
	}
	return false
}

func (n *naiveNode) victim() int {
	switch {
	case n.left == nil:
		return n.way
	case n.toRight:
		return n.right.victim()
	}
	return n.left.victim()
}

// access returns true on a hit.
func (n *naive) access(e naiveEntry) bool {
	a := n.arrays[e.bytes > 1<<16]
	if a == nil {
		return false
	}
	index := e.number % uint64(a.array.Sets)
	if a.array.Index == "xor" {
		index = (e.number % uint64(a.array.Sets)) ^ (e.number / uint64(a.array.Sets) % uint64(a.array.Sets))
	}
	set := a.sets[index]
	if set == nil {
		set = &naiveSet{ways: make([]*naiveEntry, a.array.Ways), root: naiveTree(0, a.array.Ways)}
		a.sets[index] = set
	}
	if !a.tree {
		i := slices.Index(set.used, e)
		hit := i >= 0
		if hit {
			set.used = slices.Delete(set.used, i, i+1)
		} else if len(set.used) == a.array.Ways {
			set.used = set.used[:len(set.used)-1]
		}
		set.used = slices.Insert(set.used, 0, e)
		return hit
	}
	way := slices.IndexFunc(set.ways, func(w *naiveEntry) bool { return w != nil && *w == e })
	hit := way >= 0
	if !hit {
		if way = slices.Index(set.ways, nil); way < 0 {
			way = set.root.victim()
		}
		set.ways[way] = &e
	}
	set.root.point(way)
	return hit
}

func (n *naive) flush(keepGlobal bool) {
	for _, a := range n.arrays {
		for _, s := range a.sets {
			s.used = slices.DeleteFunc(s.used, func(e naiveEntry) bool { return !keepGlobal || !e.global })
			for i, w := range s.ways {
				if w != nil && (!keepGlobal || !w.global) {
					s.ways[i] = nil
				}
			}
		}
	}
}

// naiveMisses runs a trace through naive TLBs, one for each CPU, and returns
// the misses of both levels by page, cold and warm together.
func naiveMisses(g Geometry, bound Bound, pages *PageMap, events []trace.Event) (misses, walks map[uint64]int) {
	type two struct{ l1, l2 *naive }
	cpus := map[uint8]two{}
	misses, walks = map[uint64]int{}, map[uint64]int{}
	for _, e := range events {
		c, ok := cpus[e.CPU]
		if !ok {
			c = two{newNaive(g.L1), newNaive(g.L2)}
			cpus[e.CPU] = c
		}
		switch e.Kind {
		case trace.Fetch:
			entry := naiveTranslate(pages, e.Page, g.Coalesce)
			if c.l1.access(entry) {
				continue
			}
			misses[e.Page]++
			if len(g.L2.Arrays) > 0 && !c.l2.access(entry) {
				walks[e.Page]++
			}
		case trace.Flush:
			switch k := trace.FlushKind(e.Page); {
			case k == trace.FlushSpace:
			case k == trace.FlushAll, k != trace.FlushNonGlobal && bound == Full:
				c.l1.flush(false)
				c.l2.flush(false)
			case k == trace.FlushNonGlobal:
				c.l1.flush(true)
				c.l2.flush(true)
			}
		}
	}
	return misses, walks
}

// naiveTranslate looks through all mappings.
func naiveTranslate(p *PageMap, page uint64, coalesce bool) naiveEntry {
	for _, m := range p.mappings {
		addr := page * 4096
		if addr < m.Start || addr >= m.End {
			continue
		}
		e := naiveEntry{number: addr / m.PageBytes, bytes: m.PageBytes, global: p.global && !m.user}
		if coalesce && m.PageBytes == 4096 && addr/16384*16384 >= m.Start && addr/16384*16384+16384 <= m.End {
			e.number, e.bytes = addr/16384, 16384
		}
		return e
	}
	panic("not mapped")
}
