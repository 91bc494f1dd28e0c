// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"slices"
	"strings"

	"packtest/internal/fault"
	"packtest/lab"
	"packtest/plan"
	"packtest/results"
)

// checkCmd is `packtest check`.
type checkCmd struct {
	planFlags
	Arch       []string `help:"Only these architectures: x86_64, s390x." placeholder:"ARCH" sep:","`
	Configs    string   `help:"Configurations to build the whole series in as well: all, none, or some of ${axis}." default:"all" placeholder:"NAMES"`
	EveryPatch bool     `help:"Build those configurations after every patch, not only after the last."`
	Parallel   int      `help:"VMs at once." placeholder:"N"`
	Format     string   `help:"Format of the report on standard output: ${formats}." default:"text" placeholder:"FORMAT"`
	Progress   string   `help:"Progress on standard error: auto, plain lines, or json for one object a line." default:"auto" enum:"auto,plain,json"`
}

// Help is shown by --help.
func (checkCmd) Help() string {
	return `Looks at a series patch by patch, on each architecture: does it apply, what does
checkpatch.pl say, does it build, does it add a warning (make W=1, and sparse
where that is installed), how much code does it add, does it boot and get through
a quick scenario. The whole series is built in configurations that broke such
series before.

Examples:
  packtest check                                 the series that packtest carries
  packtest check --tree ~/bpf-next@v6 --series v6.mbox
  packtest check --tree ~/bpf-next --range master..mine --arch s390x
  packtest check --series prep.mbox --series v6.mbox --configs none
                                                 v6 is checked, and stands on prep
  packtest check --series v6/ --configs nojit,i386 --every-patch

Exit code: 0 nothing wrong, 1 a patch fails a check, 2 the input is wrong (not even
the first patch applies), 3 the harness or the machine failed, 130 interrupted.`
}

// nowhere refuses a configuration that none of the architectures has: it would
// be left out in silence.
func (checkCmd) nowhere(k *plan.Check) error {
	var built []string
	for _, arch := range k.Arches {
		built = append(built, k.AxisOf(arch)...)
	}
	for _, config := range k.Axis {
		if !slices.Contains(built, config) {
			return fault.Inputf("the configuration %s does not exist on %s", config, strings.Join(k.Arches, " or "))
		}
	}
	return nil
}

// asCheck lays the flags over the plan of a check.
func (c *checkCmd) asCheck() (*plan.Check, error) {
	k := plan.DefaultCheck()
	carried := k.Variants[0]
	if err := c.planFlags.apply(k.Plan); err != nil {
		return nil, err
	}
	// The flags add the base as a variant of its own, which a check makes itself.
	if len(c.Series)+len(c.Range) > 0 {
		k.Variants = k.Variants[1:]
		if len(k.Variants) == 1 {
			k.Of(k.Variants[0])
		}
	} else {
		k.Of(carried)
	}
	if err := k.Keep(c.Arch, nil, nil); err != nil {
		return nil, err
	}
	switch c.Configs {
	case "all":
	case "none":
		k.Axis = nil
	default:
		k.Axis = strings.Split(c.Configs, ",")
		if err := c.nowhere(k); err != nil {
			return nil, err
		}
	}
	if c.EveryPatch && len(k.Axis) == 0 {
		return nil, fault.Inputf("--every-patch builds configurations after every patch, and --configs names none")
	}
	k.EveryPatch = c.EveryPatch
	if c.Parallel != 0 {
		k.Parallel = c.Parallel
	}
	return k, k.Validate()
}

// Run carries out the check and prints its report.
func (c *checkCmd) Run(w *world) error {
	return w.reported(c.Format, c.Progress, func() (work, error) {
		k, err := c.asCheck()
		return func(l *lab.Lab) (*results.Record, error) {
			return l.Check(w.ctx, lab.CheckRequest{Check: k, Command: w.command()})
		}, err
	})
}
