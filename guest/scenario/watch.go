// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/wire"
)

// watch looks at all executable memory again and again, and holds it against
// package oracle's rules.
type watch struct {
	env    *Env
	core   *probe.Core
	tables *probe.PageTableFile
	text   oracle.Text
	// top is where x86_64's page table is; 0 on other architectures.
	top uint64
	// locked is how much of the direct map could not be written when the watch
	// began, in bytes; 0 where that says nothing of code.
	locked int64
	// before is executable memory as it was when the watch began, by address.
	before map[uint64]oracle.Span
	// code is that of every function when it was first seen.
	code map[oracle.Function]oracle.Span
	// patched are programs whose code changes with what they call.
	patched map[uint32]bool
	moments []oracle.Mapped
	// told is how much was reported, by the title of the findings: one of each is
	// enough, until there is more of it.
	told  map[string]wire.Extent
	looks int
}

func newWatch(ctx context.Context, env *Env) (_ *watch, err error) {
	w := &watch{env: env, before: map[uint64]oracle.Span{}, code: map[oracle.Function]oracle.Span{},
		patched: map[uint32]bool{}, told: map[string]wire.Extent{}}
	if w.text, err = oracle.TextOf(env.Arch); err != nil {
		return nil, err
	}
	if w.core, err = env.Kernel.Core(); err != nil {
		return nil, err
	}
	if w.tables, err = env.Kernel.OpenPageTable(); err != nil {
		return nil, errors.Join(err, w.core.Close())
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if oracle.AliasPromised(env.Arch) {
		if err := env.findSymbols(); err != nil {
			return nil, err
		}
		w.top = env.pageTable
	}
	if err := w.ownerless(ctx); err != nil {
		return nil, err
	}
	areas, table, err := w.memory()
	if err != nil {
		return nil, err
	}
	w.locked = w.directMap(table)
	for _, a := range oracle.Executable(areas, table) {
		s, err := w.span(a.Start, a.Bytes())
		if err != nil {
			return nil, err
		}
		w.before[a.Start] = s
	}
	return w, nil
}

func (w *watch) close() error { return errors.Join(w.core.Close(), w.tables.Close()) }

// report reports findings, each title once, and again where cases are counted and
// there are half as many again, or some about something else: what another kernel
// shows as well may hide what it doesn't.
func (w *watch) report(list []wire.Finding) {
	for _, f := range list {
		if w.isNew(f) {
			told := w.told[f.Title]
			told.Add(f.Evidence, f.Cases)
			w.told[f.Title] = told
			w.env.Report.Finding(f)
		}
	}
}

func (w *watch) isNew(f wire.Finding) bool {
	told, ok := w.told[f.Title]
	return !ok || f.Cases > 0 && (f.Cases > told.Cases+told.Cases/2 || !told.Covers(f.Evidence))
}

func (w *watch) wasTold(title string) bool {
	_, ok := w.told[title]
	return ok
}

// news says whether any finding is one that was not reported.
func (w *watch) news(list []wire.Finding) bool { return slices.ContainsFunc(list, w.isNew) }

func (w *watch) memory() ([]probe.Area, probe.PageTable, error) {
	areas, err := w.env.Kernel.Vmalloc()
	if err != nil {
		return nil, nil, err
	}
	table, err := w.tables.Read()
	return areas, table, err
}

func (w *watch) span(start, bytes uint64) (oracle.Span, error) {
	s := oracle.Span{Start: start, Bytes: make([]byte, bytes)}
	return s, w.core.ReadAt(s.Bytes, start)
}

// look applies all rules. Nothing may be loaded meanwhile. What may be there for
// a moment, while programs are freed, counts only if it stays: those that were
// closed just before have no ID any more, and their code is still there.
func (w *watch) look(ctx context.Context) error {
	w.looks++
	var s sight
	var l least
	_, err := w.env.awaitFreed(ctx, freeing, time.Second, func() (_ progress, err error) {
		if s, err = w.sight(); err != nil {
			return still, err
		}
		w.report(s.always)
		charged, err := w.core.Uint64(w.env.jitCurrent)
		return l.progress(!w.news(s.settled), int64(charged), int64(len(s.settled))), err
	})
	if err != nil {
		return err
	}
	w.report(s.settled)
	w.moments = append(w.moments, s.mapped)
	return nil
}

// sight is what one look found.
type sight struct {
	// always are broken rules that hold at every moment, settled those that hold
	// when nothing is being freed.
	always, settled []wire.Finding
	mapped          oracle.Mapped
}

func (w *watch) sight() (s sight, err error) {
	programs, err := allInfos()
	if err != nil {
		return s, err
	}
	areas, table, err := w.memory()
	if err != nil {
		return s, err
	}
	images := oracle.Images(programs)
	s.always = oracle.Overlaps(images)
	s.always = append(s.always, oracle.Scattered(images)...)
	s.always = append(s.always, oracle.Aligned(w.env.Arch, images)...)
	s.always = append(s.always, oracle.Protected(images, table)...)
	s.always = append(s.always, oracle.WritableCode(w.env.Arch, table)...)
	aliases, err := w.aliases(images)
	if err != nil {
		return s, err
	}
	s.always = append(s.always, oracle.Aliases(aliases, table)...)
	executable := oracle.Executable(areas, table)
	var spans []oracle.Span
	for _, a := range executable {
		span, err := w.span(a.Start, a.Bytes())
		if err != nil {
			return s, err
		}
		spans = append(spans, span)
	}
	now := functions(images, spans)
	s.always = append(s.always, oracle.Unchanged(w.code, now)...)
	w.remember(now)
	garbage := oracle.Gaps(w.text, spans, images, nil, w.before)
	if w.news(garbage) {
		// Reading all symbols is slow, and nearly never needed.
		other, err := w.others(areas)
		if err != nil {
			return s, err
		}
		garbage = oracle.Gaps(w.text, spans, images, other, w.before)
	}
	// The list of areas is read in pieces: an area that is freed meanwhile may
	// hide another.
	s.settled = append(garbage, oracle.Placed(images, areas)...)
	s.mapped = w.mapped(images, executable)
	return s, nil
}

// functions cuts the code of images out of spans.
func functions(images []oracle.Image, spans []oracle.Span) map[oracle.Function]oracle.Span {
	now := map[oracle.Function]oracle.Span{}
	i := 0
	for _, s := range spans {
		for ; i < len(images) && images[i].Start < s.End(); i++ {
			if im := images[i]; im.Start >= s.Start && im.End <= s.End() {
				now[oracle.Function{Program: im.Program, Function: im.Function}] =
					oracle.Span{Start: im.Start, Bytes: s.Bytes[im.Start-s.Start : im.End-s.Start]}
			}
		}
	}
	return now
}

// remember keeps the code of functions that were not there before, and forgets
// those that are gone: no ID is used twice.
func (w *watch) remember(now map[oracle.Function]oracle.Span) {
	for f := range w.code {
		if _, ok := now[f]; !ok {
			delete(w.code, f)
		}
	}
	for f, s := range now {
		if _, ok := w.code[f]; !ok && !w.patched[f.Program] {
			w.code[f] = oracle.Span{Start: s.Start, Bytes: append([]byte(nil), s.Bytes...)}
		}
	}
}

// others returns what /proc/kallsyms knows of executable memory that is not a
// program's: the pages of trampolines and dispatchers, and the whole areas of
// modules and of kprobes' instructions.
func (w *watch) others(areas []probe.Area) ([]oracle.Range, error) {
	symbols, err := w.env.Kernel.Symbols(func(name string) bool { return !strings.HasPrefix(name, "bpf_prog_") })
	if err != nil {
		return nil, err
	}
	var list []oracle.Range
	for _, s := range symbols {
		switch s.Module {
		case "":
		case "bpf":
			list = append(list, oracle.Range{Start: s.Address, End: s.Address + probe.PageBytes})
		default:
			if i := probe.FindArea(areas, s.Address); i >= 0 {
				r := oracle.Range{Start: areas[i].Start, End: areas[i].End}
				if len(list) == 0 || list[len(list)-1] != r {
					list = append(list, r)
				}
			}
		}
	}
	return list, nil
}

// aliases finds the pages of images in the direct map.
func (w *watch) aliases(images []oracle.Image) ([]oracle.Alias, error) {
	if w.top == 0 {
		return nil, nil
	}
	var list []oracle.Alias
	next := uint64(0)
	for _, im := range images {
		for page := max(im.Start&^(probe.PageBytes-1), next); page < im.End; page += probe.PageBytes {
			next = page + probe.PageBytes
			phys, err := w.core.PhysicalX86(w.top, page)
			if errors.Is(err, probe.ErrNotMapped) {
				continue // which Protected tells
			}
			if err != nil {
				return nil, err
			}
			if direct, ok := w.core.Direct(phys); ok {
				list = append(list, oracle.Alias{Code: page, Direct: direct})
			}
		}
	}
	if len(list) == 0 && len(images) > 0 {
		return nil, errors.New("no page of code was found in the direct map")
	}
	return list, nil
}

// directMap returns how much of the direct map can't be written, 0 where code's
// permissions don't reach it.
func (w *watch) directMap(table probe.PageTable) int64 {
	if w.top == 0 {
		return 0
	}
	var list []oracle.Range
	for _, r := range w.core.DirectMap() {
		list = append(list, oracle.Range{Start: r[0], End: r[1]})
	}
	return oracle.Locked(list, table)
}

// lockedSlack is what others than programs may keep of the direct map, such as
// a page of trampolines or of probes' instructions. What programs lose is a page
// or more for each, and there are hundreds.
const lockedSlack = 64 << 10

// lockedNow is directMap of the moment, and as it was at first if there are only
// a few pages more.
func (w *watch) lockedNow() (int64, error) {
	if w.top == 0 {
		return 0, nil
	}
	table, err := w.tables.Read()
	now := w.directMap(table)
	if now > w.locked && now-w.locked <= lockedSlack {
		now = w.locked
	}
	return now, err
}

// mapped sums up what code takes: areas that hold some, and executable areas
// that hold none and were not there before.
func (w *watch) mapped(images []oracle.Image, areas []probe.Area) oracle.Mapped {
	var m oracle.Mapped
	holds := make([]bool, len(areas))
	for _, im := range images {
		m.Live += int64(im.End-im.Start+probe.PageBytes-1) &^ (probe.PageBytes - 1)
		if i := probe.FindArea(areas, im.Start); i >= 0 {
			holds[i] = true
		}
	}
	for i, a := range areas {
		if _, old := w.before[a.Start]; holds[i] || !old {
			m.Held += int64(a.Bytes())
			m.Area = max(m.Area, int64(a.Bytes()))
		}
	}
	return m
}

// room returns the longest run of bytes without code in executable memory that
// holds some, and how much executable memory there is.
func (w *watch) room() (longest, executable int64, err error) {
	programs, err := allInfos()
	if err != nil {
		return 0, 0, err
	}
	areas, table, err := w.memory()
	if err != nil {
		return 0, 0, err
	}
	list := oracle.Executable(areas, table)
	for _, a := range list {
		executable += int64(a.Bytes())
	}
	return oracle.Room(oracle.Images(programs), list), executable, nil
}

// names holds the kernel's symbols against the programs.
func (w *watch) names() error {
	programs, err := allInfos()
	if err != nil {
		return err
	}
	symbols, err := w.env.Kernel.BPFSymbols()
	if err != nil {
		return err
	}
	w.report(oracle.Named(oracle.Images(programs), symbols))
	if w.env.pageTable == 0 {
		w.env.Report.Unmeasured("attack_looks", "whether there is code where symbols are: the kernel tells nobody where its page table is")
		return nil
	}
	code := map[uint64][]byte{}
	for _, s := range symbols {
		// /proc/kcore has zeros where nothing is mapped.
		_, err := w.core.Entry(w.env.Arch, w.env.pageTable, s.Address)
		if errors.Is(err, probe.ErrNotMapped) {
			continue
		}
		if err != nil {
			return err
		}
		span, err := w.span(s.Address, codeBytes)
		if err != nil {
			return err
		}
		code[s.Address] = span.Bytes
	}
	found := oracle.Coded(w.text, symbols, code)
	if found != nil {
		// A trampoline may have gone meanwhile: its symbol goes first, then its page.
		now, err := w.env.Kernel.BPFSymbols()
		if err != nil {
			return err
		}
		symbols = slices.DeleteFunc(symbols, func(s probe.Symbol) bool { return !slices.Contains(now, s) })
		found = oracle.Coded(w.text, symbols, code)
	}
	w.report(found)
	return nil
}

// codeBytes is how much of a function is read to see that it is one.
const codeBytes = 8
