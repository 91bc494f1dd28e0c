// SPDX-License-Identifier: GPL-2.0-or-later

package scenario_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"packtest/guest/wire"
	"packtest/internal/need"
	"packtest/vm"
	"packtest/vm/vmtest"
)

// told is what a guest said.
type told struct {
	values     map[string]float64 // by scenario, metric and label
	findings   []wire.Finding
	unmeasured []string
	// known is how many findings are those that the base without patches has.
	known int
}

// carryOut boots a machine and has it carry out scenarios.
func carryOut(t *testing.T, m vm.Machine, scenarios ...wire.ScenarioSpec) told {
	t.Helper()
	heard, arch := told{values: map[string]float64{}}, m.Arch
	host := func(ctx context.Context, port io.ReadWriter) error {
		r, w := wire.NewReader(port), wire.NewWriter(port)
		for {
			m, err := r.Read()
			if err != nil {
				return err
			}
			switch m.Type {
			case wire.TypeHello:
				if err := w.Write(wire.Message{Type: wire.TypeJob, Job: &wire.Job{Scenarios: scenarios}}); err != nil {
					return err
				}
			case wire.TypeSample:
				heard.values[m.Scenario+" "+m.Sample.Metric+m.Sample.Labels["shape"]+m.Sample.Labels["node"]] = m.Sample.Values[0]
			case wire.TypeFinding:
				if m.Finding.Title == "kernel memory is writable and executable" && (arch == "s390x" || m.Scenario == "faults") {
					heard.known++
				} else {
					heard.findings = append(heard.findings, *m.Finding)
				}
			case wire.TypeUnmeasured:
				heard.unmeasured = append(heard.unmeasured, m.Unmeasured.Metric+": "+m.Unmeasured.Why)
			case wire.TypeEnd:
				if m.End.Error != "" {
					return fmt.Errorf("%s: %s", m.Scenario, m.End.Error)
				}
			case wire.TypeDone:
				return nil
			}
		}
	}
	m.Initrd, m.Dir, m.CPUs, m.Cmdline = vmtest.Init(t, m.Arch, "packtest/cmd/packguest"), t.TempDir(), 2, []string{"no_hash_pointers"}
	o, err := vm.Run(t.Context(), m, host)
	if err != nil {
		t.Fatal(err)
	}
	if o.Ending != vm.Done || len(o.Events) > 0 {
		t.Fatalf("%s: %s; %+v", o.Ending, o.Detail, o.Events)
	}
	for _, f := range heard.findings {
		t.Errorf("finding: %+v", f)
	}
	return heard
}

// atLeast holds figures against the least they must be.
func (h told) atLeast(t *testing.T, figures map[string]float64) {
	t.Helper()
	for name, least := range figures {
		if got, ok := h.values[name]; !ok || got < least {
			t.Errorf("%s = %v, %v, want %v at least", name, got, ok, least)
		}
	}
}

// TestAttacks has every attack run on a real kernel, the base without patches.
// That has defects that the rules find: on s390x the dispatcher's buffer, which
// nothing uses there, can be written and executed for good; on x86_64 a pack can
// whose protection could not be changed for want of memory.
func TestAttacks(t *testing.T) {
	for _, arch := range vmtest.Arches() {
		t.Run(arch, func(t *testing.T) {
			need.Long(t)
			need.QEMU(t, arch)
			heard := carryOut(t, vm.Machine{Arch: arch, Kernel: vmtest.Kernel(t, arch)},
				wire.ScenarioSpec{Name: "churn", Programs: 240, Seed: 7}, wire.ScenarioSpec{Name: "parallel", Programs: 120, Seed: 7},
				wire.ScenarioSpec{Name: "shapes", Seed: 7}, wire.ScenarioSpec{Name: "limits", Programs: 100, Seed: 7},
				wire.ScenarioSpec{Name: "faults", Seed: 7}, wire.ScenarioSpec{Name: "pressure", Programs: 60, Seed: 7},
				wire.ScenarioSpec{Name: "numa", Seed: 7}, wire.ScenarioSpec{Name: "soak", Programs: 120, Seconds: 1, Seed: 7})
			if heard.known == 0 {
				t.Error("what the base does wrong was not found")
			}
			heard.atLeast(t, map[string]float64{
				"churn attack_loads": 240, "churn attack_runs": 240, "churn attack_looks": 4, "churn load_time_ratio": 0.01,
				"parallel attack_loads": 120, "parallel attack_runs": 500, "parallel attack_looks": 4,
				"shapes shape_runstail_calls": 20, "shapes shape_runscallbacks": 8, "shapes shape_runsreaders": map[string]float64{"x86_64": 3, "s390x": 1}[arch], "shapes shape_runsclassic": 350, "shapes shape_runsblinded": 20,
				"shapes largest_program": 2<<20 + 1, "limits limit_accepted": 8, "limits attack_loads": 100, "pressure attack_loads": 60, "soak attack_loads": 120,
			})
			// A kernel of the measuring configuration says what it can't show.
			for _, what := range []string{"exception_table", "fentry", "struct_ops", "freplace", "nodes", "faults_injected"} {
				if !slices.ContainsFunc(heard.unmeasured, func(s string) bool { return strings.Contains(s, what) }) {
					t.Errorf("%s: not said to be unmeasured: %q", what, heard.unmeasured)
				}
			}
		})
	}
}

// TestConfigurations has what only kernels of other configurations can show. Each
// of these kernels takes minutes to build, so that the first is built always, and
// the others if PACKTEST_CONFIGS is set.
func TestConfigurations(t *testing.T) {
	for i, tc := range []struct {
		arch, config string
		nodes        int
		spec         wire.ScenarioSpec
		least        map[string]float64
		unmeasured   []string
	}{
		{"x86_64", "btf", 1, wire.ScenarioSpec{Name: "shapes", Seed: 7}, map[string]float64{"shapes shape_runsexception_table": 72,
			"shapes shape_runsfentry": 200, "shapes shape_runsstruct_ops": 24, "shapes shape_runsfreplace": 17}, nil},
		// It has no trampolines before 6.3.
		{"s390x", "btf", 1, wire.ScenarioSpec{Name: "shapes", Seed: 7}, map[string]float64{"shapes shape_runsexception_table": 48},
			[]string{"fentry", "struct_ops", "freplace"}},
		{"x86_64", "numa", 2, wire.ScenarioSpec{Name: "numa", Seed: 7},
			map[string]float64{"numa attack_loads": 240, "numa attack_looks": 5, "numa node_pages0": 1, "numa node_pages1": 1}, nil},
	} {
		t.Run(tc.arch+" "+tc.config, func(t *testing.T) {
			need.Long(t)
			need.QEMU(t, tc.arch)
			if i > 0 && os.Getenv("PACKTEST_CONFIGS") == "" {
				t.Skip("PACKTEST_CONFIGS=1 has this kernel built, too")
			}
			if tc.config == "btf" {
				need.Commands(t, "pahole")
			}
			heard := carryOut(t, vm.Machine{Arch: tc.arch, Kernel: vmtest.KernelOf(t, tc.arch, tc.config), Nodes: tc.nodes}, tc.spec)
			heard.atLeast(t, tc.least)
			for _, what := range tc.unmeasured {
				if !slices.ContainsFunc(heard.unmeasured, func(s string) bool { return strings.Contains(s, what) }) {
					t.Errorf("%s: not said to be unmeasured: %q", what, heard.unmeasured)
				}
			}
		})
	}
}
