// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"packtest/guest/wire"
	"packtest/results"
)

// Known are findings that others are held against, such as the baseline's. The
// zero value knows none.
type Known struct{ made map[results.Fault]wire.Extent }

// Add makes a finding known.
func (k *Known) Add(f results.Finding) {
	if k.made == nil {
		k.made = map[results.Fault]wire.Extent{}
	}
	e := k.made[f.Fault()]
	e.Add(f.Evidence, f.Cases)
	k.made[f.Fault()] = e
}

// Has tells whether a finding is known. One that counts its cases is so only if
// there are not far more of them, and each is about what a known one is about:
// a page of trampolines that is writable excuses no page of programs, and no
// hundred of either.
func (k Known) Has(f results.Finding) bool {
	e, ok := k.made[f.Fault()]
	return ok && (f.Cases == 0 || !farMore(e.Cases, f.Cases) && e.Covers(f.Evidence))
}

// like tells whether the same fault is known, however much there is of it.
func (k Known) like(f results.Finding) bool {
	_, ok := k.made[f.Fault()]
	return ok
}

// farMore tells whether the cases are so many more that it is not by chance: from
// boot to boot it may be one program or the next that trouble shows on, and a guest
// tells of more only when it is half as much again.
func farMore(was, is int) bool { return is > 3*was && is >= was+5 }
