// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"math/rand/v2"

	"packtest/guest/oracle"
	"packtest/guest/probe"
)

// smallFleet is how many programs are loaded while there are no large pages.
const smallFleet = 64

// unlargeBytes is code of more pages than there are in a row.
const unlargeBytes = 128 << 10

// withoutLarge loads, runs and frees programs while there are not many pages in a row
// for anybody. Where executable memory would have been a large page, it is many small
// ones then, whose protection changes, is given back and is found in other ways. And a
// program that is too long for a few pages can still be loaded: what is written before
// it comes to its place need not be in one piece.
func (f *faultAttack) withoutLarge(ctx context.Context) (err error) {
	steps, err := f.stepsOf(ctx, unlargeBytes)
	if err != nil {
		return err
	}
	if err := f.injector.NoLarge(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.injector.Off()) }()
	if err := f.add(ctx, 0, smallFleet, f.fleet.Program); err != nil {
		return err
	}
	if err := f.load(longProgram(rand.New(rand.NewPCG(f.seed, 6)), smallFleet, steps)); err != nil {
		return err
	}
	if err := f.checkFast(ctx); err != nil {
		return err
	}
	if err := f.watch.look(ctx); err != nil {
		return err
	}
	large, err := f.largePages()
	if err != nil {
		return err
	}
	if large > 0 {
		// Of somebody who keeps memory.
		f.env.Report.Unmeasured("faults_injected", "no large pages: code is in one that was there before")
	}
	f.set.keep(func(p program) bool { return p.Index%3 == 0 })
	if err := f.watch.look(ctx); err != nil {
		return err
	}
	return f.checkFast(ctx)
}

// largePages returns how many functions of programs are in large pages.
func (f *faultAttack) largePages() (int, error) {
	list, err := allInfos()
	if err != nil {
		return 0, err
	}
	table, err := f.watch.tables.Read()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, im := range oracle.Images(list) {
		if m, ok := table.Find(im.Start); ok && m.LeafBytes > probe.PageBytes {
			n++
		}
	}
	return n, nil
}
