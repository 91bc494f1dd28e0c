// SPDX-License-Identifier: GPL-2.0-or-later

package main

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

// TestBoot boots this program as process 1 on every architecture, has it run
// the scenarios on a few programs, and looks at what they said. The kernel is
// the base without patches: it has nothing wrong that a scenario would find.
func TestBoot(t *testing.T) {
	for _, arch := range vmtest.Arches() {
		t.Run(arch, func(t *testing.T) {
			need.Long(t)
			need.QEMU(t, arch)
			kernel := vmtest.Kernel(t, arch)
			heard := map[string]int{}
			values := map[string]float64{}
			host := func(ctx context.Context, port io.ReadWriter) error {
				return converse(t, arch, port, heard, values)
			}
			o, err := vm.Run(t.Context(), vm.Machine{Arch: arch, Kernel: kernel, Initrd: vmtest.Init(t, arch, "packtest/cmd/packguest"),
				Dir: t.TempDir(), CPUs: 2, Cmdline: []string{"no_hash_pointers"}}, host)
			if err != nil {
				t.Fatal(err)
			}
			if o.Ending != vm.Done {
				t.Fatalf("%s: %s", o.Ending, o.Detail)
			}
			for what, want := range map[string]int{"hello": 1, "begin": 3, "end": 3, "done": 1, "layout": 1, "finding": 0} {
				if heard[what] != want {
					t.Errorf("heard %d of %s, want %d", heard[what], what, want)
				}
			}
			for name, want := range map[string]float64{"programs": 300, "drain_residue": 0, "programs_mapped_2m": 0} {
				if got, ok := values[name]; !ok || got != want {
					t.Errorf("%s = %v, %v, want %v", name, got, ok, want)
				}
			}
			for _, name := range []string{"jit_pages", "jit_charged", "text_mappings", "load_time_per_program", "free_time_per_program", "directmap_4k"} {
				if values[name] <= 0 {
					t.Errorf("%s = %v", name, values[name])
				}
			}
			// Packs on x86_64, a page for every program on s390x.
			if packs := values["packs"]; (packs > 0) != (arch == "x86_64") {
				t.Errorf("%v packs", packs)
			}
		})
	}
}

// converse is the host's side of the conversation.
func converse(t *testing.T, arch string, port io.ReadWriter, heard map[string]int, values map[string]float64) error {
	r, w := wire.NewReader(port), wire.NewWriter(port)
	for {
		m, err := r.Read()
		if err != nil {
			return err
		}
		heard[string(m.Type)]++
		switch m.Type {
		case wire.TypeHello:
			h := m.Hello
			if h.Arch != arch || h.CPUs != 2 || h.Release == "" || len(h.Config) == 0 || h.MemoryBytes == 0 || len(h.Mitigations) == 0 {
				t.Errorf("hello: %+v", h)
			}
			if err := w.Write(wire.Message{Type: wire.TypeJob, Job: &wire.Job{Scenarios: []wire.ScenarioSpec{
				{Name: "directmap", Steps: []int{0, 64}, Seed: 1}, {Name: "load", Programs: 300, Seed: 1}, {Name: "drain", Programs: 300, Seed: 1},
			}}}); err != nil {
				return err
			}
		case wire.TypeSample:
			values[m.Sample.Metric] = m.Sample.Values[0]
		case wire.TypeFinding:
			t.Errorf("finding: %+v", *m.Finding)
		case wire.TypeEnd:
			if m.End.Error != "" {
				return fmt.Errorf("%s: %s", m.Scenario, m.End.Error)
			}
		case wire.TypeDone:
			return nil
		}
	}
}
