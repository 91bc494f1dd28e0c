// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"slices"

	"packtest/internal/fault"
	"packtest/lab"
	"packtest/metric"
	"packtest/patches"
	"packtest/plan"
	"packtest/results"
)

// bisectCmd is `packtest bisect`.
type bisectCmd struct {
	Plan string `help:"Plan file (TOML) whose candidate is searched; flags change what it says." placeholder:"FILE"`
	planFlags
	Variant    string   `help:"The variant to search, in place of the plan's candidate." placeholder:"NAME"`
	Defect     string   `help:"Put a carried defect on top of the series, to see it found." placeholder:"NAME"`
	Finding    string   `help:"Look for a finding of this kind, or with this in its title." placeholder:"TEXT"`
	Metric     string   `help:"Look for this metric getting worse." placeholder:"NAME"`
	Scenario   []string `help:"Only these scenarios: ${scenarios}." placeholder:"NAME" sep:","`
	Arch       []string `help:"Only these architectures: x86_64, s390x." placeholder:"ARCH" sep:","`
	Confidence float64  `help:"How sure the answer must be." default:"0.95" placeholder:"P"`
	Tries      int      `help:"How often the whole series is looked at until it shows something." default:"3" placeholder:"N"`
	Looks      int      `help:"Most looks at kernels in all." default:"100" placeholder:"N"`
	Boots      count    `help:"Boots of a look for what is timed (default: one; for a noisy metric the plan's)." placeholder:"N"`
	Programs   count    `help:"How many programs the load scenario loads, up to 10000." placeholder:"N"`
	Parallel   int      `help:"VMs at once." placeholder:"N"`
	Format     string   `help:"Format of the report on standard output: ${formats}." default:"text" placeholder:"FORMAT"`
	Progress   string   `help:"Progress on standard error: auto, plain lines, or json for one object a line." default:"auto" enum:"auto,plain,json"`
}

// Help is shown by --help.
func (bisectCmd) Help() string {
	return `Finds the patch of a series that brings a finding or a regression: by default
whatever the whole series shows first. Kernels that exist are used again, others
are built as the search asks for them, and what shows itself now and then is
looked at until the answer is sure enough.

Examples:
  packtest bisect --tree ~/bpf-next@v6 --series v6.mbox
  packtest bisect --tree ~/bpf-next --range master..mine --arch s390x --finding panic
  packtest bisect --series v6.mbox --scenario load --metric jit_pages
  packtest bisect --plan mine.toml --finding "writable and executable" --confidence 0.99
  packtest bisect --defect pack-writable --arch s390x --scenario churn

Exit code: 1 the patch, or a range of patches, was found, 2 the input is wrong, 3
nothing was found, or the harness or the machine failed, 130 interrupted.`
}

// asPlan reads the plan file, if there is one, and lays the flags over it.
func (c *bisectCmd) asPlan() (*plan.Plan, string, error) {
	p, text, err := c.planFlags.load(c.Plan)
	if err != nil {
		return nil, "", err
	}
	if c.Variant != "" {
		if _, err := p.Variant(c.Variant); err != nil {
			return nil, "", err
		}
		p.Candidate = c.Variant
	}
	if c.Defect != "" {
		if err := c.applyDefect(p); err != nil {
			return nil, "", err
		}
	}
	if len(c.Scenario) == 0 {
		// The kernel's own suite and a trace take minutes for each look; they can be
		// asked for.
		p.Scenarios = slices.DeleteFunc(p.Scenarios, func(s plan.Scenario) bool { return s.Name == "test_bpf" || s.Name == "itlb" })
	}
	if err := p.Keep(c.Arch, nil, c.Scenario); err != nil {
		return nil, "", err
	}
	if d, ok := metric.Lookup(c.Metric); !ok || d.Exact {
		p.Boots = 1
	}
	if c.Boots != 0 {
		p.Boots = int(c.Boots)
	}
	if c.Parallel != 0 {
		p.Parallel = c.Parallel
	}
	if err := sized(p, "--programs", "load", c.Programs, func(s *plan.Scenario, n int) { s.Programs = n }); err != nil {
		return nil, "", err
	}
	return p, text, p.Validate()
}

// applyDefect puts the defect on top of the candidate.
func (c *bisectCmd) applyDefect(p *plan.Plan) error {
	all, err := patches.Defects(patches.FS(), lab.PatchesFor)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(d patches.Defect) bool { return d.Name == c.Defect })
	if i < 0 {
		return fault.WithHint(fault.Inputf("no defect called %q", c.Defect), "packtest defects --list tells what there is")
	}
	for j := range p.Variants {
		if v := &p.Variants[j]; v.Name == p.Candidate {
			v.Stack = append(slices.Clone(v.Stack), plan.DefectElement(c.Defect))
		}
	}
	if len(c.Arch) == 0 {
		p.Arches = slices.Clone(all[i].Arches)
	}
	if c.Config == "" {
		p.Config = all[i].Config
	}
	return nil
}

// Run carries out the search and prints its report.
func (c *bisectCmd) Run(w *world) error {
	return w.reported(c.Format, c.Progress, func() (work, error) {
		p, text, err := c.asPlan()
		return func(l *lab.Lab) (*results.Record, error) {
			return l.Bisect(w.ctx, lab.BisectRequest{Request: w.request(p, text), Finding: c.Finding, Metric: c.Metric,
				Confidence: c.Confidence, Tries: c.Tries, Looks: c.Looks})
		}, err
	})
}
