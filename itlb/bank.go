// SPDX-License-Identifier: GPL-2.0-or-later

// Package itlb says what an instruction TLB would have made of a trace of
// fetched pages: it simulates known cores and sweeps over capacities, and puts
// each miss down to the BPF programs, the kernel or the process whose code was
// fetched. How a trace is recorded is for itlb/plugin and itlb/trace, what is
// shown of the results for reports.
//
// What is counted (Trace) and what a model says (Model, Curve) are kept apart.
// docs/itlb.md tells what the models leave out.
package itlb

import (
	"fmt"

	"packtest/itlb/trace"
)

// Bank feeds one trace to any number of models and curves in one pass. Add
// them first, then feed.
type Bank struct {
	pages  *PageMap
	views  []*view
	models []*Model
	curves []*Curve

	ids  table
	list []uint64 // pages by their dense number
	part []Part   // of each
	cpus int
	lap  Lap
	// counted, without any model
	laps         int
	events       uint64
	fetches      [laps][]uint64 // by page
	instructions [laps]uint64
	flushes      [trace.LastFlush + 1]uint64

	batch []access
}

// batchLen is how many events go to each model at a time: few enough to stay
// in the nearest cache together with what the model touches.
const batchLen = 1024

// asIs is the view that a bank always has: what the page tables say.
const asIs = 0

// NewBank returns a bank without models.
func NewBank(pages *PageMap) *Bank {
	return &Bank{pages: pages, batch: make([]access, batchLen),
		views: []*view{asIs: {tags: map[translation]uint32{}}}}
}

// view returns the bank's view of this kind.
func (b *Bank) view(remap *Remap, coalesce bool) (*view, error) {
	for _, v := range b.views {
		if v.remap == remap && v.coalesce == coalesce {
			return v, nil
		}
	}
	if remap != nil && !leaf(remap.PageBytes) {
		return nil, fmt.Errorf("remap %s: pages of %d bytes", remap.Name, remap.PageBytes)
	}
	v := &view{remap: remap, coalesce: coalesce, tags: map[translation]uint32{}}
	b.views = append(b.views, v)
	return v, nil
}

// Model adds a geometry with a policy for its first level. remap is nil for
// what the page tables say.
func (b *Bank) Model(g Geometry, p Policy, bound Bound, remap *Remap) (*Model, error) {
	g = g.with(p)
	if err := g.Validate(); err != nil {
		return nil, err
	}
	v, err := b.view(remap, g.Coalesce)
	if err != nil {
		return nil, err
	}
	m := &Model{Geometry: g, Policy: p, Bound: bound, Mapping: v.name(), view: v}
	b.models = append(b.models, m)
	return m, nil
}

// Curve adds a sweep over the ways of LRU arrays with that many sets. remap is
// nil for what the page tables say.
func (b *Bank) Curve(sets int, bound Bound, remap *Remap) (*Curve, error) {
	if sets < 1 || sets > maxSets || sets&(sets-1) != 0 {
		return nil, fmt.Errorf("curve over %d sets; it must be a power of two up to %d", sets, maxSets)
	}
	v, err := b.view(remap, false)
	if err != nil {
		return nil, err
	}
	c := &Curve{Sets: sets, Bound: bound, Mapping: v.name(), view: v}
	b.curves = append(b.curves, c)
	return c, nil
}

// Feed takes the next events of the trace. After an error the bank is of no
// more use.
func (b *Bank) Feed(events []trace.Event) error {
	for len(events) > 0 {
		n := min(len(events), batchLen)
		lap := b.lap
		if err := b.resolve(events[:n]); err != nil {
			return err
		}
		for _, m := range b.models {
			m.room(b.part, b.cpus)
			m.run(b.batch[:n], lap)
		}
		for _, c := range b.curves {
			c.run(b.batch[:n], lap, b.part)
		}
		events = events[n:]
	}
	return nil
}

// resolve fills the batch from events, and counts what takes no model.
func (b *Bank) resolve(events []trace.Event) error {
	fetches, instructions := b.fetches[b.lap], uint64(0)
	for i := range events {
		e := &events[i]
		b.cpus = max(b.cpus, int(e.CPU)+1)
		a := access{cpu: e.CPU}
		switch e.Kind {
		case trace.Fetch:
			id, ok := b.ids.find(e.Page)
			if !ok {
				var err error
				if id, err = b.discover(e.Page); err != nil {
					return fmt.Errorf("event %d: %w", b.events+uint64(i), err)
				}
				fetches = b.fetches[b.lap]
			}
			a.page = id
			fetches[id]++
			instructions += uint64(e.Instructions)
		case trace.Flush:
			if k := trace.FlushKind(e.Page); k < trace.FlushAll || k > trace.LastFlush {
				return fmt.Errorf("event %d: no flush of kind %d", b.events+uint64(i), e.Page)
			}
			a.op, a.page = opFlush, uint32(e.Page)
			b.flushes[e.Page]++
		case trace.Lap:
			a.op = opLap
			b.instructions[b.lap] += instructions
			b.laps++
			b.lap, instructions = Warm, 0
			fetches = b.fetches[b.lap]
		default:
			return fmt.Errorf("event %d: no kind %d", b.events+uint64(i), e.Kind)
		}
		b.batch[i] = a
	}
	b.instructions[b.lap] += instructions
	b.events += uint64(len(events))
	return nil
}

// discover gives a page that was not fetched before its number.
func (b *Bank) discover(page uint64) (uint32, error) {
	m, ok := b.pages.find(page)
	if !ok {
		return 0, fmt.Errorf("fetch from page %#x, which nothing maps: %w", page*trace.PageBytes, ErrOtherKernel)
	}
	part := b.pages.part(page, m)
	id := uint32(len(b.list))
	b.list = append(b.list, page)
	b.part = append(b.part, part)
	for i := range laps {
		b.fetches[i] = append(b.fetches[i], 0)
	}
	for _, v := range b.views {
		v.add(b.pages, page, m, part)
	}
	b.ids.put(page, id)
	return id, nil
}

// table is a hash table from pages to their dense numbers. It exists because
// it is looked up for every event, which a map is several times too slow for.
type table struct {
	cells []cell // a power of two, at most half of them taken
	used  int
	shift uint
}

type cell struct {
	page uint64
	id   uint32 // + 1; 0 is free
}

// at returns the cell of a page, or the free one where it would be.
func (t *table) at(page uint64) *cell {
	// Fibonacci hashing: the high bits of the product depend on all of page.
	i := page * 0x9e3779b97f4a7c15 >> t.shift
	for {
		c := &t.cells[i]
		if c.page == page || c.id == 0 {
			return c
		}
		i = (i + 1) & uint64(len(t.cells)-1)
	}
}

func (t *table) find(page uint64) (uint32, bool) {
	if len(t.cells) == 0 {
		return 0, false
	}
	c := t.at(page)
	return c.id - 1, c.id != 0
}

func (t *table) put(page uint64, id uint32) {
	if 2*t.used >= len(t.cells) {
		old := t.cells
		bits := uint(10)
		for 1<<bits < 4*t.used {
			bits++
		}
		t.cells, t.shift = make([]cell, 1<<bits), 64-bits
		for _, c := range old {
			if c.id != 0 {
				*t.at(c.page) = c
			}
		}
	}
	*t.at(page) = cell{page, id + 1}
	t.used++
}
