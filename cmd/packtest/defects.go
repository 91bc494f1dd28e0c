// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"fmt"
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

Exit code: 0 every defect was found and the series itself is clean, 1 if not,
2 the input is wrong, 3 the harness or the machine failed, 130 interrupted.`
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
	l, err := w.newLab()
	if err != nil {
		return err
	}
	table := report.Defects{}
	clean := true
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
				return err
			}
			for _, d := range some {
				catch := compare.CatchOf(rec, arch, d.Name)
				catch.Config = config
				table.Rows = append(table.Rows, report.DefectRow{Name: d.Name, Title: d.Title, Catch: catch})
			}
			sound := compare.CatchOf(withoutBaseline(rec), arch, plan.Sound)
			if sound.Found() {
				clean = false
				fmt.Fprintf(w.stderr, "packtest: %s on %s (%s) is not clean itself: %s: %s\n", plan.Sound, arch, config, sound.By, sound.What)
			}
			if sound.Problem != "" {
				return fault.Harnessf("%s on %s (%s) was not attacked: %s", plan.Sound, arch, config, sound.Problem)
			}
			table.Context = fmt.Sprintf("Defects put on top of %s, one at a time, on %s %s, %s.", plan.Sound,
				rec.Provenance.Base.Spec, rec.Provenance.Base.Version, rec.Provenance.Accelerator[arch])
		}
	}
	if err := table.Write(w.stdout); err != nil {
		return err
	}
	if n := table.Missed(); n > 0 || !clean {
		fmt.Fprintf(w.stderr, "packtest: %d of %d not found\n", n, len(table.Rows))
		return exitCode(fault.Kernel.ExitCode())
	}
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
