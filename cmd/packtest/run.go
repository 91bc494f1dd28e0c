// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"packtest/compare"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/kconfigs"
	"packtest/lab"
	"packtest/patches"
	"packtest/plan"
	"packtest/report"
	"packtest/results"
	"packtest/vm"
)

// runCmd is `packtest run`.
type runCmd struct {
	runFlags
	Format   string `help:"Format of the report on standard output: ${formats}." default:"text" placeholder:"FORMAT"`
	Progress string `help:"Progress on standard error: auto, plain lines, or json for one object a line." default:"auto" enum:"auto,plain,json"`
}

// runFlags are the flags that say what is run.
type runFlags struct {
	Plan string `help:"Plan file (TOML); flags change what it says." placeholder:"FILE"`
	planFlags
	Scenario   []string `help:"Only these scenarios: ${scenarios}." placeholder:"NAME" sep:","`
	Variant    []string `help:"Only these variants." placeholder:"NAME" sep:","`
	Arch       []string `help:"Only these architectures: x86_64, s390x." placeholder:"ARCH" sep:","`
	Boots      count    `help:"How often each kernel is booted for the timed scenarios." placeholder:"N"`
	Programs   count    `help:"How many programs the load scenario loads, up to 10000." placeholder:"N"`
	Seconds    count    `help:"How long the soak scenario goes on." placeholder:"N"`
	Seed       *uint64  `help:"Seed of sizes, programs and orders." placeholder:"N"`
	Parallel   int      `help:"VMs at once." placeholder:"N"`
	Geometries string   `help:"File of instruction TLBs (TOML) that itlb simulates beside packtest's own." placeholder:"FILE"`
}

// count is how many there are to be of something, from 1; it is 0 where the flag
// is not given.
type count int

// UnmarshalText reads it.
func (n *count) UnmarshalText(text []byte) error {
	i, err := strconv.Atoi(string(text))
	if err != nil || i < 1 {
		return fmt.Errorf("%q is no whole number from 1", text)
	}
	*n = count(i)
	return nil
}

// planFlags are the flags that choose kernels, for every verb that needs one.
type planFlags struct {
	Base   string   `help:"Kernel source: debian:linux-source-6.1, debian:SUITE/PACKAGE or a tarball." placeholder:"BASE"`
	Tree   string   `help:"A git tree of your own, at a revision; it is not changed." placeholder:"PATH[@REV]"`
	Series []string `help:"Patches to test against the base as it is: an mbox (- is standard input), a Maildir, a folder of patches, a quilt folder. Those with one NAME stand on each other." placeholder:"[NAME=]PATH" sep:"none"`
	Range  []string `help:"The same, a range of commits in the tree." placeholder:"[NAME=]BASE..HEAD" sep:"none"`
	Config string   `help:"Kernel configuration: measure, debug, faults, btf or numa." placeholder:"NAME"`
	Accel  string   `help:"Accelerator: auto, kvm or tcg." placeholder:"NAME"`
}

// Help is shown by --help.
func (runCmd) Help() string {
	return `Examples:
  packtest run                                   nopack, pack and upstream on both architectures
  packtest run --arch s390x --scenario load      one architecture, one scenario
  packtest run --tree ~/linux@v6.1.100           the same on a tree of your own
  packtest run --tree ~/bpf-next@v6 --series v6.mbox
                                                 your series against the tree as it is
  packtest run --tree ~/bpf-next --range master..mine
  packtest run --series v5=v5.mbox --series v6=v6.mbox
  packtest run --plan mine.toml --boots 8

Exit code: 0 nothing wrong, 1 a regression or a finding, 2 the input is wrong,
3 the harness or the machine failed, 130 interrupted.`
}

// load reads the plan file, or takes the default plan where file is "", and lays
// the flags over it. It also returns the file's text.
func (f planFlags) load(file string) (p *plan.Plan, text string, err error) {
	p = plan.Default()
	if file != "" {
		if p, text, err = plan.Load(file); err != nil {
			return nil, "", err
		}
	}
	return p, text, f.apply(p)
}

func (f planFlags) apply(p *plan.Plan) error {
	if f.Base != "" && f.Tree != "" {
		return fault.Inputf("--base and --tree both name the kernel source: give one")
	}
	if f.Base != "" {
		p.Base = f.Base
	}
	if f.Tree != "" {
		p.Base = "tree:" + f.Tree
	}
	if err := f.applySeries(p); err != nil {
		return err
	}
	if f.Config != "" {
		p.Config = f.Config
	}
	if f.Accel != "" {
		p.VM.Accelerator = f.Accel
	}
	return nil
}

// applySeries puts the series given by flags in the place of the plan's
// variants.
func (f planFlags) applySeries(p *plan.Plan) (err error) {
	var variants []plan.Variant
	for _, s := range f.Series {
		if variants, err = plan.Stacks(variants, s, seriesPath); err != nil {
			return err
		}
	}
	for _, r := range f.Range {
		if variants, err = plan.Stacks(variants, r, func(s string) (string, error) { return "range:" + s, nil }); err != nil {
			return err
		}
	}
	if len(variants) == 0 {
		return nil
	}
	if len(f.Range) > 0 && f.Base == "" && !strings.HasPrefix(p.Base, "tree:") {
		p.Base = "tree:." // git's own idea of where one is
	}
	p.TestOnly(variants)
	return nil
}

func seriesPath(path string) (string, error) {
	if path == "-" {
		return plan.Stdin, nil
	}
	if _, err := os.Stat(path); err != nil {
		err = fault.Inputf("--series: %w", err)
		if strings.Contains(path, "=") {
			err = fault.WithHint(err, "a NAME= is of lower-case letters, digits, - and _")
		}
		return "", err
	}
	return filepath.Abs(path)
}

// asPlan reads the plan file, if there is one, and lays the flags over it.
func (c *runFlags) asPlan() (*plan.Plan, string, error) {
	p, text, err := c.planFlags.load(c.Plan)
	if err != nil {
		return nil, "", err
	}
	if err := p.Keep(c.Arch, c.Variant, c.Scenario); err != nil {
		return nil, "", err
	}
	if c.Boots != 0 {
		p.Boots = int(c.Boots)
	}
	if c.Geometries != "" {
		if _, err := scenarioOf(p, "--geometries", "itlb"); err != nil {
			return nil, "", err
		}
		if p.Geometries, err = filepath.Abs(c.Geometries); err != nil {
			return nil, "", err
		}
	}
	if c.Parallel != 0 {
		p.Parallel = c.Parallel
	}
	if c.Seed != nil {
		p.Seed = *c.Seed
	}
	if err := sized(p, "--programs", "load", c.Programs, func(s *plan.Scenario, n int) { s.Programs = n }); err != nil {
		return nil, "", err
	}
	if err := sized(p, "--seconds", "soak", c.Seconds, func(s *plan.Scenario, n int) { s.Seconds = n }); err != nil {
		return nil, "", err
	}
	return p, text, p.Validate()
}

// sized gives a scenario the size that a flag says.
func sized(p *plan.Plan, flag, scenario string, n count, set func(*plan.Scenario, int)) error {
	if n == 0 {
		return nil
	}
	s, err := scenarioOf(p, flag, scenario)
	if err != nil {
		return err
	}
	set(s, int(n))
	return nil
}

// scenarioOf finds the scenario that a flag is of. What is said of one that is not
// run would be left out in silence.
func scenarioOf(p *plan.Plan, flag, scenario string) (*plan.Scenario, error) {
	i := slices.IndexFunc(p.Scenarios, func(s plan.Scenario) bool { return s.Name == scenario })
	if i < 0 {
		return nil, fault.WithHint(fault.Inputf("%s is of the scenario %s, which is not run", flag, scenario), "--scenario %s asks for it", scenario)
	}
	return &p.Scenarios[i], nil
}

// Run carries out the run and prints its report.
func (c *runCmd) Run(w *world) error {
	return w.reported(c.Format, c.Progress, func() (work, error) {
		p, text, err := c.asPlan()
		return func(l *lab.Lab) (*results.Record, error) { return l.Run(w.ctx, w.request(p, text)) }, err
	})
}

// request asks for a plan to be carried out; text is the plan file's.
func (w *world) request(p *plan.Plan, text string) lab.Request {
	return lab.Request{Plan: p, PlanText: text, Command: w.command()}
}

// command is the command line, for the record.
func (w *world) command() []string { return append([]string{"packtest"}, w.args...) }

// carryOut runs a plan, shows its progress, and leaves the reports in its folder.
// The record is nil if there is none, or if the reports can't be written; the
// error is the run's own otherwise.
func (w *world) carryOut(l *lab.Lab, p *plan.Plan, text string, progress listener) (*results.Record, error) {
	l.Events = progress.event
	rec, err := l.Run(w.ctx, w.request(p, text))
	progress.close()
	if rec == nil {
		return nil, err
	}
	if saveErr := writeReports(l.Store, rec); saveErr != nil {
		return nil, saveErr
	}
	return rec, err
}

// work is something that leaves a record, which is nil if it did not get so far.
type work func(*lab.Lab) (*results.Record, error)

// reported carries out what ask asks for, shows its progress as mode says, leaves
// the reports in the record's folder and prints one of them. What is asked for in
// vain needs no lab. Whoever listens is told how it ended, however it did.
func (w *world) reported(format, mode string, ask func() (work, error)) error {
	progress := newListener(mode, w.stderr)
	defer progress.close()
	if err := checkFormat(format); err != nil {
		progress.failed("", nil, err)
		return err
	}
	rec, err := w.carried(progress, ask)
	progress.close()
	if rec == nil {
		progress.failed("", nil, err)
		return err
	}
	store := results.NewStore(w.resultsDir)
	dir := store.Dir(rec.ID)
	if saveErr := writeReports(store, rec); saveErr != nil {
		progress.failed(dir, rec, saveErr)
		return saveErr
	}
	if err != nil {
		w.sayWhatThereIs(dir, rec, err)
		if rec.Verdict != results.KernelFailed {
			progress.failed(dir, rec, err)
			return err
		}
		// What was proved wrong before the harness failed is the answer.
		fmt.Fprintf(w.stderr, "packtest: %v\n", err)
	}
	if err := render(w.stdout, format, rec, colourful(w.stdout)); err != nil {
		progress.failed(dir, rec, err)
		return err
	}
	code := compare.ExitCode(rec.Verdict)
	progress.ended(dir, rec, code)
	if code != 0 {
		return exitCode(code)
	}
	return nil
}

// carried carries out what ask asks for, in a lab whose events go to listener.
func (w *world) carried(to listener, ask func() (work, error)) (*results.Record, error) {
	do, err := ask()
	if err != nil {
		return nil, err
	}
	l, err := w.newLab()
	if err != nil {
		return nil, err
	}
	l.Events = to.event
	return do(l)
}

func (w *world) newLab() (*lab.Lab, error) {
	c, err := w.openCache()
	if err != nil {
		return nil, err
	}
	return &lab.Lab{
		Cache: c, Store: results.NewStore(w.resultsDir),
		Patches: patches.FS(), Kconfigs: kconfigs.FS(),
		Now: w.now, Version: version, Boot: vm.Run,
	}, nil
}

// writeReports leaves the report in the run's folder, as text and as a page.
func writeReports(store *results.Store, rec *results.Record) error {
	for name, format := range map[string]string{"report.txt": "text", "report.html": "html"} {
		var b bytes.Buffer
		if err := report.Write(&b, format, rec); err != nil {
			return err
		}
		if err := cache.WriteFile(filepath.Join(store.Dir(rec.ID), name), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
