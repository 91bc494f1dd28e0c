// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"slices"
	"strings"

	"packtest/results"
)

// Findings are a record's findings, told apart by what they mean for the
// verdict. Each list keeps the record's order and names the same fault on the
// same architecture and variant once.
type Findings struct {
	// New were made on the candidate and not on the baseline.
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
}

// SortFindings tells the record's findings apart. It goes by what the record
// holds; the OnBaseline marks are not trusted.
func SortFindings(rec *results.Record) Findings {
	made := map[string]map[results.Fault]bool{}
	for _, f := range rec.Findings {
		if made[f.Variant] == nil {
			made[f.Variant] = map[results.Fault]bool{}
		}
		made[f.Variant][f.Fault()] = true
	}
	paired := rec.Baseline != "" && rec.Baseline != rec.Candidate
	var out Findings
	seen := map[string]map[results.Fault]bool{}
	for _, f := range rec.Findings {
		k := f.Fault()
		if seen[f.Variant] == nil {
			seen[f.Variant] = map[results.Fault]bool{}
		}
		if seen[f.Variant][k] {
			continue
		}
		seen[f.Variant][k] = true
		switch {
		case f.Variant == rec.Candidate && paired && made[rec.Baseline][k]:
			out.Shared = append(out.Shared, f)
		case f.Variant == rec.Candidate && !tried(rec, f.Arch, strings.Split(f.Scenario, "+")):
			out.Alone = append(out.Alone, f)
		case f.Variant == rec.Candidate:
			out.New = append(out.New, f)
		case f.Variant == rec.Baseline && !made[rec.Candidate][k]:
			out.Baseline = append(out.Baseline, f)
		case f.Variant == rec.Baseline: // listed as Shared
		default:
			out.Others = append(out.Others, f)
		}
	}
	return out
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
	made := map[results.Fault]bool{}
	for _, f := range rec.Findings {
		if f.Variant == rec.Baseline {
			made[f.Fault()] = true
		}
	}
	for i := range rec.Findings {
		f := &rec.Findings[i]
		f.OnBaseline = f.Variant != rec.Baseline && made[f.Fault()]
	}
}
