// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"slices"

	"packtest/compare"
	"packtest/results"
)

// reference is an earlier run that a night's is held against.
type reference struct {
	id string // "" if there is none
	// both is the comparison; nil if the two can't be compared, and why says why.
	both *results.Record
	why  string
	// lacks is what the night set out to do and the reference did not.
	lacks []string
}

// lastGood finds the run that rec is held against, among those in which nothing
// was wrong, in themselves or against the one before: the newest that compares
// by compare's own rules and set out to do all that rec did. If there is none,
// what did most of it; if none compares, the newest, with what stands in the way.
//
// A run that was held against no other, as packtest run and resume leave it,
// would pass on unseen what it brought. It is taken only if none before it is as
// good. For half a run, of which not all is known, it is enough to have done it.
func lastGood(store *results.Store, list []results.Summary, rec *results.Record) reference {
	var best, refused reference
	linked := false
	for _, s := range slices.Backward(list) {
		if s.Folder == rec.ID || s.Removed || !s.IsRun() || !compare.Good(s) || s.Candidate != rec.Candidate || !s.Started.Before(rec.Started) {
			continue
		}
		good, err := store.Load(s.Folder)
		var both *results.Record
		if err == nil {
			both, err = compare.Sides(sideOf(good), sideOf(rec))
		}
		if good == nil || err != nil && !cutShort(rec) {
			if refused.id == "" {
				refused = reference{id: s.Folder, why: err.Error()}
			}
			continue
		}
		lacks, none := lacking(good, rec)
		if none {
			continue
		}
		if best.id == "" || len(lacks) < len(best.lacks) || len(lacks) == len(best.lacks) && !linked {
			best, linked = reference{id: s.Folder, both: both, lacks: lacks}, s.Against != nil
		}
		if linked && len(best.lacks) == 0 {
			break
		}
	}
	if best.id == "" {
		return refused
	}
	return best
}

// lacking lists what rec planned for its candidate and good did not; none tells
// that this is all of it.
func lacking(good, rec *results.Record) (list []string, none bool) {
	planned := 0
	for _, p := range rec.Planned {
		if p.Variant != rec.Candidate || p.LeftOut != "" {
			continue
		}
		planned++
		if !slices.ContainsFunc(good.Planned, func(q results.Planned) bool {
			return q.Variant == good.Candidate && q.Arch == p.Arch && q.Scenario == p.Scenario && q.LeftOut == ""
		}) {
			list = append(list, p.Scenario+" on "+p.Arch)
		}
	}
	return list, planned > 0 && len(list) == planned
}

// cutShort tells the runs that may be half of what was asked for.
func cutShort(rec *results.Record) bool {
	return rec.Verdict == results.Interrupted || rec.Verdict == results.HarnessFailed
}

func sideOf(rec *results.Record) compare.Side {
	return compare.Side{Rec: rec, Variant: rec.Candidate}
}
