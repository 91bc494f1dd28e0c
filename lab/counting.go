// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"slices"
	"strings"

	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

// everyBoot is the schedule and, beside its traced boots, those that count; but no
// traced boot where the record says that traces are left out.
func everyBoot(rec *results.Record, p *plan.Plan, cells []*cell, accel map[string]string) []*boot {
	boots := schedule(p, cells)
	boots = append(boots, counting(boots, accel)...)
	return slices.DeleteFunc(boots, func(b *boot) bool { return b.traced && leftOut(rec, b.arch, tracedScenario) })
}

// counting returns one more boot for each traced one whose architecture has KVM:
// the same windows without a trace, with the processor's counters if the kernel
// offers any. The two know of each other.
func counting(boots []*boot, accel map[string]string) []*boot {
	last := map[*cell]int{}
	for _, b := range boots {
		last[b.cell] = max(last[b.cell], b.number)
	}
	var more []*boot
	for _, b := range boots {
		if b.traced && accel[b.arch] == vm.KVM {
			last[b.cell]++
			b.beside = last[b.cell]
			more = append(more, &boot{cell: b.cell, number: b.beside, job: b.job, beside: b.number})
		}
	}
	return more
}

// countedIn tells whether the record has the boot that counts what b runs, be it
// b or the one beside it, and that it came to its end.
func (b *boot) countedIn(rec *results.Record) bool {
	number := b.number
	if b.traced {
		number = b.beside
	}
	return b.beside > 0 && slices.ContainsFunc(rec.Boots, func(have results.Boot) bool {
		return have.Arch == b.arch && have.Variant == b.variant && have.Number == number && have.Ending == results.EndingDone
	}) && !slices.ContainsFunc(rec.Findings, func(f results.Finding) bool {
		return f.Arch == b.arch && f.Variant == b.variant && f.Boot == number && f.Kind == results.ScenarioFailed
	})
}

// withoutCounters leaves out what is said of the processor's counters on b's cell.
func (b *boot) withoutCounters(list []results.Unmeasured) []results.Unmeasured {
	return slices.DeleteFunc(slices.Clone(list), func(u results.Unmeasured) bool {
		return u.Arch == b.arch && u.Variant == b.variant && strings.HasPrefix(u.Metric, "itlb_pmu_")
	})
}
