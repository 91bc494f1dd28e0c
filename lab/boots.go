// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"packtest/guest/wire"
	"packtest/initramfs"
	"packtest/internal/fault"
	"packtest/kconfigs"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

// boot is one start of one cell's kernel that the plan asks for.
type boot struct {
	*cell
	number int
	job    wire.Job
	// keep is set if the outcome belongs to the kernel image and is kept with it.
	keep bool
	// traced is set if the job comes with the guest, and what it fetches is traced.
	traced bool
	// beside is the number of the boot of the cell that runs the same windows the
	// other way: traced, or counting on a processor; 0 if there is none.
	beside int
}

// testModule is where a guest finds the kernel's own JIT suite.
const testModule = "/lib/modules/test_bpf.ko"

// schedule lists the boots of a plan: the direct map, which only a fresh kernel
// shows, then the timed scenarios round by round with the variants interleaved,
// so that a machine that slows down slows all of them, then the attacks together,
// and last what belongs to the image: the trace, and the kernel's own suite.
func schedule(p *plan.Plan, cells []*cell) []*boot {
	var fresh, rounds, attacks, traced, kept []wire.ScenarioSpec
	for _, s := range p.Scenarios {
		spec := p.Spec(s)
		switch {
		case timed(s.Name):
			rounds = append(rounds, spec)
		case plan.IsAttack(s.Name):
			attacks = append(attacks, spec)
		case s.Name == tracedScenario:
			traced = append(traced, spec)
		case s.Name == "test_bpf":
			spec.Module = testModule
			kept = append(kept, spec)
		default:
			fresh = append(fresh, spec)
		}
	}
	var boots []*boot
	count := map[*cell]int{}
	add := func(scenarios []wire.ScenarioSpec, like boot) {
		if len(scenarios) == 0 {
			return
		}
		for _, c := range cells {
			if c.kernel == nil {
				continue
			}
			count[c]++
			b := like
			b.cell, b.number, b.job = c, count[c], wire.Job{Scenarios: scenarios}
			boots = append(boots, &b)
		}
	}
	add(fresh, boot{})
	for range p.Boots {
		add(rounds, boot{})
	}
	add(attacks, boot{})
	add(traced, boot{keep: true, traced: true})
	add(kept, boot{keep: true})
	return boots
}

// planned says what the schedule sets out to do, for the record.
func planned(p *plan.Plan) []results.Planned {
	var out []results.Planned
	for _, arch := range p.Arches {
		for _, v := range p.Variants {
			for _, s := range p.Scenarios {
				boots := 1
				if timed(s.Name) {
					boots = p.Boots
				}
				out = append(out, results.Planned{Arch: arch, Variant: v.Name, Scenario: s.Name, Boots: boots})
			}
		}
	}
	return out
}

// timed tells whether a scenario is repeated in every round: its noisy figures
// need one value from each of several boots. The direct map needs a kernel that
// has loaded nothing yet, once; the kernel's own suite and a trace belong to the
// image; an attack's figures say that it took place.
func timed(scenario string) bool {
	return scenario != "directmap" && scenario != "test_bpf" && scenario != tracedScenario && !plan.IsAttack(scenario)
}

func (b *boot) names() []string {
	var names []string
	for _, s := range b.job.Scenarios {
		names = append(names, s.Name)
	}
	return names
}

// bootCells carries out the schedule, several VMs at once.
func (r *run) bootCells(ctx context.Context) error {
	if len(remaining(r.rec, everyBoot(r.rec, r.plan, r.cells, r.rec.Provenance.Accelerator))) == 0 {
		return nil // nothing was built, as the record says, or all was booted before
	}
	accel, err := r.accelerators(ctx)
	if err != nil {
		return err
	}
	boots := remaining(r.rec, everyBoot(r.rec, r.plan, r.cells, accel))
	if slices.ContainsFunc(boots, func(b *boot) bool { return b.traced && b.beside > 0 }) {
		if err := r.remark("%s is traced under TCG, since KVM shows no instructions; everything else runs under KVM where there is KVM", tracedScenario); err != nil {
			return err
		}
		if splitsLargePages(os.DirFS("/")) {
			if err := r.remark("this host's KVM maps what guests execute by 4 KiB entries (kvm.nx_huge_pages): the processor's counters don't show what a large page saves"); err != nil {
				return err
			}
		}
	}
	return r.bootAll(ctx, boots, accel, nil)
}

// bootAll carries out boots, several VMs at once, each with its architecture's
// accelerator. told is called with every outcome once it is in the record, from
// several goroutines; it may be nil.
func (r *run) bootAll(ctx context.Context, boots []*boot, accel map[string]string, told func(*boot, *outcome)) error {
	initrds, cleanup, err := r.makeInitrds(boots)
	if err != nil {
		return err
	}
	defer cleanup()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.parallel())
	for i, b := range boots {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if r.enough(b) {
				return r.recordBoot(b, r.unneeded(b))
			}
			r.emit(Event{Stage: StageBoot, State: Begun, Arch: b.arch, Variant: b.variant, Boot: b.number, Done: i, Total: len(boots), Text: join(b.names())})
			with := accel[b.arch]
			if b.traced {
				with = vm.TCG // nothing else shows a plugin anything
			}
			o, err := r.bootKept(ctx, b, with, initrds[b])
			if err != nil {
				return err
			}
			if err := r.recordBoot(b, o); err != nil {
				return err
			}
			if told != nil {
				told(b, o)
			}
			state := Finished
			if o.Boot.Ending != string(vm.Done) {
				state = Failed
			}
			text := fmt.Sprintf("%s: %s", join(b.names()), o.Boot.Ending)
			if o.Boot.Kept {
				text = fmt.Sprintf("%s: kept from %s", join(b.names()), o.Boot.Started.Format("2006-01-02 15:04"))
			}
			r.emit(Event{Stage: StageBoot, State: state, Arch: b.arch, Variant: b.variant, Boot: b.number, Done: i + 1, Total: len(boots), Text: text})
			return nil
		})
	}
	return g.Wait()
}

// bootTwice boots b, and once more if it failed for the harness's own fault.
// What the kernel did wrong is never tried again, and what it did wrong before
// the harness failed is kept.
func (r *run) bootTwice(ctx context.Context, b *boot, accel, initrd string) (*outcome, error) {
	o, err := r.bootOnce(ctx, b, accel, initrd)
	if err != nil || o.harness == nil || fault.Of(o.harness) != fault.Harness {
		return o, err
	}
	if err := r.remark("%s %s, boot %d: tried again, because the first try failed for no fault of the kernel's: %v", b.arch, b.variant, b.number, o.harness); err != nil {
		return nil, err
	}
	second, err := r.bootOnce(ctx, b, accel, initrd)
	if err != nil {
		return nil, err
	}
	second.Findings = append(o.Findings, second.Findings...)
	return second, nil
}

// remark tells the user and the reader of the record what the harness did.
func (r *run) remark(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	r.note("%s", text)
	return r.update(func(rec *results.Record) { rec.Notes = append(rec.Notes, text) })
}

// bootOnce boots b and turns what happened into an outcome. The error is not
// nil only if what happened could not be kept.
func (r *run) bootOnce(ctx context.Context, b *boot, accel, initrd string) (*outcome, error) {
	dir, err := os.MkdirTemp(r.dir, bootFolder(b))
	if err != nil {
		return nil, fmt.Errorf("boot %s %s: %w", b.arch, b.variant, err)
	}
	defer os.RemoveAll(dir)
	m := r.machineOf(b, accel, initrd, dir)
	if b.traced {
		if m, err = r.traced(ctx, m, b); err != nil {
			return r.notStarted(ctx, b, m, err, r.Now().UTC()), nil
		}
	}
	want, err := b.expect()
	if err != nil {
		return nil, err
	}
	// The day's time may be set while the boot lasts; how long it lasts is another clock's.
	started, begun := r.Now().UTC(), time.Now()
	tr := newTranscript(func() time.Duration { return time.Since(begun) })
	quiet := r.watchConsole(b, filepath.Join(m.Dir, "console.log"))
	defer quiet.stop()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	vo, err := r.Boot(ctx, m, func(ctx context.Context, port io.ReadWriter) error {
		return tr.talk(ctx, port, b.job, want, func(msg wire.Message) {
			quiet.beat()
			if msg.Finding != nil && r.settles(b, msg.Finding) {
				stop(errFound)
			}
			if msg.Progress != nil {
				r.emit(Event{Stage: StageBoot, State: Going, Arch: b.arch, Variant: b.variant, Boot: b.number,
					Text: msg.Scenario + " " + msg.Progress.What, Done: msg.Progress.Done, Total: msg.Progress.Total})
			}
		})
	})
	if err != nil {
		return r.notStarted(ctx, b, m, err, started), nil
	}
	o := r.outcomeOf(b, m, vo, tr, started)
	if vo.Ending == vm.Interrupted {
		if o.harness = interruption(ctx); errors.Is(o.harness, errFound) {
			o.stopped(errFound.Error())
		}
	}
	if b.traced && vo.Ending == vm.Done && tr.failed[tracedScenario] == "" {
		if err := r.joinTrace(b, dir, tr, o); err != nil {
			o.harness, o.Samples = err, nil
			o.Boot.Ending, o.Boot.Detail, o.Boot.Fault = "bad-trace", err.Error(), fault.Harness.String()
		}
	}
	return o, r.keepConsole(b, m.Dir, o)
}

// interruption is the error of a context that is done.
func interruption(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return context.Canceled
}

// limit returns what a boot may take in all, on a machine with hardware help: a
// kernel that is debugged and under attack takes ten times as long as another.
func (b *boot) limit() time.Duration {
	limit := 2 * time.Minute
	for _, s := range b.job.Scenarios {
		limit += time.Duration(s.Seconds) * time.Second
		if plan.IsAttack(s.Name) {
			limit += 2 * time.Minute
		}
	}
	return limit
}

// attacks tells whether anything in the job looks for what is wrong, and not for
// how much or how fast.
func (b *boot) attacks() bool {
	return slices.ContainsFunc(b.job.Scenarios, func(s wire.ScenarioSpec) bool { return plan.IsAttack(s.Name) })
}

// machineOf describes the VM of a boot, but for what traces it.
func (r *run) machineOf(b *boot, accel, initrd, dir string) vm.Machine {
	m := r.machine(b.cell, accel, initrd, dir)
	m.Limits.Total = b.limit()
	if b.attacks() {
		m.Cmdline = attackCmdline(b.arch)
	}
	return m
}

// machine describes the VM that boots a cell.
func (r *run) machine(c *cell, accel, initrd, dir string) vm.Machine {
	return vm.Machine{
		Arch: c.arch, Kernel: c.kernel.Boot, SystemMap: c.kernel.SystemMap, Initrd: initrd, Cmdline: Cmdline(),
		Nodes: r.plan.Nodes(c.arch), CPUs: r.plan.VM.CPUs, MemoryMiB: r.plan.VM.MemoryMiB, Accel: accel, Dir: dir,
		Limits: vm.Limits{Boot: bootLimit(r.plan.Config)},
	}
}

// bootLimit is how long a kernel of a configuration may take to its guest's first
// word, on a machine with hardware help; 0 is vm's own limit. KASAN and lockdep
// make a boot several times as long.
func bootLimit(config string) time.Duration {
	if slices.ContainsFunc(kconfigs.Fragments("", config), func(name string) bool { return name == "memory.config" }) {
		return 18 * time.Second
	}
	return 0
}

// Cmdline returns the kernel parameters of boots that measure.
//
// nokaslr and the fixed mitigations keep the layout the same on every machine:
// "Enabling IBPB for BPF" steers programs to other packs by the host's CPU. The
// addresses in /proc/vmallocinfo must not be hashed. An oops ends the run, a
// WARN does not: it is a finding of its own.
//
// On s390x the kernel decides for expolines, unless its machine has etokens,
// before it reads this (setup_arch()), so that QEMU's has them all the same.
func Cmdline() []string { return append(sameCmdline(), "mitigations=off") }

// attackCmdline returns the kernel parameters of boots that attack: with them the
// JIT makes the indirect branches of a processor that has to be protected from
// Spectre v2 (retpolines on x86_64, expolines on s390x), which is code that lies,
// and jumps, differently. They are asked for by name, so that an attack is the same
// one wherever it runs: with "on", x86_64 takes what its processor has instead
// (eIBRS, or IBRS), which under KVM is the host's.
func attackCmdline(arch string) []string {
	protect := map[string]string{"x86_64": "spectre_v2=retpoline", "s390x": "spectre_v2=on"}[arch]
	return append(sameCmdline(), protect)
}

func sameCmdline() []string {
	return []string{"nokaslr", "no_hash_pointers", "oops=panic", "panic=-1", "panic_on_warn=0"}
}

// keepConsole moves what a machine left in dir, its console and QEMU's own log,
// into the run's folder. A first try's stay beside the second's.
func (r *run) keepConsole(b *boot, dir string, o *outcome) error {
	stem := filepath.Join(r.dir, "consoles", fmt.Sprintf("%s-%s-%d", b.arch, b.variant, b.number))
	if err := os.MkdirAll(filepath.Dir(stem), 0o755); err != nil {
		return fmt.Errorf("keep the console: %w", err)
	}
	for from, to := range map[string]string{"console.log": stem + ".log", "qemu.log": stem + ".qemu.log"} {
		if _, err := os.Stat(filepath.Join(dir, from)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := os.Stat(to); err == nil {
			if err := os.Rename(to, to+".first-try"); err != nil {
				return fmt.Errorf("keep the console: %w", err)
			}
		}
		if err := os.Rename(filepath.Join(dir, from), to); err != nil {
			return fmt.Errorf("keep the console: %w", err)
		}
	}
	o.console = stem + ".log"
	var err error
	o.Boot.Console, err = filepath.Rel(r.dir, o.console)
	return err
}

// makeInitrds writes each boot's initramfs into the run's folder for the time of
// the run: one for all boots of a cell, but for a traced boot one with its job.
func (r *run) makeInitrds(boots []*boot) (map[*boot]string, func(), error) {
	dir, err := os.MkdirTemp(r.dir, ".initrd-")
	if err != nil {
		return nil, nil, fmt.Errorf("make the initramfs: %w", err)
	}
	cleanup := func() { os.RemoveAll(dir) }
	out := map[*boot]string{}
	shared := map[*cell]string{}
	for _, b := range boots {
		stem := filepath.Join(dir, b.arch+"-"+b.variant)
		switch {
		case b.traced:
			out[b] = fmt.Sprintf("%s-%d.cpio", stem, b.number)
			err = writeEarlyInitrd(out[b], b)
		case shared[b.cell] == "":
			shared[b.cell] = stem + ".cpio"
			err = writeInitrd(shared[b.cell], b.arch, initramfs.Measure, b.kernel.Modules)
			fallthrough
		default:
			out[b] = shared[b.cell]
		}
		if err != nil {
			cleanup()
			return nil, nil, err
		}
	}
	return out, cleanup, nil
}

// writeEarlyInitrd writes an initramfs that holds the boot's job, and nothing
// that the job has no use for.
func writeEarlyInitrd(path string, b *boot) error {
	job, err := json.Marshal(b.job)
	if err != nil {
		return fmt.Errorf("make the initramfs for %s: %w", b.arch, err)
	}
	if err := os.WriteFile(path+".job", job, 0o644); err != nil {
		return fmt.Errorf("make the initramfs for %s: %w", b.arch, err)
	}
	return writeInitrdFiles(path, b.arch, initramfs.Measure, []initramfs.File{{Path: wire.JobFile, Source: path + ".job", Mode: 0o644}})
}

func writeInitrd(path, arch string, fl initramfs.Flavour, modules []string) error {
	var files []initramfs.File
	for _, m := range modules {
		files = append(files, initramfs.File{Path: "/lib/modules/" + filepath.Base(m), Source: m, Mode: 0o644})
	}
	return writeInitrdFiles(path, arch, fl, files)
}

func writeInitrdFiles(path, arch string, fl initramfs.Flavour, files []initramfs.File) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make the initramfs: %w", err)
	}
	err = initramfs.Build(arch, fl, files, f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("make the initramfs for %s: %w", arch, err)
	}
	return nil
}

// accelerators decides, for each architecture, what to boot with.
func (r *run) accelerators(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, c := range r.cells {
		if c.kernel == nil || out[c.arch] != "" {
			continue
		}
		dir, err := os.MkdirTemp(r.dir, ".accel-")
		if err != nil {
			return nil, fmt.Errorf("choose an accelerator: %w", err)
		}
		defer os.RemoveAll(dir)
		initrd := filepath.Join(dir, "initrd.cpio")
		if err := writeInitrd(initrd, c.arch, initramfs.Measure, nil); err != nil {
			return nil, err
		}
		accel, why, err := vm.DetectAccel(ctx, r.Cache, r.plan.VM.Accelerator, c.arch, r.machine(c, "", initrd, dir))
		if err != nil {
			return nil, err
		}
		out[c.arch] = accel
		r.emit(Event{Stage: StageBoot, State: Noted, Arch: c.arch, Text: fmt.Sprintf("accelerator %s: %s", accel, why)})
	}
	if err := r.sameAccelerators(out); err != nil {
		return nil, err
	}
	return out, r.update(func(rec *results.Record) { rec.Provenance.Accelerator = out })
}

// recordBoot puts an outcome into the record, and keeps it with the image if it
// belongs there. It returns what must end the run: an interruption.
func (r *run) recordBoot(b *boot, o *outcome) error {
	o.Boot.Sitting = r.sitting
	if err := r.update(func(rec *results.Record) {
		rec.Boots = append(rec.Boots, o.Boot)
		rec.Findings = append(rec.Findings, o.Findings...)
		unmeasured := o.Unmeasured
		if b.countedIn(rec) {
			// QEMU's own processor has no counters. The boot that has says itself
			// what it could not count.
			if b.traced {
				unmeasured = b.withoutCounters(unmeasured)
			} else {
				rec.Unmeasured = b.withoutCounters(rec.Unmeasured)
			}
		}
		rec.Unmeasured = mergeUnmeasured(rec.Unmeasured, unmeasured)
		rec.Samples = mergeSamples(rec.Samples, o.Samples)
		rec.Layouts = mergeLayouts(rec.Layouts, o.Layouts)
	}); err != nil {
		return err
	}
	if o.keep != "" {
		if err := r.saveKept(o); err != nil {
			return r.remark("%s %s: the outcome could not be kept with its kernel, and is made again next time: %v", b.arch, b.variant, err)
		}
	}
	switch {
	case o.harness == nil:
		return nil
	case fault.Of(o.harness) == fault.Interrupted:
		return o.harness
	case b.beside > 0 && !b.traced:
		return r.remark("%s %s: nothing was counted on a processor, because boot %d ended in %s", b.arch, b.variant, b.number, o.Boot.Ending)
	}
	return nil
}
