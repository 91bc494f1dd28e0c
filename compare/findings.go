// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"slices"
	"strings"

	"packtest/results"
)

// Findings are a record's findings, told apart by what they mean for the
// verdict. Each list keeps the record's order and names the same fault on the
// same architecture and variant once, as where there was most of it.
type Findings struct {
	// New were made on the candidate and not on the baseline, or there far less.
	New []results.Finding
	// Alone were made on the candidate, in what the baseline was to do as well
	// and did not get through: nobody knows whether it would have shown them.
	Alone []results.Finding
	// Shared were made on both.
	Shared []results.Finding
	// Baseline were made on the baseline only.
	Baseline []results.Finding
	// Others were made on variants that are neither.
	Others []results.Finding

	baseline Known
}

// SortFindings tells the record's findings apart. It goes by what the record
// holds; the OnBaseline marks are not trusted.
func SortFindings(rec *results.Record) Findings {
	var out Findings
	candidate := knownOf(rec, rec.Candidate)
	if rec.Baseline != "" && rec.Baseline != rec.Candidate {
		out.baseline = knownOf(rec, rec.Baseline)
	}
	for _, f := range rec.Findings {
		list := &out.Others
		switch {
		case f.Variant == rec.Candidate && out.baseline.Has(f):
			list = &out.Shared
		case f.Variant == rec.Candidate && !tried(rec, f.Arch, strings.Split(f.Scenario, "+")):
			list = &out.Alone
		case f.Variant == rec.Candidate:
			list = &out.New
		case f.Variant == rec.Baseline && candidate.like(f):
			continue // listed as Shared, or as New if the candidate has far more of it
		case f.Variant == rec.Baseline:
			list = &out.Baseline
		}
		*list = withLargest(*list, f)
	}
	return out
}

// withLargest adds a finding to a list, of which it has each fault of a variant
// once: the first, or that with the most cases.
func withLargest(list []results.Finding, f results.Finding) []results.Finding {
	i := slices.IndexFunc(list, func(g results.Finding) bool { return g.Variant == f.Variant && g.Fault() == f.Fault() })
	switch {
	case i < 0:
		return append(list, f)
	case f.Cases > list[i].Cases:
		list[i] = f
	}
	return list
}

// Less tells whether the baseline has less of a finding that is new.
func (f Findings) Less(g results.Finding) bool { return f.baseline.like(g) }

// knownOf are the findings on a variant.
func knownOf(rec *results.Record, variant string) (k Known) {
	for _, f := range rec.Findings {
		if f.Variant == variant {
			k.Add(f)
		}
	}
	return k
}

// tried tells whether what was found in scenarios on arch can be held against the
// baseline: it got through whichever of them it was planned for. A run without
// another kernel holds nothing against it.
func tried(rec *results.Record, arch string, scenarios []string) bool {
	if rec.Baseline == "" || rec.Baseline == rec.Candidate {
		return true
	}
	if slices.Contains(scenarios, buildStage) {
		return len(AuditCell(rec, arch, rec.Baseline)) == 0
	}
	from := Source(rec, arch, rec.Baseline)
	return !slices.ContainsFunc(rec.Planned, func(p results.Planned) bool {
		return p.Arch == arch && p.Variant == rec.Baseline && slices.Contains(scenarios, p.Scenario) &&
			!slices.ContainsFunc(rec.Boots, func(b results.Boot) bool {
				return b.Arch == arch && b.Variant == from && b.Ending == results.EndingDone && slices.Contains(b.Scenarios, p.Scenario)
			})
	})
}

// MarkBaseline sets OnBaseline on every finding of another variant that was
// made on the baseline too.
func MarkBaseline(rec *results.Record) {
	baseline := knownOf(rec, rec.Baseline)
	for i := range rec.Findings {
		f := &rec.Findings[i]
		f.OnBaseline = f.Variant != rec.Baseline && baseline.Has(*f)
	}
}
