// SPDX-License-Identifier: GPL-2.0-or-later

// Package scenario holds the workloads that run inside a VM. Each is one
// function: it puts the kernel to work, reads what came of it through package
// probe, and reports samples, layouts and findings. It knows nothing of the
// host, of how its reports travel, nor of what other scenarios do; each leaves
// the kernel as it found it, as far as that depends on it.
//
// The difference that matters: a finding is the kernel's fault and is reported,
// an error is that of the scenario or its surroundings, and is returned.
package scenario

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"packtest/guest/probe"
	"packtest/guest/wire"
	"packtest/metric"
)

// Scenario is one workload.
type Scenario struct {
	Name string
	// Help is one line: what it does.
	Help string
	Run  func(ctx context.Context, env *Env, spec wire.ScenarioSpec) error
}

// All returns the scenarios in the order in which they are best run.
func All() []Scenario {
	return []Scenario{
		{Name: "directmap", Help: "the kernel's direct map against the number of programs loaded; the first in its boot", Run: directMap},
		{Name: "load", Help: "load a fleet of programs, run every one, and look at where their code lies", Run: load},
		{Name: "drain", Help: "free a fleet, load's if that came before, and see that everything comes back", Run: drain},
		{Name: "churn", Help: "load, run and free at random for many generations, to fragmentation and back", Run: churn},
		{Name: "parallel", Help: "load, run and free on all processors at once, while other programs are run and attached", Run: parallel},
		{Name: "shapes", Help: "programs of every form the JIT knows: tail calls, callbacks, blinded, larger than a pack, classic ...", Run: shapes},
		{Name: "limits", Help: "reach net.core.bpf_jit_limit and leave it, and load many beyond it", Run: limits},
		{Name: "faults", Help: "have every allocation fail in turn, where the kernel has fault injection", Run: faults},
		{Name: "pressure", Help: "load, run and free while memory is short and in pieces", Run: pressure},
		{Name: "numa", Help: "load, run and free from the processors and in the memory of each node, where there are several", Run: numa},
		{Name: "soak", Help: "the attacks in turn, with new seeds, for a given time", Run: soak},
		{Name: "itlb", Help: "run hot programs among many in windows that are marked for a tracer", Run: itlb},
		{Name: "test_bpf", Help: "the kernel's own test suite for the JIT", Run: testBPF},
	}
}

// Find returns the scenario called name.
func Find(list []Scenario, name string) (Scenario, error) {
	var names []string
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("no scenario called %q (there are %s)", name, strings.Join(names, ", "))
}

// Reporter takes what a scenario has to say.
type Reporter interface {
	Progress(done, total int, what string)
	Sample(metric.Sample)
	Layout(wire.Layout)
	Finding(wire.Finding)
	Unmeasured(metric, why string)
	Window(wire.Window)
}

// Env is what a scenario finds around it.
type Env struct {
	Kernel probe.Kernel
	Arch   string // packtest's word: x86_64, s390x
	Report Reporter
	// Log takes lines for a human who watches.
	Log io.Writer
	// Now reads a clock that only goes forward, in steps as small as can be had.
	Now func() time.Time
	// Loads counts the programs that were loaded in this boot, by all scenarios.
	Loads int
	// Next is the scenario that comes right after this one, "" if none does.
	Next string
	// overdue is how much longer than usual this boot's waits for freed programs
	// took together.
	overdue time.Duration
	// areas are the beginnings of the vmalloc areas that were there before this
	// boot's first program, and of those that were told to be nobody's.
	areas map[uint64]bool
	// held is what load leaves to drain if that comes next: loading a fleet
	// takes longer than everything else.
	held *workload
	// jitCurrent, pageTable and dispatcher are the addresses of the kernel's
	// bpf_jit_current, init_top_pgt (swapper_pg_dir on s390x) and dispatcherCall,
	// once symbolsRead, and 0 if it has no such symbol.
	jitCurrent, pageTable, dispatcher uint64
	symbolsRead                       bool
}

// Defaults that a spec of zero asks for.
const (
	DefaultPrograms = 1000
	// MaxPrograms is the most that a scenario loads.
	MaxPrograms = 10000
)

// programs returns how many programs spec asks for.
func programs(spec wire.ScenarioSpec) (int, error) {
	switch n := spec.Programs; {
	case n == 0:
		return DefaultPrograms, nil
	case n < 0 || n > MaxPrograms:
		return 0, fmt.Errorf("asked for %d programs; it must be from 1 to %d", n, MaxPrograms)
	default:
		return n, nil
	}
}
