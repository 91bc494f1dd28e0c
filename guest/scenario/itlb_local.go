// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"packtest/guest/probe"
	"packtest/guest/wire"
)

// countedRounds are many: counters are of a processor that does other things,
// too, and a round takes it less than a millisecond.
const countedRounds = 1000

// CountITLB runs the windows of itlb in which programs are called by test runs,
// with the processor's counters on, for a machine that has other things to do:
// nothing is hooked into what others use, the kernel's page tables are not read,
// and the sysctls that it sets are set back. Where there is no counter it loads
// nothing, and reports why nothing was measured.
func CountITLB(ctx context.Context, env *Env, spec wire.ScenarioSpec) error {
	return countITLB(ctx, env, spec, openCounters(env.Kernel))
}

func countITLB(ctx context.Context, env *Env, spec wire.ScenarioSpec, open func() (counters, error)) (err error) {
	if spec.Rounds == 0 {
		spec.Rounds = countedRounds
	}
	size, err := itlbSizes(spec)
	if err != nil {
		return err
	}
	c, err := open()
	if err != nil {
		reportCounted(env.Report, wire.Window{}, counted{err: err})
		return nil
	}
	if err := c.Close(); err != nil {
		return err
	}
	restore, err := keepSysctls(env.Kernel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	w, err := newWindows(env, size, spec.Seed)
	if err != nil {
		return err
	}
	w.open = open
	defer func() { err = errors.Join(err, w.close()) }()
	for _, part := range []struct {
		loaded, rounds int
		hot            []int
	}{
		{size.loaded, size.rounds, []int{size.hot}},
		{max(size.loaded, last(size.sweep)), size.rounds, size.sweep},
	} {
		if err := w.load(ctx, part.loaded); err != nil {
			return err
		}
		for _, n := range part.hot {
			if _, err := w.window(ctx, FormTestRun, n, part.rounds, testRuns(w.hot(n))); err != nil {
				return fmt.Errorf("window %d (%d of %d programs hot): %w", w.number, n, part.loaded, err)
			}
		}
	}
	return nil
}

func last(rising []int) int {
	if len(rising) == 0 {
		return 0
	}
	return rising[len(rising)-1]
}

// keepSysctls reads what prepare sets, and returns what sets it back.
func keepSysctls(k probe.Kernel) (restore func() error, err error) {
	was := map[string]string{}
	for _, name := range []string{"net.core.bpf_jit_harden", "net.core.bpf_jit_kallsyms", "kernel.kptr_restrict", "net.core.bpf_jit_limit"} {
		b, err := os.ReadFile(filepath.Join("/", k.Root, "proc/sys", strings.ReplaceAll(name, ".", "/")))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		was[name] = strings.TrimSpace(string(b))
	}
	return func() error {
		var err error
		for name, value := range was {
			err = errors.Join(err, k.SetSysctl(name, value))
		}
		return err
	}, nil
}
