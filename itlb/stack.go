// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"math"
	"slices"
)

// stack is one LRU stack in the sense of Mattson, Gecsei, Slutz and Traiger
// ("Evaluation techniques for storage hierarchies", IBM Systems Journal 9/2,
// 1970): an access at distance d hits in every LRU array of d entries or more
// and misses in every smaller one, so that one pass gives all capacities. It
// shares nothing with level, which it is a check of.
//
// Positions are kept as the times of last uses, with a Fenwick tree over them
// to count (Bennett and Kruskal, "LRU stack processing", IBM Journal of
// Research and Development 19/4, 1975): an access costs the logarithm of the
// number of translations.
//
// A flushed translation leaves a hole where it was: arrays large enough to have
// held it have an empty entry, smaller ones have not. The next access fills the
// hole nearest to the top unless it hits above; in arrays that hit further down
// the hole stays empty, and so it moves there.
type stack struct {
	last  []int32 // by tag: the time of its last use, or never
	owner []int32 // by time: the tag that was last used then, hole or nobody
	count []int32 // Fenwick tree over the times that have an owner
	now   int32   // the next time
	live  int32   // times that have an owner
	holes []int32 // their times, rising
}

const (
	never  = -1
	nobody = -1
	hole   = -2
)

// access uses a translation and returns its distance, from 1, or 0 if no array
// holds it, however large.
func (s *stack) access(tag uint32) int {
	if int(s.now) == len(s.owner) {
		s.compact()
	}
	for int(tag) >= len(s.last) {
		s.last = append(s.last, never)
	}
	before, distance := s.last[tag], int32(0)
	if before != never {
		distance = s.live - s.upTo(before) + 1
	}
	if n := len(s.holes); n > 0 && s.holes[n-1] > before {
		s.clear(s.holes[n-1])
		s.holes = s.holes[:n-1]
		if before != never {
			s.dig(before)
		}
	} else if before != never {
		s.clear(before)
	}
	s.set(s.now, int32(tag))
	s.last[tag] = s.now
	s.now++
	return int(distance)
}

// drop flushes what keep is false for, or everything.
func (s *stack) drop(keep func(tag int32) bool) {
	for tag, t := range s.last {
		if t != never && (keep == nil || !keep(int32(tag))) {
			s.last[tag] = never
			s.dig(t)
		}
	}
}

// dig makes a hole of the time t.
func (s *stack) dig(t int32) {
	s.owner[t] = hole
	at, _ := slices.BinarySearch(s.holes, t)
	s.holes = slices.Insert(s.holes, at, t)
}

func (s *stack) set(t, tag int32) {
	s.owner[t] = tag
	s.live++
	s.add(t, 1)
}

func (s *stack) clear(t int32) {
	s.owner[t] = nobody
	s.live--
	s.add(t, -1)
}

func (s *stack) add(t, by int32) {
	for i := int(t); i < len(s.count); i |= i + 1 {
		s.count[i] += by
	}
}

// upTo counts the owned times up to t.
func (s *stack) upTo(t int32) int32 {
	var n int32
	for i := int(t); i >= 0; i = i&(i+1) - 1 {
		n += s.count[i]
	}
	return n
}

// compact numbers the times anew, in their order, and makes room for at least
// as many as are in use.
func (s *stack) compact() {
	old := s.owner
	size := max(1024, 2*int(s.live))
	if size > len(old) {
		s.owner, s.count = make([]int32, size), make([]int32, size)
	} else {
		s.owner = make([]int32, len(old))
		clear(s.count)
	}
	for i := range s.owner {
		s.owner[i] = nobody
	}
	s.now, s.live, s.holes = 0, 0, s.holes[:0]
	for _, tag := range old {
		if tag == nobody {
			continue
		}
		s.set(s.now, tag)
		if tag == hole {
			s.holes = append(s.holes, s.now)
		} else {
			s.last[tag] = s.now
		}
		s.now++
	}
}

// Curve is how many misses LRU arrays of every number of ways would have had,
// for one number of sets: with one set, fully associative arrays of every
// capacity. It holds translations of every size alike.
type Curve struct {
	Sets    int
	Bound   Bound
	Mapping string // AsIs or a Remap's name

	view   *view
	stacks [][]stack // by CPU and set
	// distances counts accesses by lap, part and distance; 0 is infinite.
	distances [laps][parts][]uint64
	// farthest is the greatest distance of an access to each page, by lap.
	farthest [laps][]int
}

func (c *Curve) run(batch []access, lap Lap, part []Part) {
	for i := range laps {
		c.farthest[i] = grow(c.farthest[i], len(part))
	}
	for _, a := range batch {
		for int(a.cpu) >= len(c.stacks) {
			c.stacks = append(c.stacks, make([]stack, c.Sets))
		}
		stacks := c.stacks[a.cpu]
		switch a.op {
		case opFetch:
			tag := c.view.tagOf[a.page]
			set := c.view.list[tag].number & uint64(c.Sets-1)
			d := stacks[set].access(tag)
			h := &c.distances[lap][part[a.page]]
			if d >= len(*h) {
				*h = grow(*h, 2*d+1)
			}
			(*h)[d]++
			if d == 0 {
				d = math.MaxInt
			}
			c.farthest[lap][a.page] = max(c.farthest[lap][a.page], d)
		case opFlush:
			c.flush(stacks, a)
		case opLap:
			lap = Warm
		}
	}
}

func (c *Curve) flush(stacks []stack, a access) {
	var keep func(int32) bool
	switch c.Bound.drops(flushKind(a)) {
	case dropsNothing:
		return
	case dropsNonGlobal:
		keep = func(tag int32) bool { return c.view.list[tag].global }
	}
	for i := range stacks {
		stacks[i].drop(keep)
	}
}

// Misses returns how many fetches from a part would have missed with that many
// ways in each set.
func (c *Curve) Misses(lap Lap, part Part, ways int) uint64 {
	var n uint64
	for d, v := range c.distances[lap][part] {
		if d == 0 || d > ways {
			n += v
		}
	}
	return n
}

// Distances returns how many fetches from a part there were at each stack
// distance; the first element counts those that no capacity would have held.
func (c *Curve) Distances(lap Lap, part Part) []uint64 {
	d := c.distances[lap][part]
	for len(d) > 0 && d[len(d)-1] == 0 {
		d = d[:len(d)-1]
	}
	return slices.Clone(d)
}
