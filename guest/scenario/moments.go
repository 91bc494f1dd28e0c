// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/probe"
)

// bothWatch looks, again and again, for memory that can be written and executed.
type bothWatch struct {
	w     *watch
	seen  []uint64
	looks int
}

// newBothWatch returns nil where such memory is there by design, for moments.
func (w *watch) newBothWatch() *bothWatch {
	if oracle.ExecutableAsItComes(w.env.Arch) || w.top == 0 {
		return nil
	}
	return &bothWatch{w: w}
}

// run looks until ctx ends, or something was seen.
func (b *bothWatch) run(ctx context.Context) error {
	// The kernel itself and modules, up to the end of the address space.
	const start, end = 0xffff_ffff_8000_0000, 0
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for ; ctx.Err() == nil && len(b.seen) == 0; b.looks++ {
		var err error
		if b.seen, err = b.w.core.WritableCodeX86(b.w.top, start, end); err != nil {
			return err
		}
	}
	return nil
}

// report reports what was seen.
func (b *bothWatch) report() {
	if b != nil {
		b.w.report(oracle.NeverBoth(b.seen))
	}
}

// guard reads, again and again, the page-table entries of programs that stay: no
// kernel may make code writable, not even for a moment, to write to what is
// beside it.
type guard struct {
	w     *watch
	pages []guarded
	// reads is how many entries were read, and cases are those that were wrong.
	reads int
	cases []string
}

// guarded is a page of code and what maps it.
type guarded struct {
	page  uint64
	entry probe.Entry
	told  bool
}

// newGuard guards the code of programs, whose loads have returned.
func (w *watch) newGuard(programs []program) (*guard, error) {
	if w.env.pageTable == 0 {
		w.env.Report.Unmeasured("attack_looks", "whether code is writable for moments: the kernel tells nobody where its page table is")
		return nil, nil
	}
	var infos []bpf.Info
	for _, p := range programs {
		in, err := bpf.ProgramInfo(p.fd)
		if err != nil {
			return nil, err
		}
		infos = append(infos, in)
	}
	g := &guard{w: w}
	next := uint64(0)
	for _, im := range oracle.Images(infos) {
		for page := max(im.Start&^(probe.PageBytes-1), next); page < im.End; page += probe.PageBytes {
			next = page + probe.PageBytes
			e, err := w.core.Entry(w.env.Arch, w.env.pageTable, page)
			if errors.Is(err, probe.ErrNotMapped) {
				continue // which a look tells
			}
			if err != nil {
				return nil, err
			}
			g.pages = append(g.pages, guarded{page: page, entry: e})
		}
	}
	return g, nil
}

// run reads entries until ctx ends.
func (g *guard) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for ctx.Err() == nil {
		for i := range g.pages {
			if err := g.read(&g.pages[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// report reports what was seen.
func (g *guard) report() {
	if g != nil {
		g.w.report(oracle.Momentary(g.cases))
	}
}

// read reads one entry. One that never changes costs no more than that.
func (g *guard) read(p *guarded) error {
	v, err := g.w.core.Uint64(p.entry.At)
	if err != nil {
		return err
	}
	g.reads++
	if v == p.entry.Value && g.reads > len(g.pages) {
		return nil
	}
	writable, maps := p.entry.Writable(v)
	if !maps {
		// A table of smaller pages has come in the place of a large page.
		e, err := g.w.core.Entry(g.w.env.Arch, g.w.env.pageTable, p.page)
		if errors.Is(err, probe.ErrNotMapped) {
			return nil
		}
		if err != nil {
			return err
		}
		p.entry, v = e, e.Value
		writable, _ = e.Writable(v)
	}
	p.entry.Value = v
	if writable && !p.told {
		p.told = true
		g.cases = append(g.cases, fmt.Sprintf("the page at %#x: its entry in the page table was %#x", p.page, v))
	}
	return nil
}
