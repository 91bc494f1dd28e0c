// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import "packtest/itlb/trace"

// Bound says what a simulator makes of a flush that the trace knows too little
// of: an instruction whose operands were not seen, or that drops a page which
// the trace doesn't name. Under LRU, Full is an upper bound of misses; Ignored is
// a lower one unless a dropped entry makes room for another that is needed sooner.
type Bound string

const (
	// Ignored: it drops nothing.
	Ignored Bound = "ignored"
	// Full: it drops everything.
	Full Bound = "full"
)

// dropped says what a flush drops under a bound.
type dropped uint8

const (
	dropsNothing dropped = iota
	dropsNonGlobal
	dropsAll
)

func (b Bound) drops(k trace.FlushKind) dropped {
	switch {
	case k == trace.FlushAll:
		return dropsAll
	case k == trace.FlushNonGlobal:
		return dropsNonGlobal
	case k == trace.FlushSpace:
		return dropsNothing
	case b == Full:
		return dropsAll
	}
	return dropsNothing
}

// Lap tells the first round, which begins with an empty TLB, from the others.
type Lap uint8

const (
	Cold Lap = iota
	Warm
	laps = int(iota)
)

func (l Lap) String() string { return [...]string{"cold", "warm"}[l] }

// Model is what one TLB makes of a trace. A page is counted by its dense
// number, so that misses can be put down to whoever's code it holds.
type Model struct {
	Geometry Geometry
	Policy   Policy // of the first level
	Bound    Bound
	Mapping  string // AsIs or a Remap's name

	view   *view
	part   []Part // by page
	cpus   []*cpu
	misses [laps][]uint32 // of the first level, by page
	walks  [laps][]uint32 // of the second as well
}

// cpu is one virtual CPU's TLB.
type cpu struct{ l1, l2 *level }

// access is an event as models see it.
type access struct {
	page uint32 // its dense number; of a flush, its trace.FlushKind
	cpu  uint8
	op   op
}

type op uint8

const (
	opFetch op = iota
	opFlush
	opLap
)

func flushKind(a access) trace.FlushKind { return trace.FlushKind(a.page) }

// room makes room for the pages and CPUs that the next accesses speak of.
func (m *Model) room(part []Part, cpus int) {
	m.part = part
	for i := range laps {
		m.misses[i] = grow(m.misses[i], len(part))
		m.walks[i] = grow(m.walks[i], len(part))
	}
	for len(m.cpus) < cpus {
		c := &cpu{l1: newLevel(m.Geometry.L1)}
		if len(m.Geometry.L2.Arrays) > 0 {
			c.l2 = newLevel(m.Geometry.L2)
		}
		m.cpus = append(m.cpus, c)
	}
	for _, c := range m.cpus {
		for _, t := range m.view.list[len(c.l1.refs):] {
			c.l1.add(t)
			if c.l2 != nil {
				c.l2.add(t)
			}
		}
	}
}

func grow[T any](s []T, n int) []T {
	if n > len(s) {
		s = append(s, make([]T, n-len(s))...)
	}
	return s
}

// run simulates a batch that begins in lap.
func (m *Model) run(batch []access, lap Lap) {
	tagOf, misses, walks := m.view.tagOf, m.misses[lap], m.walks[lap]
	for _, a := range batch {
		c := m.cpus[a.cpu]
		switch a.op {
		case opFetch:
			tag := tagOf[a.page]
			if c.l1.access(tag) {
				continue
			}
			misses[a.page]++
			if c.l2 != nil && !c.l2.access(tag) {
				walks[a.page]++
			}
		case opFlush:
			m.flush(c, flushKind(a))
		case opLap:
			lap = Warm
			misses, walks = m.misses[lap], m.walks[lap]
		}
	}
}

func (m *Model) flush(c *cpu, k trace.FlushKind) {
	var keep func(int32) bool
	switch m.Bound.drops(k) {
	case dropsNothing:
		return
	case dropsNonGlobal:
		keep = func(tag int32) bool { return m.view.list[tag].global }
	}
	c.l1.flush(keep)
	if c.l2 != nil {
		c.l2.flush(keep)
	}
}
