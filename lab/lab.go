// SPDX-License-Identifier: GPL-2.0-or-later

// Package lab conducts a plan: it has the kernels built, boots each of them in
// turn, talks with the guests, tries again what failed for the harness's own
// fault, and keeps everything in a record. How events and records are shown is
// left to others.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"time"

	"packtest/compare"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

// Lab is where runs are made.
type Lab struct {
	Cache *cache.Cache
	Store *results.Store
	// Patches and Kconfigs are the series and fragments packtest carries.
	Patches, Kconfigs fs.FS
	// Events is told what happens; it is called from one goroutine at a time.
	Events func(Event)
	// Now tells the time.
	Now func() time.Time
	// Version is packtest's own, for the record.
	Version string
	// Boot boots one machine; vm.Run, unless a test puts another one here.
	Boot func(context.Context, vm.Machine, vm.Guest) (*vm.Outcome, error)

	mu sync.Mutex // held while Events is called
}

// Request is what is asked of one run.
type Request struct {
	Plan *plan.Plan
	// PlanText is the plan file's text, for the record; "" if there was none.
	PlanText string
	// Command is the command line, for the record.
	Command []string
}

// Run carries out a plan. The record is saved whatever happens once the run
// has a folder; it is nil only if there is none. The error says what kept the
// run from its end: an input that is wrong, a harness that failed, an
// interruption. What the kernels did wrong is in the record, not in the error.
func (l *Lab) Run(ctx context.Context, req Request) (*results.Record, error) {
	if err := req.Plan.Validate(); err != nil {
		return nil, err
	}
	release, err := l.Cache.Use(ctx, func(holder string) {
		l.note("waiting for %s to finish cleaning the cache", holder)
	})
	if err != nil {
		return nil, err
	}
	defer release()

	// Input errors come before there is a folder for the run.
	prep, err := l.prepare(ctx, req.Plan)
	if err != nil {
		return nil, err
	}
	r := &run{Lab: l, plan: req.Plan, prep: prep}
	if err := r.open(ctx, req); err != nil {
		return nil, err
	}
	return r.finish(r.carryOut(ctx))
}

// run is one run on its way.
type run struct {
	*Lab
	plan  *plan.Plan
	prep  *prepared
	cells []*cell
	dir   string

	recMu sync.Mutex // guards rec
	rec   *results.Record
}

// open makes the run's folder and begins its record.
func (r *run) open(ctx context.Context, req Request) error {
	started := r.Now().UTC()
	id, err := r.Store.Create(started)
	if err != nil {
		return err
	}
	r.dir = r.Store.Dir(id)
	r.rec = &results.Record{
		Schema: results.Schema, ID: id, Started: started,
		Verdict: results.Interrupted, Why: "the run has not ended",
		Command: req.Command, Seed: r.plan.Seed,
		Baseline: r.plan.Baseline, Candidate: r.plan.Candidate,
		Provenance: provenance(ctx, r.Version, r.prep, req),
		Planned:    planned(r.plan),
	}
	return r.Store.Save(r.rec)
}

// carryOut builds the cells, then boots them.
func (r *run) carryOut(ctx context.Context) error {
	if err := r.buildCells(ctx); err != nil {
		return err
	}
	return r.bootCells(ctx)
}

// finish judges what there is and saves the record.
func (r *run) finish(cause error) (*results.Record, error) {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	r.rec.Finished = r.Now().UTC()
	switch {
	case cause == nil:
		r.rec.Verdict, r.rec.Why = "", ""
		markBaseline(r.rec)
		r.rec.Verdict, r.rec.Why = compare.Judge(r.rec)
	case fault.Of(cause) == fault.Interrupted:
		r.rec.Verdict, r.rec.Why = results.Interrupted, "interrupted before its end"
	default:
		r.rec.Verdict, r.rec.Why = results.HarnessFailed, cause.Error()
	}
	markBaseline(r.rec)
	if err := r.Store.Save(r.rec); err != nil {
		return r.rec, errors.Join(cause, err)
	}
	if cause == nil {
		if err := r.Store.Publish(r.rec.ID); err != nil {
			return r.rec, err
		}
	}
	return r.rec, cause
}

// update changes the record and saves it, so that a run which is killed leaves
// what it had.
func (r *run) update(change func(*results.Record)) error {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	change(r.rec)
	markBaseline(r.rec)
	return r.Store.Save(r.rec)
}

// markBaseline marks the findings that were made on the baseline of the same
// architecture and scenario too.
func markBaseline(rec *results.Record) {
	key := func(f results.Finding) string {
		return f.Arch + "\x00" + f.Scenario + "\x00" + f.Kind + "\x00" + f.Title
	}
	base := map[string]bool{}
	for _, f := range rec.Findings {
		if f.Variant == rec.Baseline {
			base[key(f)] = true
		}
	}
	for i, f := range rec.Findings {
		rec.Findings[i].OnBaseline = f.Variant != rec.Baseline && base[key(f)]
	}
}

func (l *Lab) emit(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.At = l.Now()
	if l.Events != nil {
		l.Events(e)
	}
}

func (l *Lab) note(format string, args ...any) {
	l.emit(Event{State: Noted, Text: fmt.Sprintf(format, args...)})
}

// parallel returns how many VMs run at once: what the plan says, or one for
// each of the machine's processors. A VM's second processor is idle most of
// the time.
func (r *run) parallel() int {
	if r.plan.Parallel > 0 {
		return r.plan.Parallel
	}
	return max(1, runtime.NumCPU())
}
