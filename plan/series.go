// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"slices"
	"strings"

	"packtest/internal/fault"
)

// Range returns the BASE..HEAD of an element of a stack that is a range of
// commits, "range:BASE..HEAD".
func Range(s string) (string, bool) { return strings.CutPrefix(s, "range:") }

// Stdin is the element of a stack that is read from standard input: a series
// that is there once, and can't be had again.
const Stdin = "/dev/stdin"

// ReadsStdin tells whether any of the plan's series is.
func (p *Plan) ReadsStdin() bool {
	return slices.ContainsFunc(p.Variants, func(v Variant) bool { return slices.Contains(v.Stack, Stdin) })
}

// baseVariant is what TestOnly calls the base as it is.
const baseVariant = "base"

// SeriesVariant is the variant of a series that was given no name.
const SeriesVariant = "series"

// TestOnly makes the plan compare the given variants, the last of which is the
// candidate, with the base as it is, and with nothing else.
func (p *Plan) TestOnly(variants []Variant) {
	p.Variants = append([]Variant{{Name: baseVariant}}, variants...)
	p.Baseline, p.Candidate = baseVariant, p.Variants[len(p.Variants)-1].Name
}

// Stacks adds an element to the stack of the variant that arg, [NAME=]ELEMENT,
// names, making the variant where it is the first.
func Stacks(list []Variant, arg string, element func(string) (string, error)) ([]Variant, error) {
	name, rest, named := strings.Cut(arg, "=")
	if !named || !isName(name) {
		name, rest = SeriesVariant, arg
	}
	if name == baseVariant {
		return nil, fault.WithHint(fault.Inputf("%s: no series can be called %s, which is the base as it is", arg, name), "give it another name")
	}
	e, err := element(rest)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(v Variant) bool { return v.Name == name })
	if i < 0 {
		i = len(list)
		list = append(list, Variant{Name: name})
	}
	list[i].Stack = append(list[i].Stack, e)
	return list, nil
}
