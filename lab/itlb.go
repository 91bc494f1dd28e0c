// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"packtest/guest/wire"
	"packtest/internal/fault"
	"packtest/internal/proc"
	"packtest/itlb"
	"packtest/itlb/plugin"
	"packtest/itlb/trace"
	"packtest/metric"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

// prepareTraces sees to the plugin, if something is to be traced. Where the machine
// can't, what was to be traced is left out, and the record says why; but if it was
// asked for by its name, or nothing else was, that is an error, as is any failure
// that may be gone the next time.
func (r *run) prepareTraces(ctx context.Context) error {
	at := slices.IndexFunc(r.plan.Scenarios, func(s plan.Scenario) bool { return s.Name == tracedScenario })
	if at < 0 {
		return nil
	}
	for _, arch := range r.plan.Arches {
		_, err := r.pluginFor(ctx, arch)
		switch {
		case err == nil || leftOut(r.rec, arch, tracedScenario):
			continue // what an earlier sitting left out stays left out
		case ctx.Err() != nil:
			return interruption(ctx)
		case !plugin.Unable(err) || r.plan.Scenarios[at].Asked || len(r.plan.Scenarios) == 1 || wasTraced(r.rec, arch):
			return err
		}
		r.note("%s on %s is left out: %v", tracedScenario, arch, err)
		if err := r.leaveOutTraces(arch, inBrief(err)); err != nil {
			return err
		}
	}
	return nil
}

// inBrief is an error in one line, of a command that failed what it complained of and
// not how it was called.
func inBrief(err error) string {
	text := err.Error()
	if ee := (*proc.ExitError)(nil); errors.As(err, &ee) {
		said := strings.Split(strings.TrimSpace(string(ee.Result.Stderr)), "\n")
		at := max(0, slices.IndexFunc(said, func(l string) bool { return strings.Contains(l, "error: ") }))
		text = strings.Replace(text, ee.Error(), cmp.Or(said[at], ee.State), 1)
	}
	return strings.Join(strings.Fields(text), " ")
}

// leaveOutTraces writes down that nothing can be traced on arch, and with it
// everything that is not measured for that.
func (r *run) leaveOutTraces(arch, why string) error {
	return r.update(func(rec *results.Record) {
		for i := range rec.Planned {
			p := &rec.Planned[i]
			if p.Arch != arch || p.Scenario != tracedScenario {
				continue
			}
			p.LeftOut = why
			for _, d := range metric.Catalogue() {
				if strings.HasPrefix(d.Name, "itlb_") {
					rec.Unmeasured = append(rec.Unmeasured, results.Unmeasured{Arch: arch, Variant: p.Variant, Scenario: tracedScenario, Metric: d.Name, Why: why})
				}
			}
		}
	})
}

// leftOut tells whether a scenario was left out on arch.
func leftOut(rec *results.Record, arch, scenario string) bool {
	return slices.ContainsFunc(rec.Planned, func(p results.Planned) bool {
		return p.Arch == arch && p.Scenario == scenario && p.LeftOut != ""
	})
}

// wasTraced tells whether a boot on arch was traced, in an earlier sitting.
func wasTraced(rec *results.Record, arch string) bool {
	return slices.ContainsFunc(rec.Boots, func(b results.Boot) bool { return b.Arch == arch && b.Trace != nil })
}

// pluginFor compiles the plugin that traces instruction fetches, once in a run,
// and sees whether the architecture's QEMU takes it.
func (r *run) pluginFor(ctx context.Context, arch string) (*plugin.Plugin, error) {
	r.pluginMu.Lock()
	defer r.pluginMu.Unlock()
	if r.plugin == nil {
		dir, err := os.MkdirTemp(r.dir, ".plugin-")
		if err != nil {
			return nil, fmt.Errorf("build the iTLB plugin: %w", err)
		}
		p, err := plugin.Build(ctx, dir)
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		r.plugin, r.loads = p, map[string]bool{}
	}
	if !r.loads[arch] {
		if err := r.plugin.Check(ctx, "qemu-system-"+arch); err != nil {
			return nil, err
		}
		r.loads[arch] = true
	}
	return r.plugin, nil
}

// removePlugin removes what pluginFor left.
func (r *run) removePlugin() {
	if r.plugin != nil {
		os.RemoveAll(filepath.Dir(r.plugin.Path))
	}
}

const traceFile = "itlb.trace"

// traced makes of a boot's machine one whose trace is the same in every boot of
// the same image. Such a guest says its first word when all is done.
func (r *run) traced(ctx context.Context, m vm.Machine, b *boot) (vm.Machine, error) {
	p, err := r.pluginFor(ctx, b.arch)
	if err != nil {
		return m, err
	}
	m.Accel, m.Deterministic, m.CPUs = vm.TCG, true, 1
	m.Cmdline = append(m.Cmdline, "norandmaps")
	m.Plugin = p.Option(filepath.Join(m.Dir, traceFile), b.kernel.SHA256)
	m.Limits = vm.Limits{Boot: 2 * time.Minute, Silence: 2 * time.Minute, Total: 3 * time.Minute}
	return m, nil
}

// joinTrace reads the trace that a boot left, holds it against what the guest
// said of each window, and puts what a TLB would have made of it into o.
func (r *run) joinTrace(b *boot, dir string, tr *transcript, o *outcome) error {
	path := filepath.Join(dir, traceFile)
	f, err := os.Open(path)
	if err != nil {
		return fault.Harnessf("read the trace of %s %s: %w", b.arch, b.variant, err)
	}
	defer f.Close()
	j := joiner{arch: b.arch, tag: b.kernel.SHA256, windows: tr.windows, mitigations: tr.hello.Mitigations, geometries: r.prep.geometries}
	h := sha256.New()
	if err := j.join(io.TeeReader(f, h)); err != nil {
		return fault.Harnessf("read the trace of %s %s: %w", b.arch, b.variant, err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return fault.Harnessf("read the trace of %s %s: %w", b.arch, b.variant, err)
	}
	o.Boot.Trace = &results.Trace{SHA256: hex.EncodeToString(h.Sum(nil)), Bytes: size, Windows: len(tr.windows), Events: j.events, Plugin: j.plugin}
	for _, s := range j.samples {
		o.Samples = append(o.Samples, results.Sample{Arch: b.arch, Variant: b.variant, Scenario: tracedScenario, Sample: s})
	}
	return nil
}

// tracedScenario is the scenario whose boots are traced.
const tracedScenario = "itlb"

// joiner holds a trace against a guest's windows.
type joiner struct {
	arch, tag   string
	windows     []wire.Window
	mitigations map[string]string
	geometries  geometries // the plan's own

	events  uint64
	plugin  string
	samples []metric.Sample
}

// join reads a whole trace. Any difference between it and what the guest said is
// an error: the samples would be another kernel's.
func (j *joiner) join(r io.Reader) error {
	rd, err := trace.NewReader(r)
	if err != nil {
		return err
	}
	h := rd.Header()
	switch {
	case h.Arch != j.arch:
		return fmt.Errorf("it is of %s", h.Arch)
	case h.Tag != j.tag:
		return fmt.Errorf("it is of another kernel image, %.12s", h.Tag)
	case h.CPUs != 1:
		return fmt.Errorf("it is of a machine with %d CPUs", h.CPUs)
	case len(j.windows) == 0:
		return errors.New("the guest told of no window")
	}
	j.plugin = h.Build
	geometries, err := j.geometries.of(j.arch)
	if err != nil {
		return err
	}
	var memory itlb.Window
	for i, said := range j.windows {
		w, err := rd.NextWindow()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("it has %d windows, the guest told of %d", i, len(j.windows))
		}
		if err != nil {
			return err
		}
		if said.Number != i+1 || w.Number != said.Number {
			return fmt.Errorf("its window %d stands where the guest told of window %d", w.Number, said.Number)
		}
		if said.Memory == said.Number {
			memory = memoryOf(said)
		} else if i == 0 || said.Memory != j.windows[i-1].Memory {
			return fmt.Errorf("window %d has the memory of window %d, which is not the one before", said.Number, said.Memory)
		}
		kernelGlobal := j.arch == "x86_64" && !strings.Contains(j.mitigations["meltdown"], "PTI")
		result, err := itlb.Analyse(about(said, memory, kernelGlobal), w, itlb.Options{
			Geometries: geometries, KnownPolicy: !headline(said), Remaps: whatIfs(j.arch, memory)})
		if err != nil {
			return fmt.Errorf("window %d: %w", said.Number, err)
		}
		j.events += result.Trace.Events
		for _, s := range itlb.Samples(result) {
			if headline(said) || sweeps(s) {
				j.samples = append(j.samples, s)
			}
		}
	}
	if _, err := rd.NextWindow(); !errors.Is(err, io.EOF) {
		if err != nil {
			return err
		}
		return fmt.Errorf("it has more windows than the %d that the guest told of", len(j.windows))
	}
	return nil
}

// headline tells the windows that everything is shown of from those of the sweep
// over numbers of hot programs.
func headline(w wire.Window) bool { return w.Number <= 2 }

// sweeps tells whether a sample is worth keeping for each point of the sweep:
// what a plot over the number of hot programs needs.
func sweeps(s metric.Sample) bool {
	switch s.Metric {
	case "itlb_model_misses_per_run":
		return s.Labels["lap"] == itlb.Warm.String()
	case "itlb_model_capacity_misses_per_run":
		n, err := strconv.Atoi(s.Labels["entries"])
		return err == nil && n >= 64 && n <= 1024 && n&(n-1) == 0
	case "itlb_model_misses_per_kiloinstruction", "itlb_model_walks_per_run", "itlb_model_programs_missing", "itlb_model_capacity_programs_missing":
		return false
	}
	return true
}

// memoryOf takes what can be executed and all programs' code from a window.
func memoryOf(w wire.Window) itlb.Window {
	mapped := func(list []wire.Mapped) []itlb.Mapping {
		var out []itlb.Mapping
		for _, m := range list {
			out = append(out, itlb.Mapping{Start: m.Start, End: m.End, PageBytes: m.PageBytes})
		}
		return out
	}
	m := itlb.Window{Kernel: mapped(w.Kernel), User: mapped(w.User)}
	for _, im := range w.Images {
		m.Images = append(m.Images, itlb.Image{Start: im.Start, Bytes: im.Bytes, ID: im.ID})
	}
	return m
}

// about says of a window what the guest said.
func about(said wire.Window, memory itlb.Window, kernelGlobal bool) itlb.Window {
	w := memory
	w.Form, w.Loaded, w.Hot, w.Rounds, w.Runs, w.KernelGlobal = said.Form, said.Loaded, said.Hot, said.Rounds, said.Runs, kernelGlobal
	hot := map[uint32]bool{}
	for _, id := range said.HotIDs {
		hot[id] = true
	}
	w.Images = slices.Clone(memory.Images)
	for i := range w.Images {
		w.Images[i].Hot = hot[w.Images[i].ID]
	}
	return w
}

// whatIfs says which other mappings of BPF code are worth a replay: packs that
// could have been mapped by large pages and are not, and the other way round. A
// program with pages of its own could not share a large one.
func whatIfs(arch string, memory itlb.Window) []itlb.Remap {
	const large = 2 << 20
	if arch != "x86_64" {
		return nil
	}
	var list []itlb.Remap
	add := func(m itlb.Remap) {
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	for _, m := range memory.Kernel {
		packed := m.End-m.Start >= large && slices.ContainsFunc(memory.Images, func(im itlb.Image) bool { return m.Start <= im.Start && im.Start < m.End })
		switch {
		case packed && m.PageBytes < large:
			add(itlb.Remap{Name: "what-if-2m", PageBytes: large})
		case packed:
			add(itlb.Remap{Name: "what-if-4k", PageBytes: trace.PageBytes})
		}
	}
	return list
}
