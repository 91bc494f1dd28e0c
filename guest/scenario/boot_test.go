// SPDX-License-Identifier: GPL-2.0-or-later

package scenario_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"packtest/guest/wire"
	"packtest/internal/need"
	"packtest/vm"
	"packtest/vm/vmtest"
)

// TestAttacks has every attack run on a real kernel, the base without patches.
// That has one defect that the rules find: on s390x the dispatcher's buffer,
// which nothing uses there, can be written and executed for good.
func TestAttacks(t *testing.T) {
	for _, arch := range vmtest.Arches() {
		t.Run(arch, func(t *testing.T) {
			need.Long(t)
			need.QEMU(t, arch)
			kernel := vmtest.Kernel(t, arch)
			job := wire.Job{Scenarios: []wire.ScenarioSpec{{Name: "churn", Programs: 240, Seed: 7}, {Name: "parallel", Programs: 120, Seed: 7},
				{Name: "shapes", Seed: 7}, {Name: "limits", Programs: 100, Seed: 7}, {Name: "faults", Seed: 7}, {Name: "pressure", Programs: 60, Seed: 7},
				{Name: "soak", Programs: 120, Seconds: 1, Seed: 7}}}
			values := map[string]float64{}
			var findings []wire.Finding
			host := func(ctx context.Context, port io.ReadWriter) error {
				r, w := wire.NewReader(port), wire.NewWriter(port)
				for {
					m, err := r.Read()
					if err != nil {
						return err
					}
					switch m.Type {
					case wire.TypeHello:
						if err := w.Write(wire.Message{Type: wire.TypeJob, Job: &job}); err != nil {
							return err
						}
					case wire.TypeSample:
						values[m.Scenario+" "+m.Sample.Metric+m.Sample.Labels["shape"]] = m.Sample.Values[0]
					case wire.TypeFinding:
						findings = append(findings, *m.Finding)
					case wire.TypeEnd:
						if m.End.Error != "" {
							return fmt.Errorf("%s: %s", m.Scenario, m.End.Error)
						}
					case wire.TypeDone:
						return nil
					}
				}
			}
			o, err := vm.Run(t.Context(), vm.Machine{Arch: arch, Kernel: kernel, Initrd: vmtest.Init(t, arch, "packtest/cmd/packguest"),
				Dir: t.TempDir(), CPUs: 2, Cmdline: []string{"no_hash_pointers"}}, host)
			if err != nil {
				t.Fatal(err)
			}
			if o.Ending != vm.Done || len(o.Events) > 0 {
				t.Fatalf("%s: %s; %+v", o.Ending, o.Detail, o.Events)
			}
			for _, f := range findings {
				if arch != "s390x" || f.Title != "kernel memory is writable and executable" {
					t.Errorf("finding: %+v", f)
				}
			}
			if arch == "s390x" && len(findings) == 0 {
				t.Error("the dispatcher's buffer was not found")
			}
			for name, least := range map[string]float64{
				"churn attack_loads": 240, "churn attack_runs": 240, "churn attack_looks": 4, "churn load_time_ratio": 0.01,
				"parallel attack_loads": 120, "parallel attack_runs": 500, "parallel attack_looks": 4,
				"shapes shape_runstail_calls": 20, "shapes shape_runscallbacks": 8, "shapes shape_runsclassic": 200, "shapes shape_runsblinded": 20,
				"shapes largest_program": 2<<20 + 1, "limits limit_accepted": 8, "limits attack_loads": 100, "pressure attack_loads": 60, "soak attack_loads": 120,
			} {
				if got, ok := values[name]; !ok || got < least {
					t.Errorf("%s = %v, %v, want %v at least", name, got, ok, least)
				}
			}
		})
	}
}
