// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"packtest/guest/oracle"
	"packtest/metric"
)

const (
	// leakRounds is how often a round is done to see whether memory grows.
	leakRounds = 6
	// leakPrograms is how many programs a round loads and frees.
	leakPrograms = 24
	// leastPages and leastObjects are the least growth in a round that counts, in
	// bytes: a page, and the smallest object of slab memory for each program.
	leastPages, leastObjects = 4096, leakPrograms * 32
)

// grow does the same round again and again, each of which gives back what it
// takes, and looks whether the kernel's memory grows nevertheless: the slab
// caches where the kernel shows them, and otherwise their sum. A kernel that is
// debugged keeps what is freed for a while (KASAN's quarantine) and books on all
// that is not: there kmemleak looks for what is lost instead.
func (a *attack) grow(ctx context.Context, what string, round func() error) error {
	pages, objects := map[string][]int64{}, map[string][]int64{}
	debugged := exists(kmemleakFile)
	for range leakRounds {
		if err := round(); err != nil {
			return err
		}
		if _, err := a.reader.settle(ctx, a.before, nil); err != nil {
			return err
		}
		// What is freed after the charge is given back.
		time.Sleep(50 * time.Millisecond)
		m, err := a.env.Kernel.Meminfo()
		if err != nil {
			return err
		}
		for _, name := range []string{"SUnreclaim", "VmallocUsed", "PageTables", "KernelStack"} {
			if v, ok := m[name]; ok && !(debugged && name == "SUnreclaim") {
				pages[name] = append(pages[name], v)
			}
		}
		slabs, err := a.env.Kernel.Slabs()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, s := range slabs {
			if debugged {
				break
			}
			name := "slab " + s.Name
			objects[name] = append(objects[name], s.Objects*s.ObjectBytes)
		}
	}
	what = fmt.Sprintf("round of %s", what)
	a.watch.report(oracle.Leaks(pages, leastPages, what))
	a.watch.report(oracle.Leaks(objects, leastObjects, what))
	if debugged {
		a.env.Report.Unmeasured("slab_growth", "a kernel with kmemleak keeps books on its memory, which grow with it")
	} else if s := pages["SUnreclaim"]; len(s) == leakRounds {
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
