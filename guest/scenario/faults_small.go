// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"

	"packtest/guest/oracle"
	"packtest/guest/probe"
)

// smallFleet is how many programs are loaded while there are no large pages.
const smallFleet = 64

// withoutLarge loads, runs and frees programs while no large page is to be had:
// what would have been one is many small ones then, whose protection changes, is
// given back and is found in other ways. s390x has no large pages for code.
func (f *faultAttack) withoutLarge(ctx context.Context) (err error) {
	if f.env.Arch != "x86_64" {
		return nil
	}
	if err := f.injector.NoLarge(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.injector.Off()) }()
	if err := f.add(ctx, 0, smallFleet, f.fleet.Program); err != nil {
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
