// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"packtest/compare"
	"packtest/guest/wire"
	"packtest/internal/fault"
	"packtest/metric"
	"packtest/results"
	"packtest/vm"
)

// heardBefore is the port of a guest that has said everything: what the host
// says is for nobody.
type heardBefore struct{ io.Reader }

func (heardBefore) Write(p []byte) (int, error) { return len(p), nil }

// Local makes a record of what packguest local wrote on a machine whose kernel
// runs there by itself, under the name of a variant. That kernel is one nobody
// built, and the record says so; it holds what the machine's processor counted,
// and of the other tiers that they were not measured.
func (l *Lab) Local(ctx context.Context, said []byte, variant string, command []string) (*results.Record, error) {
	first, err := wire.NewReader(bytes.NewReader(said)).Read()
	if err != nil || first.Hello == nil {
		return nil, fault.WithHint(fault.Inputf("read what packguest local wrote: it doesn't begin with a guest's hello (%v)", err), "packguest local > FILE writes it")
	}
	h := first.Hello
	now := l.Now().UTC()
	tr := newTranscript(func() time.Duration { return 0 })
	job := wire.Job{Scenarios: []wire.ScenarioSpec{{Name: tracedScenario}}}
	if err := tr.talk(ctx, heardBefore{bytes.NewReader(said)}, job, expectation{arch: h.Arch, program: h.Program}, func(wire.Message) {}); err != nil {
		return nil, fault.Inputf("read what packguest local wrote: %w", err)
	}
	if why := tr.failed[tracedScenario]; why != "" {
		return nil, fault.Harnessf("packguest local on %s: %s", h.Release, why)
	}
	id, err := l.Store.Create(now)
	if err != nil {
		return nil, err
	}
	r := &run{Lab: l, dir: l.Store.Dir(id), rec: &results.Record{
		Schema: results.Schema, ID: id, Started: now, Command: command, Baseline: variant, Candidate: variant,
		Provenance: results.Provenance{
			Packtest: l.Version, Base: results.Base{Spec: "the kernel that ran there", Version: h.Release},
			Host:        results.Host{CPUs: h.CPUs, Memory: h.MemoryBytes, Kernel: h.Release},
			Accelerator: map[string]string{h.Arch: "none"},
		},
		Planned: []results.Planned{{Arch: h.Arch, Variant: variant, Scenario: tracedScenario, Boots: 1}},
		// Nobody read the image; what the kernel calls itself tells it from others.
		Cells: []results.Cell{{Arch: h.Arch, Variant: variant, Image: h.Release + " " + h.Build}},
		Boots: []results.Boot{{Arch: h.Arch, Variant: variant, Number: 1, Scenarios: []string{tracedScenario}, Started: now, Ending: string(vm.Done),
			Accelerator: "none", Cmdline: h.Cmdline, CPUs: h.CPUs, MemoryMiB: int(h.MemoryBytes >> 20), Release: h.Release, Mitigations: h.Mitigations}},
		Notes: []string{"measured by packguest local, on a kernel that ran there by itself"},
	}}
	for _, s := range tr.samples {
		r.rec.Samples = append(r.rec.Samples, results.Sample{Arch: h.Arch, Variant: variant, Scenario: s.scenario, Sample: s.what})
	}
	missing := func(metric, why string) {
		r.rec.Unmeasured = append(r.rec.Unmeasured, results.Unmeasured{Arch: h.Arch, Variant: variant, Scenario: tracedScenario, Metric: metric, Why: why})
	}
	for _, u := range tr.unmeasured {
		missing(u.what.Metric, u.what.Why)
	}
	for _, d := range metric.Catalogue() {
		if strings.HasPrefix(d.Name, "itlb_trace_") || strings.HasPrefix(d.Name, "itlb_model_") {
			missing(d.Name, "a trace needs an emulator, and this was counted on the machine itself")
		}
	}
	r.rec.Finished = now
	compare.MarkBaseline(r.rec)
	r.rec.Verdict, r.rec.Why = compare.Judge(r.rec)
	if len(tr.samples) == 0 && len(tr.unmeasured) > 0 {
		r.rec.Why = fmt.Sprintf("nothing was measured: %s", tr.unmeasured[0].what.Why)
	}
	if err := l.Store.Save(r.rec); err != nil {
		return nil, err
	}
	return r.rec, l.Store.Publish(id)
}
