// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"packtest/guest/probe"
	"packtest/guest/wire"
	"packtest/metric"
)

// testSilence is how long the kernel's suite may say nothing. Its longest case
// takes some seconds under emulation.
const testSilence = 3 * time.Minute

// testBPF runs lib/test_bpf, the kernel's own test suite for the JIT, from the
// module at spec.Module. Its parts are run one by one: run together, the first
// that has a failure keeps the others from running.
//
// Samples: test_bpf_passed, _failed, _jited for each suite. Findings: each case
// that failed.
func testBPF(ctx context.Context, env *Env, spec wire.ScenarioSpec) error {
	if spec.Module == "" {
		return errors.New("no module was given: where is test_bpf.ko?")
	}
	if err := env.Kernel.SetSysctl("net.core.bpf_jit_harden", "0"); err != nil {
		return err
	}
	// The suite's programs count as loads: they too split the direct map.
	env.Loads++
	results := map[string]*suiteResult{}
	for _, suite := range testSuites {
		r, err := runSuite(ctx, env, spec.Module, suite)
		if err != nil {
			return fmt.Errorf("test_bpf, suite %s: %w", suite, err)
		}
		results[suite] = r
	}
	for _, suite := range testSuites {
		results[suite].report(env)
	}
	return nil
}

// runSuite loads the module for one suite, follows what the kernel says, and
// unloads it.
func runSuite(ctx context.Context, env *Env, module, suite string) (*suiteResult, error) {
	log, err := env.Kernel.Log()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// The suite runs while the module is loaded, which cannot be interrupted.
	over := make(chan error, 1)
	go func() { over <- insertModule(module, "test_suite="+suite) }()
	r := &suiteResult{suite: suite}
	last := time.Now()
	var loadErr error
	for running := true; running; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case loadErr = <-over:
			running = false
		case <-time.After(20 * time.Millisecond):
		}
		n, err := r.follow(log, env)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			last = time.Now()
		} else if running && time.Since(last) > testSilence {
			return nil, fmt.Errorf("no sign of life for %v after %q", testSilence, r.last)
		}
	}
	r.lost = log.Lost
	if loadErr == nil {
		name := strings.TrimSuffix(filepath.Base(module), ".ko")
		if err := unix.DeleteModule(name, 0); err != nil {
			return nil, fmt.Errorf("unload %s: %w", name, err)
		}
	}
	switch {
	case !r.summarised:
		// Without a summary the module did not run: its error says why.
		return nil, fmt.Errorf("no summary; loading %s: %w; the last it said: %q", module, orNil(loadErr), r.last)
	case loadErr != nil && r.failed == 0 && !errors.Is(loadErr, unix.EINVAL):
		return nil, fmt.Errorf("loading %s: %w", module, loadErr)
	}
	return r, nil
}

func orNil(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

func insertModule(path, options string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), options, 0)
}

// follow reads what the kernel has said since; it returns how much that was.
func (r *suiteResult) follow(log *probe.KernelLog, env *Env) (int, error) {
	for n := 0; ; n++ {
		rec, ok, err := log.Next()
		if err != nil || !ok {
			return n, err
		}
		r.line(rec.Text)
		// How many cases there are is not known beforehand.
		env.Report.Progress(r.cases, 0, "cases of "+r.suite)
	}
}

// report sends what came of a suite.
func (r *suiteResult) report(env *Env) {
	labels := map[string]string{"suite": r.suite}
	env.Report.Sample(metric.New("test_bpf_passed", labels, float64(r.passed)))
	env.Report.Sample(metric.New("test_bpf_failed", labels, float64(r.failed)))
	if r.hasJITed {
		env.Report.Sample(metric.New("test_bpf_jited", labels, float64(r.jited)))
	}
	for _, f := range r.failures {
		env.Report.Finding(wire.Finding{Kind: "test-bpf", Title: "test_bpf: " + f.name, Evidence: r.suite + ": " + f.line})
	}
	if missing := r.failed - len(r.failures); missing > 0 {
		env.Report.Finding(wire.Finding{Kind: "test-bpf", Title: "test_bpf: cases that failed and were not seen",
			Evidence: fmt.Sprintf("%s counts %d failures; the log shows %d, and lost %d records", r.suite, r.failed, len(r.failures), r.lost)})
	}
}
