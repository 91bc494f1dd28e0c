// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"fmt"
	"time"

	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/metric"
)

const (
	// leakRounds is how often a round is done to see whether memory grows.
	leakRounds = 10
	// leakPrograms is how many programs a round loads and frees. Of the objects of
	// a cache only the rest is known that is left beside full slabs, so what a round
	// can lose must be less than half a slab: those of up to 4 KiB have 8 objects
	// and more (calculate_order() in mm/slub.c). What is lost three times a round,
	// from slabs of six or fewer, can be missed.
	leakPrograms = 3
	// leastPages is the least growth in every round that counts, of what is counted
	// in pages; of objects any does.
	leastPages, leastObjects = 4096, 1
	// lateness is how long the kernel has to free what goes after the charge.
	lateness = 50 * time.Millisecond
)

// grow does the same round again and again, each of which gives back what it
// takes, and looks whether the kernel's memory grows nevertheless: cache by cache
// to the object, and what is counted in pages. One object that is lost in every
// round is enough.
func (a *attack) grow(ctx context.Context, what string, round func() error) error {
	slabs, err := a.env.Kernel.Slabs()
	if err != nil {
		return err
	}
	defer slabs.Close()
	pages, objects := map[string][]int64{}, map[string][]int64{}
	var caches []probe.SlabCount
	for range leakRounds {
		if err := round(); err != nil {
			return err
		}
		if _, err := a.reader.settle(ctx, a.before, nil); err != nil {
			return err
		}
		time.Sleep(lateness)
		if caches, err = slabs.Count(); err != nil {
			return err
		}
		for _, c := range caches {
			objects[c.Cache] = append(objects[c.Cache], c.Objects)
		}
		m, err := a.env.Kernel.Meminfo()
		if err != nil {
			return err
		}
		for _, name := range []string{"SUnreclaim", "VmallocUsed", "PageTables", "KernelStack"} {
			if v, ok := m[name]; ok {
				pages[name] = append(pages[name], v)
			}
		}
	}
	bytes := map[string][]int64{}
	for _, c := range caches {
		for _, n := range oracle.Unwrap(objects[c.Cache], c.PerSlab) {
			bytes["slab "+c.Cache] = append(bytes["slab "+c.Cache], n*c.Bytes)
		}
	}
	what = fmt.Sprintf("round of %s", what)
	a.watch.report(oracle.Leaks(pages, leastPages, what))
	a.watch.report(oracle.Leaks(bytes, leastObjects, what))
	if s := pages["SUnreclaim"]; len(s) == leakRounds {
		a.env.Report.Sample(metric.New("slab_growth", nil, float64(s[leakRounds-1]-s[1])/(leakRounds-2)))
	} else {
		a.env.Report.Unmeasured("slab_growth", "/proc/meminfo has no SUnreclaim")
	}
	return nil
}

// growLoading is grow for loading and freeing programs.
func (a *attack) growLoading(ctx context.Context) error {
	return a.grow(ctx, fmt.Sprintf("%d programs", leakPrograms), func() error {
		if err := a.add(ctx, 0, leakPrograms, a.fleet.Small); err != nil {
			return err
		}
		a.set.close()
		return nil
	})
}
