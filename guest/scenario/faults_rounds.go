// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"fmt"

	"packtest/guest/probe"
)

// lose has all operations fail at all points again and again, and looks whether the
// kernel's memory grows: what a call loses that fails may be a single object, to which
// nobody points any more. A kernel with kmemleak says so itself, and its books would
// have to be left out of account here.
func (f *faultAttack) lose(ctx context.Context, sites []site, operations []operation) error {
	if exists(kmemleakFile) {
		return nil
	}
	before, err := f.reader.read()
	if err != nil {
		return err
	}
	_, err = f.grow(ctx, "calls that fail at each point in turn", before, func() error {
		for _, s := range sites {
			// What happens where one page is missing happens where all are, in fewer points.
			if s.name == "pages" {
				continue
			}
			for _, op := range operations {
				if s.fresh && !op.fresh {
					continue
				}
				if f.env.Arch == "s390x" && s.name == "slab" && op.apart {
					continue // kernels without the series lose memory there: docs/scenarios.md
				}
				if err := f.failing(ctx, s, op); err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, op.name, err)
				}
			}
		}
		return nil
	})
	return err
}

// mostLosing is at how many points, about, an operation fails in each round.
const mostLosing = 64

// failing has op fail at one point of s after the other. It waits for nothing, but
// for what op has made to go again if op is to find nothing there.
func (f *faultAttack) failing(ctx context.Context, s site, op operation) error {
	before, err := f.count()
	if err != nil {
		return err
	}
	return f.alone(op, func(thread *probe.ThreadFaults) error {
		for _, w := range s.ways {
			if w.lasting && !s.fresh {
				continue
			}
			if err := w.choose(f.injector); err != nil {
				return err
			}
			// Of many points, as many as there is time for: what loses something does
			// so at each that follows, until it would be given back.
			stride := 1 + f.found[s.name+" "+op.name]/mostLosing
			for nth := 1; nth <= maxPoints; nth += stride {
				hit, succeeded, err := f.point(thread, op, s.name, nth)
				if err != nil {
					return err
				}
				// A call may fail late, and what it has made by then is freed as late as what
				// a call makes that succeeds.
				if op.fresh && !f.lossTold() {
					if before, err = f.backTo(ctx, before); err != nil {
						return err
					}
				}
				if !hit || w.lasting && succeeded {
					break
				}
			}
			if err := f.injector.Off(); err != nil {
				return err
			}
		}
		f.env.Report.Progress(0, 1, "faults")
		return ctx.Err()
	})
}
