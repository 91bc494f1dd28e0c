// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
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
