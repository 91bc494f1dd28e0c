// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"packtest/internal/fault"
	"packtest/kernel/build"
	"packtest/plan"
	"packtest/results"
)

// Resume goes on with the run that ref names where it stopped: kernels that were
// built, and boots that came to an end of their own or the kernel's making, are
// not made again. A boot that was interrupted or failed for the harness's fault
// is; its findings stay. The error of a run that can't go on, because what it was
// made with has changed, says what that is.
//
// A run that is finished is returned as it is, and nothing is done.
func (l *Lab) Resume(ctx context.Context, ref string, command []string) (*results.Record, error) {
	rec, p, err := l.loadResumable(ref)
	if err != nil || p == nil {
		return rec, err
	}
	release, err := l.Store.Hold(rec.ID)
	if err != nil {
		return nil, err
	}
	defer release()
	// Whoever held it may have come further.
	if rec, p, err = l.loadResumable(rec.ID); err != nil || p == nil {
		return rec, err
	}
	defer l.listen()()
	done, err := l.Cache.Use(ctx, func(holder string) { l.note("waiting for %s to finish cleaning the cache", holder) })
	if err != nil {
		return nil, err
	}
	defer done()
	if err := l.sweepRun(rec.ID); err != nil {
		return nil, fmt.Errorf("resume the run %s: %w", rec.ID, err)
	}
	prep, err := l.prepare(ctx, p)
	if err != nil {
		return nil, err
	}
	before, err := l.Store.Load(rec.ID)
	if err != nil {
		return nil, err
	}
	r := &run{Lab: l, plan: p, prep: prep, rec: rec, dir: l.Store.Dir(rec.ID)}
	carryOut := r.carryOut
	if s := rec.Resume.Search; s != nil {
		b, err := resumedSearch(ctx, r, p, *s)
		if err != nil {
			return nil, err
		}
		carryOut = b.goOn
	}
	if err := r.reopen(ctx, command); err != nil {
		return nil, err
	}
	cause := carryOut(ctx)
	var refused *refusal
	if errors.As(cause, &refused) {
		return nil, errors.Join(cause, l.Store.Save(before)) // the run stays what it was
	}
	return r.finish(cause)
}

// loadResumable reads a run's record and plan; the plan is nil if the run is
// finished.
func (l *Lab) loadResumable(ref string) (*results.Record, *plan.Plan, error) {
	rec, err := l.Store.Load(ref)
	if err != nil {
		return nil, nil, err
	}
	unended := rec.Finished.IsZero() || rec.Verdict == results.Interrupted
	if rec.Resume == nil {
		if unended || rec.Verdict == results.HarnessFailed {
			return nil, nil, fault.WithHint(fault.Inputf("the run %s can't be resumed: its record does not hold its plan", rec.ID), "begin a new one; what it built is in the cache")
		}
		return rec, nil, nil
	}
	p, err := keptPlan(rec)
	if err != nil {
		return nil, nil, err
	}
	if left, _ := Unfinished(rec); !unended && left == 0 {
		return rec, nil, nil
	}
	return rec, p, nil
}

// keptPlan reads what keepPlan wrote.
func keptPlan(rec *results.Record) (*plan.Plan, error) {
	p, err := plan.Parse(rec.Resume.Plan, "of the run "+rec.ID)
	if err != nil {
		return nil, err
	}
	for i := range p.Scenarios {
		s := &p.Scenarios[i]
		s.Asked = slices.Contains(rec.Resume.Asked, s.Name)
	}
	p.FirstFinding = rec.Resume.FirstFinding
	return p, nil
}

// Unfinished returns how many boots of a run are still to be made, and of how
// many; total is 0 if the record does not say. A search that has not ended takes
// at least one more.
func Unfinished(rec *results.Record) (left, total int) {
	if rec.Resume == nil {
		return 0, 0
	}
	if rec.Resume.Search != nil {
		if rec.Verdict == results.Interrupted || rec.Verdict == results.HarnessFailed {
			left = 1
		}
		return left, 0
	}
	p, err := keptPlan(rec)
	if err != nil {
		return 0, 0
	}
	return len(unsettled(rec, p)), len(expected(rec, p))
}

// expected lists the boots that the plan asks for, as far as the record tells
// which kernels there are and what they are booted with.
func expected(rec *results.Record, p *plan.Plan) []*boot {
	var cells []*cell
	for _, arch := range p.Arches {
		for _, v := range p.Variants {
			c := &cell{arch: arch, variant: v.Name, kernel: &build.Kernel{}}
			if rc := cellOf(rec, arch, v.Name); rc != nil && rc.Error != "" {
				c.kernel = nil
			}
			cells = append(cells, c)
		}
	}
	return everyBoot(rec, p, cells, rec.Provenance.Accelerator)
}

func unsettled(rec *results.Record, p *plan.Plan) []*boot { return remaining(rec, expected(rec, p)) }

// remaining leaves out the boots that the record has.
func remaining(rec *results.Record, boots []*boot) []*boot {
	return slices.DeleteFunc(boots, func(b *boot) bool {
		return slices.ContainsFunc(rec.Boots, func(have results.Boot) bool {
			return have.Arch == b.arch && have.Variant == b.variant && have.Number == b.number && settled(have)
		})
	})
}

// settled tells the boots that nothing is to be made of again: those that ended
// well, and those on which the kernel failed.
func settled(b results.Boot) bool {
	return b.Ending == results.EndingDone || b.Fault == fault.Kernel.String()
}

func cellOf(rec *results.Record, arch, variant string) *results.Cell {
	for i := range rec.Cells {
		if c := &rec.Cells[i]; c.Arch == arch && c.Variant == variant {
			return c
		}
	}
	return nil
}

// keepPlan writes into the record what it takes to resume it. A plan that no
// plan file can say is not kept.
func (r *run) keepPlan() error {
	own := *r.plan
	if own.ReadsStdin() {
		return nil
	}
	for _, v := range own.Variants {
		if v.First > 0 {
			return nil
		}
	}
	// The run may be resumed from another folder.
	scheme, path := "", own.Base
	if rest, ok := strings.CutPrefix(own.Base, "tree:"); ok {
		scheme, path = "tree:", rest
	}
	if scheme != "" || plan.IsPath(path) {
		abs, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("keep the plan: %w", err)
		}
		own.Base = scheme + abs
	}
	self, err := r.self()
	if err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	var asked []string
	for _, s := range own.Scenarios {
		if s.Asked {
			asked = append(asked, s.Name)
		}
	}
	return r.update(func(rec *results.Record) {
		rec.Resume = &results.Resume{Plan: own.TOML(), Asked: asked, FirstFinding: own.FirstFinding, Build: self}
	})
}

// reopen makes the record one of a run that goes on.
func (r *run) reopen(ctx context.Context, command []string) error {
	if err := r.sameAsBefore(ctx); err != nil {
		return err
	}
	now := r.Now().UTC()
	return r.update(func(rec *results.Record) {
		if len(rec.Sittings) == 0 {
			rec.Sittings = []results.Sitting{{Started: rec.Started, Finished: rec.Finished, Command: rec.Command}}
		}
		rec.Sittings = append(rec.Sittings, results.Sitting{Started: now, Command: command})
		r.sitting = len(rec.Sittings)
		var there, again []results.Boot
		for _, b := range rec.Boots {
			if settled(b) {
				there = append(there, b)
			} else {
				again = append(again, b)
			}
		}
		rec.Boots, rec.Finished = there, time.Time{}
		rec.Verdict, rec.Why = results.Interrupted, "the run has not ended"
		rec.Notes = append(rec.Notes, fmt.Sprintf("resumed on %s with %d boots made before", now.Format("2006-01-02 15:04 UTC"), len(there)))
		for _, b := range again {
			rec.Notes = append(rec.Notes, fmt.Sprintf("%s %s, boot %d: made again, because it ended in %s before the run was resumed", b.Arch, b.Variant, b.Number, b.Ending))
		}
	})
}

// sameAsBefore returns an error that names what has changed since the run began
// and decides its figures.
func (r *run) sameAsBefore(ctx context.Context) error {
	self, err := r.self()
	if err != nil {
		return fmt.Errorf("resume %s: %w", r.rec.ID, err)
	}
	was, is := r.rec.Provenance, provenance(ctx, r.Version, r.prep, Request{Plan: r.plan})
	var changed []string
	differ := func(what, x, y string) {
		if x != y {
			changed = append(changed, fmt.Sprintf("%s was %s and is %s", what, orNone(x), orNone(y)))
		}
	}
	if self != r.rec.Resume.Build {
		changed = append(changed, "packtest, and the guest in it, is not the one that began the run")
	}
	differ("the base", was.Base.Commit, is.Base.Commit)
	differ("the series", seriesSums(was), seriesSums(is))
	differ("the host", fmt.Sprintf("%s, %d CPUs", was.Host.CPU, was.Host.CPUs), fmt.Sprintf("%s, %d CPUs", is.Host.CPU, is.Host.CPUs))
	for _, arch := range r.plan.Arches {
		differ("QEMU for "+arch, was.Tools["qemu-"+arch], is.Tools["qemu-"+arch])
	}
	if was.Geometries != is.Geometries {
		changed = append(changed, "the file of geometries is not what it was")
	}
	for _, c := range r.rec.Cells {
		differ("the tree of "+c.Variant, c.Commit, r.prep.commits[c.Variant])
	}
	return r.refuse(changed...)
}

// refuse returns the error of a run that can't be resumed; nil without a reason.
func (r *run) refuse(reasons ...string) error {
	if len(reasons) == 0 {
		return nil
	}
	return &refusal{fault.WithHint(fault.Inputf("the run %s can't be resumed: %s", r.rec.ID, strings.Join(reasons, "; ")),
		"begin a new one: %s", strings.Join(r.rec.Command, " "))}
}

// refusal is the error of a run that can't go on with what there is now.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

func seriesSums(p results.Provenance) string {
	var list []string
	for _, s := range p.Series {
		list = append(list, fmt.Sprintf("%s %.12s", s.Name, s.SHA256))
	}
	return strings.Join(list, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// putCell puts a cell into the record. Of one that is there already, from an
// earlier sitting, the image and its configuration must be the same.
func (r *run) putCell(c results.Cell) error {
	old := cellOf(r.rec, c.Arch, c.Variant)
	if old == nil {
		return r.update(func(rec *results.Record) { rec.Cells = append(rec.Cells, c) })
	}
	if old.Image != c.Image || old.ConfigSHA256 != c.ConfigSHA256 {
		return r.refuse(fmt.Sprintf("the kernel %s for %s is not the one that was booted: its image was %.12s and is %.12s", c.Variant, c.Arch, old.Image, c.Image))
	}
	return nil
}

// builtBefore returns the cell of an earlier sitting that could not be built for
// the kernel's fault; nil if there is none.
func (r *run) builtBefore(arch, variant string) *cell {
	old := cellOf(r.rec, arch, variant)
	if old == nil || old.Error == "" {
		return nil
	}
	return &cell{arch: arch, variant: variant, err: fault.Kernelf("%s", old.Error)}
}

// sameAccelerators checks that kernels are booted as in earlier sittings.
func (r *run) sameAccelerators(accel map[string]string) error {
	for arch, was := range r.rec.Provenance.Accelerator {
		if is := accel[arch]; is != "" && is != was {
			return r.refuse(fmt.Sprintf("the accelerator for %s was %s and is %s", arch, was, is))
		}
	}
	return nil
}
