// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"packtest/itlb/trace"
)

// Window is what the guest said of one traced window.
type Window struct {
	Form   string // who calls the programs
	Loaded int    // programs loaded
	Hot    int    // programs that run, each once a round
	Rounds int    // at least 2: the first is cold, the others warm
	Runs   uint64 // in all
	// Kernel and User is what could be executed.
	Kernel, User []Mapping
	// Images is the code of every loaded program.
	Images []Image
	// KernelGlobal says that the kernel's translations are global ones, which
	// FlushNonGlobal leaves: x86_64 without page-table isolation.
	KernelGlobal bool
}

// Source gives the events of one window, a batch at a time, and io.EOF at the
// end.
type Source interface {
	Read([]trace.Event) (int, error)
}

// Options says what to make of a window.
type Options struct {
	// Geometries to simulate, each with every policy it can have.
	Geometries []Geometry
	// KnownPolicy leaves out the policies that a geometry is not known to have.
	KnownPolicy bool
	// Remaps are what-ifs, simulated with each geometry's known policy.
	Remaps []Remap
}

// Result is what there is to say of one window.
type Result struct {
	Window
	Trace  Trace
	Models []*Model
	// Curves are fully associative LRU arrays of every capacity, for each mapping
	// and bound.
	Curves []*Curve

	bank *Bank
}

// Trace is what is counted in a trace, without a model of a TLB.
type Trace struct {
	// Pages is how many distinct 4 KiB pages were fetched from, by Part.
	Pages [parts]int
	// Translations is how many distinct page-table leaves mapped them: the
	// entries that a TLB needs to hold everything. Every Part for itself; a
	// large leaf that is used by two counts in both.
	Translations [parts]Leaves
	// AllTranslations counts each once.
	AllTranslations Leaves
	// Fetches counts the arrivals at a page from another, by Lap and Part.
	Fetches [laps][parts]uint64
	// Instructions executed, by Lap.
	Instructions [laps]uint64
	// Flushes counts by trace.FlushKind.
	Flushes map[trace.FlushKind]uint64
	Events  uint64
}

// Leaves counts page-table leaves: of 4 KiB, and larger ones.
type Leaves struct{ Small, Large int }

func (l *Leaves) count(t translation) {
	if t.large() {
		l.Large++
	} else {
		l.Small++
	}
}

// Analyse reads one window's events and makes everything of them in one pass.
// It fails if the events can't be of this window: a fetch from memory that was
// not mapped (ErrOtherKernel), another number of rounds, fewer visits to BPF
// pages than programs ran, a program that ran and was never fetched from.
func Analyse(w Window, events Source, opt Options) (*Result, error) {
	if w.Rounds < 2 || w.Hot < 1 || w.Runs != uint64(w.Rounds)*uint64(w.Hot) {
		return nil, fmt.Errorf("%d runs of %d programs in %d rounds: it must be two rounds at least, and every program once in each", w.Runs, w.Hot, w.Rounds)
	}
	pages, err := NewPageMap(w.Kernel, w.User, w.Images, w.KernelGlobal)
	if err != nil {
		return nil, err
	}
	r := &Result{Window: w, bank: NewBank(pages)}
	if err := r.prepare(opt); err != nil {
		return nil, err
	}
	buf := make([]trace.Event, batchLen)
	for {
		n, err := events.Read(buf)
		if ferr := r.bank.Feed(buf[:n]); ferr != nil {
			return nil, ferr
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the trace: %w", err)
		}
	}
	r.Trace = r.bank.trace()
	return r, r.check()
}

// prepare adds all that is to be simulated.
func (r *Result) prepare(opt Options) error {
	add := func(g Geometry, p Policy, remap *Remap) error {
		for _, bound := range []Bound{Ignored, Full} {
			m, err := r.bank.Model(g, p, bound, remap)
			if err != nil {
				return err
			}
			r.Models = append(r.Models, m)
		}
		return nil
	}
	for _, g := range opt.Geometries {
		for _, p := range []Policy{LRU, TreePLRU} {
			if p != g.known() && (opt.KnownPolicy || p == TreePLRU && !g.L1.hasTree()) {
				continue
			}
			if err := add(g, p, nil); err != nil {
				return err
			}
		}
	}
	remaps := []*Remap{nil}
	for i := range opt.Remaps {
		remaps = append(remaps, &opt.Remaps[i])
	}
	for _, remap := range remaps {
		if remap != nil {
			for _, g := range opt.Geometries {
				if err := add(g, g.known(), remap); err != nil {
					return err
				}
			}
		}
		for _, bound := range []Bound{Ignored, Full} {
			c, err := r.bank.Curve(1, bound, remap)
			if err != nil {
				return err
			}
			r.Curves = append(r.Curves, c)
		}
	}
	return nil
}

// check holds the trace against what the guest said.
func (r *Result) check() error {
	if rounds := r.bank.laps + 1; rounds != r.Rounds {
		return fmt.Errorf("the trace has %d rounds, the guest's window %d", rounds, r.Rounds)
	}
	for lap := Cold; lap <= Warm; lap++ {
		if r.Trace.Instructions[lap] == 0 {
			return fmt.Errorf("the trace counts no instructions in its %s rounds", lap)
		}
	}
	if bpf := r.Trace.Fetches[Cold][BPF] + r.Trace.Fetches[Warm][BPF]; bpf < r.Runs {
		return fmt.Errorf("programs ran %d times, but their pages were entered only %d times: %w", r.Runs, bpf, ErrOtherKernel)
	}
	seen := map[uint32]bool{}
	for _, im := range r.Images {
		if im.Hot && !seen[im.ID] {
			seen[im.ID] = false
		}
	}
	if len(seen) != r.Hot {
		return fmt.Errorf("%d programs run in the window, but code is known of %d", r.Hot, len(seen))
	}
	for _, page := range r.bank.list {
		for _, im := range r.bank.pages.images[page] {
			if im.Hot {
				seen[im.ID] = true
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		if !seen[id] {
			return fmt.Errorf("program %d ran, but nothing was fetched from its pages: %w", id, ErrOtherKernel)
		}
	}
	return nil
}

// trace sums up what was counted.
func (b *Bank) trace() Trace {
	t := Trace{Instructions: b.instructions, Events: b.events, Flushes: map[trace.FlushKind]uint64{}}
	for k := trace.FlushAll; k <= trace.LastFlush; k++ {
		t.Flushes[k] = b.flushes[k]
	}
	v := b.views[asIs]
	for _, leaf := range v.list {
		t.AllTranslations.count(leaf)
	}
	type use struct {
		part Part
		tag  uint32
	}
	used := map[use]bool{}
	for id := range b.list {
		part := b.part[id]
		t.Pages[part]++
		if u := (use{part, v.tagOf[id]}); !used[u] {
			used[u] = true
			t.Translations[part].count(v.list[u.tag])
		}
		for lap := range laps {
			t.Fetches[lap][part] += b.fetches[lap][id]
		}
	}
	return t
}

// LapRuns returns how many times programs ran in a lap.
func (r *Result) LapRuns(lap Lap) uint64 {
	if lap == Cold {
		return uint64(r.Hot)
	}
	return r.Runs - uint64(r.Hot)
}

// Misses returns a model's first-level misses on fetches from a part.
func (m *Model) Misses(lap Lap, part Part) uint64 { return m.sum(m.misses[lap], part) }

// Walks returns how many of the misses the second level could not serve. Where
// it also holds translations of data, a trace knows too little for it to mean
// much.
func (m *Model) Walks(lap Lap, part Part) uint64 { return m.sum(m.walks[lap], part) }

func (m *Model) sum(counts []uint32, part Part) uint64 {
	var n uint64
	for id, c := range counts {
		if m.part[id] == part {
			n += uint64(c)
		}
	}
	return n
}

// ProgramCount is something counted for one program. A trace knows pages: what
// happens on a page where several of the programs that run have code is put
// down to each of them, as Shared.
type ProgramCount struct {
	ID          uint32
	Own, Shared uint64
}

// Programs puts fetches down to the programs that ran, in the order of IDs.
func (r *Result) Programs(lap Lap) []ProgramCount {
	return byProgram(r.bank, r.bank.fetches[lap])
}

// ProgramMisses puts a model's first-level misses down to the programs that ran.
func (r *Result) ProgramMisses(m *Model, lap Lap) []ProgramCount {
	return byProgram(r.bank, m.misses[lap])
}

// ProgramsMissing returns how many of the programs that ran have a page on which
// a model missed in the warm rounds.
func (r *Result) ProgramsMissing(m *Model) int {
	return r.bank.programsOn(func(id int) bool { return m.misses[Warm][id] > 0 })
}

// ProgramsMissingAt returns the same for a fully associative LRU TLB of so many
// entries, if c has one set.
func (r *Result) ProgramsMissingAt(c *Curve, entries int) int {
	return r.bank.programsOn(func(id int) bool { return c.farthest[Warm][id] > entries })
}

// programsOn counts the programs that ran and have code on one of those pages.
func (b *Bank) programsOn(pages func(id int) bool) int {
	programs := map[uint32]bool{}
	for id, page := range b.list {
		if !pages(id) {
			continue
		}
		for _, im := range b.pages.images[page] {
			if im.Hot {
				programs[im.ID] = true
			}
		}
	}
	return len(programs)
}

func byProgram[N uint32 | uint64](b *Bank, counts []N) []ProgramCount {
	sums := map[uint32]ProgramCount{}
	for id, n := range counts {
		hot := map[uint32]bool{}
		for _, im := range b.pages.images[b.list[id]] {
			if im.Hot {
				hot[im.ID] = true
			}
		}
		for program := range hot {
			c := sums[program]
			c.ID = program
			if len(hot) == 1 {
				c.Own += uint64(n)
			} else {
				c.Shared += uint64(n)
			}
			sums[program] = c
		}
	}
	list := make([]ProgramCount, 0, len(sums))
	for _, id := range slices.Sorted(maps.Keys(sums)) {
		list = append(list, sums[id])
	}
	return list
}
