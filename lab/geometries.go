// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"os"
	"slices"

	"packtest/internal/fault"
	"packtest/itlb"
	"packtest/plan"
)

// geometries are the instruction TLBs that a plan wants simulated beside those that
// packtest carries, and the text that says so.
type geometries struct {
	list []itlb.Geometry
	text string
}

// readGeometries reads the plan's. What is wrong with the file is an input error.
func readGeometries(p *plan.Plan) (g geometries, err error) {
	if p.Geometries == "" {
		return g, nil
	}
	text, err := os.ReadFile(p.Geometries)
	if err != nil {
		return g, fault.Inputf("read geometries: %w", err)
	}
	list, err := itlb.ParseGeometries(string(text))
	if err != nil {
		return g, fault.Inputf("%s: %w", p.Geometries, err)
	}
	for _, own := range list {
		if !slices.Contains(plan.Architectures(), own.Arch) {
			return g, fault.Inputf("%s: geometry %q: arch = %q; there are %q", p.Geometries, own.Name, own.Arch, plan.Architectures())
		}
		carried, err := itlb.Presets(own.Arch)
		if err != nil {
			return g, err
		}
		if slices.ContainsFunc(carried, func(c itlb.Geometry) bool { return c.Name == own.Name }) {
			return g, fault.Inputf("%s: geometry %q: packtest carries one of that name", p.Geometries, own.Name)
		}
	}
	return geometries{list, string(text)}, nil
}

// of returns what is simulated on arch: what packtest carries, then the plan's.
func (g geometries) of(arch string) ([]itlb.Geometry, error) {
	list, err := itlb.Presets(arch)
	for _, own := range g.list {
		if own.Arch == arch {
			list = append(list, own)
		}
	}
	return list, err
}
