// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/scenario/fleet"
)

// prepare makes the kernel take many programs and show where their code is.
func (env *Env) prepare(programs int) error {
	if env.tooSlow() {
		return errTooSlow
	}
	for _, s := range []struct{ name, value string }{
		// Blinding would rewrite every constant; hiding would leave nothing to read.
		{"net.core.bpf_jit_harden", "0"},
		{"net.core.bpf_jit_kallsyms", "1"},
		{"kernel.kptr_restrict", "0"},
		// The kernel allows no more than its own maximum, whatever is asked for.
		{"net.core.bpf_jit_limit", "1000000000"},
	} {
		if err := env.Kernel.SetSysctl(s.name, s.value); err != nil {
			return err
		}
	}
	files := uint64(programs) + 256
	limit := unix.Rlimit{Cur: files, Max: files}
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if now.Cur < files {
		limit.Max = max(now.Max, files)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("raise the limit of open files to %d: %w", files, err)
		}
	}
	return nil
}

// warmedUp waits until what was loaded to warm the kernel up is gone, and holds
// what there is then against what there was before that, cold: warming up leaves
// no program behind, and no charge. Less than before is no fault: something was
// still being freed.
func (w *workload) warmedUp(ctx context.Context, cold figures) error {
	if w.env.areas == nil {
		w.env.areas = map[uint64]bool{}
		for _, a := range cold.areas {
			w.env.areas[a.Start] = true
		}
	}
	// There is no list of areas to wait for here; the rest will do.
	now, err := w.reader.settle(ctx, cold, nil)
	if err != nil {
		return err
	}
	for _, f := range oracle.Returned([]oracle.Figure{
		{Name: "programs", Title: programsStay, Was: int64(cold.programs), Is: int64(max(now.programs, cold.programs))},
		{Name: "bpf_jit_current", Title: chargeStays, Unit: "bytes", Was: cold.charged, Is: max(now.charged, cold.charged)},
	}, warmed) {
		w.env.Report.Finding(f)
	}
	w.before, err = w.reader.read()
	return err
}

// warmed is what was done before.
const warmed = "a program of each type was loaded, run and freed"

// warmUp loads, runs and frees one program of each type, so that what the
// kernel allocates once and keeps (the XDP dispatcher's image, the kprobe's
// trampoline page, caches) is there before anything is read as "before".
func (env *Env) warmUp(ctx context.Context, f *fleet.Fleet, slots *bpf.Array) error {
	var set loaded
	defer set.close()
	for i, t := range fleet.Types() {
		p, err := f.Of(t, 1000, i)
		if err != nil {
			return err
		}
		if err := set.load(env, p); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	if err := set.check(ctx, env, slots); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	for _, p := range set.programs {
		if p.Type == bpf.XDP {
			// Only repeated runs go through the dispatcher.
			if _, err := bpf.TestRun(p.fd, make([]byte, p.Packet()), nil, 2); err != nil {
				return fmt.Errorf("warm up: %w", err)
			}
		}
	}
	return nil
}
