// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"packtest/guest/probe"
	"packtest/guest/wire"
)

const (
	pressurePrograms = 160
	// hoardStop is how much memory is left to the kernel, in bytes.
	hoardStop = 64 << 20
	// hoardStep is how much is taken at a time.
	hoardStep = 16 << 20
	// holes is how much of what was taken is given back, in single pages.
	holes = 48 << 20
)

// pressure takes nearly all memory and gives some of it back in single pages, so
// that what is free is in pieces: there is no large page for anybody. Then it
// loads, runs and frees programs. A load may fail for want of memory; whatever
// fails, nothing is left behind.
//
// Samples: attack_loads, _runs, _looks.
func pressure(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	a, err := env.newAttack(ctx, spec, pressurePrograms)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	// The kernel tells of each failed allocation at length.
	log, err := newComplaints(env, a.watch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.close()) }()
	hoard, err := newHoard(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hoard.close()) }()
	refused := 0
	for round := range 2 {
		for i := round * a.n / 2; i < (round+1)*a.n/2; i++ {
			p, err := a.fleet.Program(i)
			if err != nil {
				return err
			}
			err = a.set.load(env, p)
			if errors.Is(err, unix.ENOMEM) || errors.Is(err, errNoSupport) {
				refused++
				continue
			}
			if err != nil {
				return err
			}
			a.loads++
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		env.Report.Progress(a.loads, a.n, "programs loaded")
		if err := a.checkFast(ctx); err != nil {
			return err
		}
		if err := a.watch.look(ctx); err != nil {
			return err
		}
		a.set.keep(func(p program) bool { return p.Index%3 == 0 })
	}
	if a.loads == 0 {
		return fmt.Errorf("none of %d programs could be loaded", refused)
	}
	if err := hoard.close(); err != nil {
		return err
	}
	return a.finish(ctx)
}

// hoard is memory that is held so that nobody else has it.
type hoard struct{ pieces [][]byte }

// newHoard takes memory until little is left, and gives back single pages.
func newHoard(ctx context.Context, env *Env) (*hoard, error) {
	h := &hoard{}
	for {
		m, err := env.Kernel.Meminfo()
		if err != nil {
			return nil, errors.Join(err, h.close())
		}
		if m["MemFree"] < hoardStop+hoardStep {
			break
		}
		env.Report.Progress(len(h.pieces), 0, "taking memory")
		b, err := unix.Mmap(-1, 0, hoardStep, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("take memory: %w", err), h.close())
		}
		h.pieces = append(h.pieces, b)
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), h.close())
		}
	}
	freed := 0
	for _, b := range h.pieces {
		for at := 0; at < len(b) && freed < holes; at += 2 * probe.PageBytes {
			if err := unix.Madvise(b[at:at+probe.PageBytes], unix.MADV_DONTNEED); err != nil {
				return nil, errors.Join(fmt.Errorf("give memory back: %w", err), h.close())
			}
			freed += probe.PageBytes
		}
	}
	return h, nil
}

func (h *hoard) close() error {
	var err error
	for _, b := range h.pieces {
		err = errors.Join(err, unix.Munmap(b))
	}
	h.pieces = nil
	return err
}
