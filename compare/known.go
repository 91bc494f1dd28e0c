// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import "packtest/results"

// Known are findings that others are held against, such as the baseline's. The
// zero value knows none.
type Known struct{ made map[results.Fault]extent }

// extent is how much of one fault is known.
type extent struct {
	cases int             // the most in any finding
	lines map[string]bool // what the cases were about
	cut   bool            // there were cases that the evidence does not list
}

// cutLine is the shape of the line that stands for cases that are not listed.
const cutLine = "and # more"

// Add makes a finding known.
func (k *Known) Add(f results.Finding) {
	if k.made == nil {
		k.made = map[results.Fault]extent{}
	}
	e, ok := k.made[f.Fault()]
	if !ok {
		e.lines = map[string]bool{}
	}
	e.cases = max(e.cases, f.Cases)
	for _, line := range results.Shapes(f.Evidence) {
		e.lines[line] = true
		e.cut = e.cut || line == cutLine
	}
	k.made[f.Fault()] = e
}

// Has tells whether a finding is known. One that counts its cases is so only if
// there are not far more of them, and each is about what a known one is about:
// a page of trampolines that is writable excuses no page of programs, and no
// hundred of either.
func (k Known) Has(f results.Finding) bool {
	e, ok := k.made[f.Fault()]
	if !ok || f.Cases == 0 {
		return ok
	}
	if farMore(e.cases, f.Cases) {
		return false
	}
	for _, line := range results.Shapes(f.Evidence) {
		if !e.lines[line] && !e.cut && line != cutLine {
			return false
		}
	}
	return true
}

// like tells whether the same fault is known, however much there is of it.
func (k Known) like(f results.Finding) bool {
	_, ok := k.made[f.Fault()]
	return ok
}

// farMore tells whether the cases are so many more that it is not by chance:
// from boot to boot it may be one program or the next that trouble shows on.
func farMore(was, is int) bool { return is > 2*was && is >= was+5 }
