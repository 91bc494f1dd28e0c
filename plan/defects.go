// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import "strings"

// Sound is the variant that defects are put on top of, and held against.
const Sound = "pack"

// OnlyDefects makes the plan hold each defect, one of the carried ones by name,
// against the series it is put on, in one configuration. Timed scenarios run
// once: a defect has to show in what is exact, or in what goes wrong, and when it
// has shown the kernel is done with. Where calls can be made to fail, that is all
// that is done.
func (p *Plan) OnlyDefects(config string, names []string) {
	var sound Variant
	for _, v := range Default().Variants {
		if v.Name == Sound {
			sound = v
		}
	}
	p.Variants = []Variant{sound}
	for _, n := range names {
		stack := append(append([]string(nil), sound.Stack...), DefectElement(n))
		p.Variants = append(p.Variants, Variant{Name: n, Stack: stack})
	}
	p.Baseline, p.Candidate = Sound, p.Variants[len(p.Variants)-1].Name
	p.Config, p.Boots, p.FirstFinding = config, 1, true
	p.Scenarios = nil
	for _, s := range Default().Scenarios {
		// The kernel's own suite takes minutes and looks at no allocator; a trace
		// looks at no error.
		if s.Name != "test_bpf" && s.Name != "itlb" && (config != "faults" || s.Name == "faults") {
			p.Scenarios = append(p.Scenarios, s)
		}
	}
}

// defectPrefix marks an element of a stack that is a carried defect.
const defectPrefix = "defect:"

// DefectElement is a carried defect as an element of a stack.
func DefectElement(name string) string { return defectPrefix + name }

// Defect returns the name of an element of a stack that is a carried defect.
func Defect(s string) (string, bool) { return strings.CutPrefix(s, defectPrefix) }
