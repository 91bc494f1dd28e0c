// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"slices"
	"strings"

	"packtest/internal/fault"
)

// Check is what `packtest check` is to do. The plan has one variant, whose last
// series is looked at patch by patch and stands on the others.
type Check struct {
	*Plan
	// Axis are the configurations in which kernels are only built, as far as the
	// architecture has them; EveryPatch builds them after each patch instead of
	// after the last.
	Axis       []string
	EveryPatch bool
}

// DefaultCheck returns the plan of `packtest check` without flags: the carried
// series, and one quick boot of every kernel.
func DefaultCheck() *Check {
	p := Default()
	c := &Check{Plan: p, Axis: AxisConfigs()}
	c.Of(Variant{Name: SeriesVariant, Stack: []string{"nopack", "bpf-prog-pack"}})
	p.Boots = 1
	p.Scenarios = []Scenario{{Name: "load", Programs: 200}, {Name: "drain"}, {Name: "shapes"}}
	return c
}

// Of makes v the series that is checked.
func (c *Check) Of(v Variant) {
	c.Variants, c.Baseline, c.Candidate = []Variant{v}, v.Name, v.Name
}

// Validate checks that the plan makes sense, as Plan.Validate does.
func (c *Check) Validate() error {
	if len(c.Variants) != 1 {
		return fault.WithHint(fault.Inputf("a check looks at one series, and %s were named", strings.Join(c.VariantNames(), ", ")),
			"series without a NAME= stand on each other, and the last of them is checked")
	}
	if len(c.Variants[0].Stack) == 0 {
		return fault.Inputf("there is no series to check")
	}
	for _, a := range c.Axis {
		if err := oneOf("configuration to build in", a, AxisConfigs()); err != nil {
			return err
		}
	}
	if d := duplicate(c.Axis); d != "" {
		return fault.Inputf("configuration %s stands twice", d)
	}
	return c.Plan.Validate()
}

// AxisConfigs returns the configurations that broke series like these before;
// kernels in them are built and not booted.
func AxisConfigs() []string { return []string{"thp", "nomodules", "interpreter", "nojit", "i386"} }

// AxisOf returns those of the check's configurations that an architecture has.
func (c *Check) AxisOf(arch string) []string {
	return slices.DeleteFunc(slices.Clone(c.Axis), func(config string) bool {
		return config == "i386" && arch != "x86_64"
	})
}
