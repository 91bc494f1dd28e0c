// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"errors"
	"slices"

	"packtest/compare"
	"packtest/guest/wire"
	"packtest/internal/fault"
	"packtest/results"
)

// How a kernel is left alone once something was found on it: the boot that found
// it is stopped, and those that would follow are left out.

// errFound is why a boot was stopped.
var errFound = errors.New("something was found, which is all that was asked for")

// endingStopped is how such boots end. It is held against the kernel, so that
// nobody takes them for what was asked of a whole run, or makes them again.
const endingStopped = "stopped"

// stopsAtFinding tells whether b's kernel is left alone after its first finding.
// The baseline's is not: what it has is nobody else's.
func (r *run) stopsAtFinding(b *boot) bool {
	return r.plan.FirstFinding && b.variant != r.plan.Baseline
}

// settles tells whether a finding in b is all that was asked for. One like the
// baseline's says nothing of b's kernel.
func (r *run) settles(b *boot, f *wire.Finding) bool {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	return r.stopsAtFinding(b) && !slices.ContainsFunc(r.rec.Findings, func(have results.Finding) bool {
		return have.Arch == b.arch && have.Variant == r.plan.Baseline && have.Kind == f.Kind && have.Title == f.Title
	})
}

// enough tells whether b can be left out. A figure that got worse is enough, too.
func (r *run) enough(b *boot) bool {
	if !r.stopsAtFinding(b) {
		return false
	}
	r.recMu.Lock()
	defer r.recMu.Unlock()
	return compare.CatchOf(r.rec, b.arch, b.variant).Found()
}

// unneeded is the outcome of a boot that was not made because of what is known.
func (r *run) unneeded(b *boot) *outcome {
	o := &outcome{Boot: r.bootRecord(b, r.machine(b.cell, "", "", ""), r.Now().UTC())}
	o.stopped("not booted: " + errFound.Error())
	return o
}

// stopped makes o the outcome of a boot that was not needed to its end.
func (o *outcome) stopped(why string) {
	o.harness = nil
	o.Boot.Ending, o.Boot.Detail, o.Boot.Fault = endingStopped, why, fault.Kernel.String()
}
