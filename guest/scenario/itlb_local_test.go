// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"packtest/guest/probe"
	"packtest/guest/wire"
)

// fakeCounters count what a processor might.
type fakeCounters struct{ opened, closed, running *int }

func (f fakeCounters) Start() error { *f.running++; return nil }
func (f fakeCounters) Stop() error  { *f.running--; return nil }
func (f fakeCounters) Close() error { *f.closed++; return nil }
func (f fakeCounters) Read() (probe.ITLBCounts, error) {
	return probe.ITLBCounts{Instructions: 2000, Hits: 8, HitsEvent: "r2085", Walks: 1, WalksEvent: "re85"}, nil
}

// Where there are no counters, nothing is loaded, and both figures say why.
func TestCountITLBWithoutCounters(t *testing.T) {
	r := newRecorder()
	env := &Env{Kernel: probe.Kernel{Root: t.TempDir()}, Report: r, Log: io.Discard, Now: time.Now}
	if err := CountITLB(t.Context(), env, wire.ScenarioSpec{Name: "itlb"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{pmuHits, pmuWalks}; !slices.Equal(r.unmeasured, want) || len(r.samples) != 0 || env.Loads != 0 {
		t.Errorf("not measured: %v, samples %v, %d loads", r.unmeasured, r.samples, env.Loads)
	}
	if err := CountITLB(t.Context(), env, wire.ScenarioSpec{Rounds: 1}); err == nil {
		t.Error("one round passed")
	}
}

// On a kernel that takes programs, every window is counted, and afterwards
// nothing is open and every sysctl is what it was.
func TestCountITLBWithCounters(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root loads programs")
	}
	read := func() (all []string) {
		for _, name := range []string{"net/core/bpf_jit_harden", "net/core/bpf_jit_kallsyms", "kernel/kptr_restrict", "net/core/bpf_jit_limit"} {
			b, err := os.ReadFile(filepath.Join("/proc/sys", name))
			if err != nil {
				t.Skipf("this kernel has no JIT: %v", err)
			}
			all = append(all, string(b))
		}
		return all
	}
	before := read()
	r := newRecorder()
	env := &Env{Arch: "x86_64", Report: r, Log: io.Discard, Now: time.Now}
	var opened, closed, running int
	err := countITLB(t.Context(), env, wire.ScenarioSpec{Programs: 16, Hot: 4, Rounds: 2, Steps: []int{2, 24}, Seed: 1}, func() (counters, error) {
		opened++
		return fakeCounters{&opened, &closed, &running}, nil
	})
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("programs can't be loaded here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"loaded=16", "hot=2 loaded=24", "hot=24 loaded=24"} {
		found := false
		for name, value := range r.samples {
			found = found || containsAll(name, pmuWalks, want) && value == 0.5
		}
		if !found {
			t.Errorf("%s is not in %v", want, r.samples)
		}
	}
	if len(r.samples) != 6 || opened != 4 || closed != opened || running != 0 {
		t.Errorf("%d samples; %d opened, %d closed, %d running", len(r.samples), opened, closed, running)
	}
	if after := read(); !slices.Equal(before, after) {
		t.Errorf("sysctls were %q, and are %q", before, after)
	}
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
