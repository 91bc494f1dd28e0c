// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"

	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

// directMap reads the direct map's sizes with more and more small programs
// loaded. Setting the permissions of a page of code splits the large entry that
// maps the same memory in the direct map, and nothing ever joins it again: so
// the scenario is only worth something as the first in its boot, and it loads
// nothing before it reads the figure for 0 programs. Freeing splits nothing that
// loading had not: the direct map is held against that in the end.
//
// Samples: directmap_4k, _2m and _1g at each step.
// Findings: freeing takes the direct map to pieces.
func directMap(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	steps := spec.Steps
	if len(steps) == 0 {
		steps = []int{0, 512, 1024, 2048}
	}
	for i, n := range steps {
		if n < 0 || n > MaxPrograms || i > 0 && n <= steps[i-1] {
			return fmt.Errorf("steps must rise, from 0 to at most %d programs", MaxPrograms)
		}
	}
	if env.Loads > 0 {
		return errors.New("programs were loaded before in this boot, which has split the direct map for good: directmap must come first")
	}
	if err := env.prepare(steps[len(steps)-1]); err != nil {
		return err
	}
	f, err := fleet.New(env.Arch, spec.Seed)
	if err != nil {
		return err
	}
	r := newReader(env)
	defer r.close()
	before, err := r.read()
	if err != nil {
		return err
	}
	var set loaded
	free := func() error {
		set.close()
		_, err := r.settle(ctx, before, nil)
		return err
	}
	defer func() {
		if e := free(); err == nil {
			err = e
		}
	}()
	large, err := env.largeEntries()
	if err != nil {
		return err
	}
	for i, n := range steps {
		if err := set.loadMany(ctx, env, n, f.Small); err != nil {
			return err
		}
		if err := env.reportDirectMap(n, i == 0, large); err != nil {
			return err
		}
	}
	loaded, err := env.smallEntries()
	if err != nil {
		return err
	}
	if err := free(); err != nil {
		return err
	}
	freed, err := env.smallEntries()
	if err != nil {
		return err
	}
	for _, f := range oracle.Whole(loaded, freed) {
		env.Report.Finding(f)
	}
	return nil
}

// smallEntries returns how much of the direct map is in the smallest entries.
func (env *Env) smallEntries() (int64, error) {
	list, err := env.directMap()
	if err != nil {
		return 0, err
	}
	return list[0].Bytes, nil
}

// directMap reads the direct map by the size of its entries, the smallest first.
func (env *Env) directMap() ([]probe.DirectMap, error) {
	m, err := env.Kernel.Meminfo()
	if err != nil {
		return nil, err
	}
	return env.Kernel.DirectMap(m)
}

// largeEntries says whether the direct map has any entry larger than 4 KiB.
func (env *Env) largeEntries() (bool, error) {
	list, err := env.directMap()
	if err != nil {
		return false, err
	}
	for _, d := range list[1:] {
		if d.Bytes > 0 {
			return true, nil
		}
	}
	for _, d := range list[1:] {
		env.Report.Unmeasured(d.Metric, "this machine maps all memory in 4 KiB entries from the start: there is nothing to split")
	}
	return false, nil
}

// reportDirectMap reports the direct map with n programs loaded. What the kernel
// doesn't show is said at the first step.
func (env *Env) reportDirectMap(n int, first, large bool) error {
	list, err := env.directMap()
	if err != nil {
		return err
	}
	for i, d := range list {
		switch {
		case i > 0 && !large:
		case !d.Shown:
			if first {
				env.Report.Unmeasured(d.Metric, "/proc/meminfo has no "+d.Name+" on this machine")
			}
		default:
			env.Report.Sample(metric.New(d.Metric, map[string]string{"programs": fmt.Sprint(n)}, float64(d.Bytes)))
		}
	}
	return nil
}
