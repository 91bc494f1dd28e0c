// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/lab"
	"packtest/patches"
	"packtest/plan"
	"packtest/report"
	"packtest/results"
)

// defectsCmd is `packtest defects`.
type defectsCmd struct {
	Names    []string `arg:"" optional:"" help:"Only these defects."`
	Arch     []string `help:"Only these architectures: x86_64, s390x." placeholder:"ARCH" sep:","`
	Config   string   `help:"Only those seen with this kernel configuration: measure, faults or btf." placeholder:"NAME"`
	Accel    string   `help:"Accelerator: auto, kvm or tcg." placeholder:"NAME"`
	Parallel int      `help:"VMs at once." placeholder:"N"`
	List     bool     `help:"List the defects and build nothing."`
	Of       []string `help:"Print the table of runs of packtest defects that are there, instead of making new ones." placeholder:"RUN" sep:","`
}

// Help is shown by --help.
func (defectsCmd) Help() string {
	return `Puts defects on top of the series, one at a time, and sees whether they are
found: what a report that says "pass" is worth. The table goes to standard
output, as Markdown; each kernel configuration and architecture is a run.

Examples:
  packtest defects > defects.md
  packtest defects --arch s390x pack-writable charge-never-returned
  packtest defects --list
  packtest defects --of 20260102-030405      the table of a run that was resumed

Exit code: 0 every defect was found and the series itself is clean, 1 if not,
2 the input is wrong, 3 the harness or the machine failed, so that something was
not attacked to the end, 130 interrupted.`
}

// Run builds and attacks the defects.
func (c *defectsCmd) Run(w *world) error {
	list, err := c.choose()
	if err != nil {
		return err
	}
	if c.List {
		for _, d := range list {
			fmt.Fprintf(w.stdout, "%-32s %-8s %s: %s\n", d.Name, d.Config, d.Arches, d.Title)
		}
		return nil
	}
	var m matrix
	if len(c.Of) > 0 {
		err = c.recall(w, list, &m)
	} else {
		err = c.make(w, list, &m)
	}
	if len(m.table.Rows) == 0 || err != nil && fault.Of(err) == fault.Input {
		return err
	}
	// What was found before something failed cost an hour, maybe.
	if err := m.table.Write(w.stdout); err != nil {
		return err
	}
	for _, what := range slices.Concat(m.unclean, m.unproved) {
		fmt.Fprintf(w.stderr, "packtest: %s\n", what)
	}
	missed, unproved := m.table.Missed(), m.table.Unproved()
	if missed > 0 {
		fmt.Fprintf(w.stderr, "packtest: %d of %d not found\n", missed, len(m.table.Rows))
	}
	if unproved > 0 {
		fmt.Fprintf(w.stderr, "packtest: %d of %d not attacked to the end, which proves nothing\n", unproved, len(m.table.Rows))
	}
	switch {
	case missed > 0 || len(m.unclean) > 0:
		// What was proved is the answer, whatever failed beside it.
		if err != nil {
			fmt.Fprintf(w.stderr, "packtest: %v\n", err)
		}
		return exitCode(fault.Kernel.ExitCode())
	case err != nil:
		return err
	case unproved > 0 || len(m.unproved) > 0:
		return exitCode(fault.Harness.ExitCode())
	}
	return nil
}

// matrix is the table, and what it is worth.
type matrix struct {
	table report.Defects
	// unclean is what was found wrong with the series itself, and unproved is where it
	// was not attacked to the end.
	unclean, unproved []string
	// base and on are what the kernels are of, and what they ran on.
	base string
	on   map[string]bool
}

// make makes a run for each configuration and architecture.
func (c *defectsCmd) make(w *world, list []patches.Defect, m *matrix) error {
	l, err := w.newLab()
	if err != nil {
		return err
	}
	for _, config := range plan.Configs() {
		for _, arch := range plan.Architectures() {
			some := slices.DeleteFunc(slices.Clone(list), func(d patches.Defect) bool {
				return d.Config != config || !slices.Contains(d.Arches, arch)
			})
			if len(some) == 0 {
				continue
			}
			rec, err := c.attack(w, l, config, arch, some)
			if err != nil {
				if rec != nil {
					w.sayWhatThereIs(l.Store.Dir(rec.ID), rec, err)
					fmt.Fprintf(w.stderr, "packtest: and this shows its table: packtest defects --of %s\n", rec.ID)
				}
				return err
			}
			if err := m.add(rec, arch, some); err != nil {
				return err
			}
		}
	}
	return nil
}

// recall takes the runs from their records.
func (c *defectsCmd) recall(w *world, list []patches.Defect, m *matrix) error {
	store := results.NewStore(w.resultsDir)
	for _, ref := range c.Of {
		rec, err := store.Load(ref)
		if err != nil {
			return err
		}
		rows := len(m.table.Rows)
		for _, arch := range plan.Architectures() {
			some := slices.DeleteFunc(slices.Clone(list), func(d patches.Defect) bool {
				return !slices.Contains(d.Arches, arch) || !slices.ContainsFunc(rec.Planned, func(p results.Planned) bool {
					return p.Arch == arch && p.Variant == d.Name
				})
			})
			if len(some) == 0 {
				continue
			}
			if err := m.add(rec, arch, some); err != nil {
				return err
			}
		}
		if len(m.table.Rows) == rows {
			return fault.WithHint(fault.Inputf("the run %s attacked none of these defects", rec.ID), "packtest history tells what each run was asked to do")
		}
	}
	for _, name := range c.Names {
		if !slices.ContainsFunc(m.table.Rows, func(r report.DefectRow) bool { return r.Name == name }) {
			return fault.Inputf("none of these runs attacked %s", name)
		}
	}
	return nil
}

// add adds what a run found on an architecture.
func (m *matrix) add(rec *results.Record, arch string, some []patches.Defect) error {
	config := ""
	for _, cell := range rec.Cells {
		if cell.Arch == arch {
			config = cell.Config
		}
	}
	if err := m.isLike(rec, arch); err != nil {
		return err
	}
	sound := compare.CatchOf(withoutBaseline(rec), arch, plan.Sound)
	if sound.Problem != "" {
		m.unproved = append(m.unproved, fmt.Sprintf("%s on %s (%s) was not attacked to the end: %s", plan.Sound, arch, config, sound.Problem))
	}
	if sound.Found() {
		m.unclean = append(m.unclean, fmt.Sprintf("%s on %s (%s) is not clean itself: %s: %s", plan.Sound, arch, config, sound.By, sound.What))
	}
	for _, d := range some {
		if slices.ContainsFunc(m.table.Rows, func(r report.DefectRow) bool {
			return r.Name == d.Name && r.Catch.Arch == arch && r.Catch.Config == config
		}) {
			return fault.Inputf("the run %s is not the first that attacked %s on %s (%s)", rec.ID, d.Name, arch, config)
		}
		catch := compare.CatchOf(rec, arch, d.Name)
		catch.Config = config
		m.table.Rows = append(m.table.Rows, report.DefectRow{Name: d.Name, Title: d.Title, Catch: catch})
	}
	return nil
}

// isLike holds a run against those in the table, which are of one base, and writes the
// heading.
func (m *matrix) isLike(rec *results.Record, arch string) error {
	base := rec.Provenance.Base.Spec + " " + rec.Provenance.Base.Version
	if m.on == nil {
		m.base, m.on = base, map[string]bool{}
	}
	if base != m.base {
		return fault.WithHint(fault.Inputf("the run %s is of %s, and others are of %s", rec.ID, base, m.base), "make a table of each")
	}
	if accel := rec.Provenance.Accelerator[arch]; accel != "" { // otherwise nothing was booted
		m.on[arch+" under "+strings.ToUpper(accel)] = true
	}
	m.table.Context = fmt.Sprintf("Defects put on top of %s, one at a time, on %s; %s.", plan.Sound, m.base, strings.Join(slices.Sorted(maps.Keys(m.on)), ", "))
	return nil
}

// choose lists the defects that are asked for.
func (c *defectsCmd) choose() ([]patches.Defect, error) {
	all, err := patches.Defects(patches.FS(), lab.PatchesFor)
	if err != nil {
		return nil, err
	}
	p := plan.Default()
	if err := p.Keep(c.Arch, nil, nil); err != nil {
		return nil, err
	}
	if c.Config != "" {
		p.Config = c.Config
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	for _, n := range c.Names {
		if !slices.ContainsFunc(all, func(d patches.Defect) bool { return d.Name == n }) {
			return nil, fault.WithHint(fault.Inputf("no defect called %q", n), "packtest defects --list tells what there is")
		}
	}
	var list []patches.Defect
	for _, d := range all {
		if len(c.Names) > 0 && !slices.Contains(c.Names, d.Name) || c.Config != "" && c.Config != d.Config {
			continue
		}
		d.Arches = slices.DeleteFunc(slices.Clone(d.Arches), func(a string) bool { return !slices.Contains(p.Arches, a) })
		if len(d.Arches) > 0 {
			list = append(list, d)
		}
	}
	if len(list) == 0 {
		where := strings.Join(p.Arches, " or ")
		if c.Config != "" {
			where += " with the configuration " + c.Config
		}
		return nil, fault.WithHint(fault.Inputf("none of these defects exists on %s", where), "packtest defects --list tells what there is")
	}
	return list, nil
}

// attack makes one run: the sound series and some defects on top of it.
func (c *defectsCmd) attack(w *world, l *lab.Lab, config, arch string, some []patches.Defect) (*results.Record, error) {
	p := plan.Default()
	var names []string
	for _, d := range some {
		names = append(names, d.Name)
	}
	p.OnlyDefects(config, names)
	p.Arches, p.Parallel = []string{arch}, c.Parallel
	if c.Accel != "" {
		p.VM.Accelerator = c.Accel
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return w.carryOut(l, p, "", newProgress(w.stderr))
}

// withoutBaseline is rec with the baseline's own findings counted as anyone's.
func withoutBaseline(rec *results.Record) *results.Record {
	own := *rec
	own.Findings = slices.Clone(rec.Findings)
	for i := range own.Findings {
		own.Findings[i].OnBaseline = false
	}
	return &own
}
