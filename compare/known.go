// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"packtest/guest/wire"
	"packtest/results"
)

// Known are findings that others are held against, such as the baseline's. The
// zero value knows none.
type Known struct {
	made map[results.Fault]wire.Extent
	// uncounted are those that count no cases, as none did in records of before
	// cases were counted; all that have a title are one.
	uncounted map[results.Fault]wire.Extent
}

// Add makes a finding known.
func (k *Known) Add(f results.Finding) {
	if k.made == nil {
		k.made, k.uncounted = map[results.Fault]wire.Extent{}, map[results.Fault]wire.Extent{}
	}
	e := k.made[f.Fault()]
	e.Add(f.Evidence, f.Cases)
	k.made[f.Fault()] = e
	if f.Cases == 0 {
		e := k.uncounted[anyPlace(f)]
		e.Add("cases: 0\n"+f.Evidence, 0) // the line was another once
		k.uncounted[anyPlace(f)] = e
	}
}

// anyPlace is what a finding is about if it is no matter where it was.
func anyPlace(f results.Finding) results.Fault {
	f.Fingerprint = ""
	return f.Fault()
}

// Has tells whether a finding is known. One that counts its cases is so only if
// there are not far more of them, and each is about what a known one is about, as
// far as the evidence says: a program of one type excuses none of another. Of a
// page of kernel memory there is only its address, so it excuses any other page,
// and no hundred of them.
//
// Of a known one that was not counted nobody knows how many there were.
func (k Known) Has(f results.Finding) bool {
	e, ok := k.made[f.Fault()]
	if f.Cases == 0 {
		return ok
	}
	return !farMore(e.Cases, f.Cases) && e.Covers(f.Evidence) || k.uncounted[anyPlace(f)].Covers(f.Evidence)
}

// like tells whether the same fault is known, however much there is of it.
func (k Known) like(f results.Finding) bool {
	_, ok := k.made[f.Fault()]
	if f.Cases == 0 {
		return ok || k.made[anyPlace(f)].Cases > 0
	}
	_, uncounted := k.uncounted[anyPlace(f)]
	return ok || uncounted
}

// farMore tells whether the cases are so many more that it is not by chance: from
// boot to boot it may be one program or the next that trouble shows on, and a guest
// tells of more only when it is half as much again.
func farMore(was, is int) bool { return is > 3*was && is >= was+5 }
