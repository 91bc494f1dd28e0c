// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"packtest/internal/cache"
	"packtest/itlb/plugin"
	"packtest/metric"
	"packtest/results"
	"packtest/vm"
	"packtest/vm/console"
)

// bootKept boots b; if its outcome belongs to the kernel image, an outcome that
// was kept with the same image, initramfs and machine is used instead.
// Only an outcome that came to its end without the harness failing is kept;
// findings are kept with it, and reported every time.
func (r *run) bootKept(ctx context.Context, b *boot, accel, initrd string) (*outcome, error) {
	if !b.keep {
		return r.bootTwice(ctx, b, accel, initrd)
	}
	key, err := r.keptKey(b, accel, initrd)
	if err != nil {
		return nil, err
	}
	o, err := r.loadKept(b, key)
	var corrupt *cache.CorruptError
	switch {
	case err == nil:
		return o, nil
	case errors.As(err, &corrupt):
		r.note("%v: it is made again", err)
	case errors.Is(err, errOtherEyes):
		r.note("%v", err)
		if err := r.Cache.Remove(keptKind, key); err != nil {
			return nil, err
		}
	case !errors.Is(err, cache.ErrMiss):
		return nil, err
	}
	o, err = r.bootTwice(ctx, b, accel, initrd)
	if err != nil || o.harness != nil || o.Boot.Ending != string(vm.Done) || o.failedScenario() {
		return o, err
	}
	o.keep = key
	return o, nil
}

// self tells this packtest from others: by its version and, where that names no
// build in particular, by its own file.
func (r *run) self() (string, error) {
	if r.Version != "devel" && !strings.HasSuffix(r.Version, "-dirty") {
		return r.Version, nil
	}
	file, err := os.Executable()
	if err != nil {
		return "", err
	}
	sum, err := cache.FileSum(file)
	return r.Version + sum, err
}

// failedScenario tells whether a scenario could not be carried out. That may be
// the host's fault, and is not to be held against the image for good.
func (o *outcome) failedScenario() bool {
	return slices.ContainsFunc(o.Findings, func(f results.Finding) bool { return f.Kind == results.ScenarioFailed })
}

const keptKind = "kept"

// keptKey is made of all that decides what the suite does. The guest and the
// module are in the initramfs, the architecture, the accelerator and the kernel's
// parameters in QEMU's arguments; what the JIT makes of a program depends on the
// processor, which is QEMU's own under TCG and the host's under KVM.
func (r *run) keptKey(b *boot, accel, initrd string) (string, error) {
	job, err := json.Marshal(b.job)
	if err != nil {
		return "", err
	}
	sum, err := cache.FileSum(initrd)
	if err != nil {
		return "", fmt.Errorf("look up the kept outcome of %s %s: %w", b.arch, b.variant, err)
	}
	var model string
	if b.traced {
		// What the trace comes to is decided by the plugin and by the simulator,
		// which is part of packtest.
		source, err := plugin.SourceHash()
		if err != nil {
			return "", err
		}
		self, err := r.self()
		if err != nil {
			return "", fmt.Errorf("look up the kept outcome of %s %s: %w", b.arch, b.variant, err)
		}
		model = source + self + r.prep.geometries.text
	}
	made := r.rec.Provenance
	cpu := made.Tools["qemu-"+b.arch]
	if accel == vm.KVM {
		cpu += made.Host.CPU + made.Host.Kernel
	}
	setup := r.machineOf(b, accel, initrd, "").Setup()
	return cache.Key("3", b.kernel.SHA256, sum, cpu, setup, string(job), model), nil
}

// loadKept puts a kept outcome into this run. It may have been made under
// another variant's name, if the images are the same.
func (r *run) loadKept(b *boot, key string) (*outcome, error) {
	e, err := r.Cache.Get(keptKind, key)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(e.Path("outcome.json"))
	if err != nil {
		return nil, fmt.Errorf("read a kept outcome: %w", err)
	}
	var o outcome
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, fmt.Errorf("read a kept outcome: %w", err)
	}
	text, err := os.ReadFile(e.Path("console.log"))
	if err != nil {
		return nil, fmt.Errorf("read a kept outcome: %w", err)
	}
	if !slices.Equal(o.Reports, reports(text)) {
		return nil, fmt.Errorf("%s %s: %w", b.arch, b.variant, errOtherEyes)
	}
	o.Boot.Variant, o.Boot.Number, o.Boot.Kept = b.variant, b.number, true
	for i := range o.Samples {
		o.Samples[i].Variant = b.variant
	}
	for i := range o.Findings {
		o.Findings[i].Variant, o.Findings[i].Boot = b.variant, b.number
	}
	for i := range o.Unmeasured {
		o.Unmeasured[i].Variant = b.variant
	}
	for i := range o.Layouts {
		o.Layouts[i].Variant = b.variant
	}
	dir, err := os.MkdirTemp(r.dir, ".kept-")
	if err != nil {
		return nil, fmt.Errorf("read a kept outcome: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := cache.WriteFile(filepath.Join(dir, "console.log"), text, 0o644); err != nil {
		return nil, err
	}
	return &o, r.keepConsole(b, dir, &o)
}

// errOtherEyes says that a packtest which kept an outcome read its console
// differently: what it found there, or did not, says nothing.
var errOtherEyes = errors.New("what was kept of this kernel is made again: this packtest finds other reports on its console")

// reports names what a console's text has reports of, in order.
func reports(text []byte) []string {
	keys := []string{}
	for _, e := range console.Scan(string(text)) {
		keys = append(keys, e.Key())
	}
	return keys
}

// saveKept keeps an outcome, without what belongs to the day it was made on.
func (r *run) saveKept(o *outcome) error {
	_, err := r.Cache.Put(keptKind, o.keep, func(dir string) error {
		kept := *o
		kept.Samples = nil
		for _, s := range o.Samples {
			if d, _ := metric.Lookup(s.Metric); d.Exact {
				kept.Samples = append(kept.Samples, s)
			}
		}
		text, err := os.ReadFile(o.console)
		if err != nil {
			return fmt.Errorf("keep an outcome: %w", err)
		}
		kept.Reports = reports(text)
		raw, err := json.MarshalIndent(kept, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "console.log"), text, 0o644); err != nil {
			return fmt.Errorf("keep an outcome: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, "outcome.json"), raw, 0o644); err != nil {
			return fmt.Errorf("keep an outcome: %w", err)
		}
		return nil
	})
	return err
}
