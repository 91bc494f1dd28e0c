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
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"packtest/compare"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/itlb/plugin"
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
	// Events is told what happens, one event at a time; nil is nobody.
	Events func(Event)
	// Now tells the time.
	Now func() time.Time
	// Version is packtest's own, for the record.
	Version string
	// Boot boots one machine; vm.Run, unless a test puts another one here.
	Boot func(context.Context, vm.Machine, vm.Guest) (*vm.Outcome, error)

	mu    sync.Mutex // guards queue
	queue chan Event // nil while nobody listens
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
	r, end, err := l.begin(ctx, req)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := r.keepPlan(); err != nil {
		return r.finish(err)
	}
	return r.finish(r.carryOut(ctx))
}

// begin makes a run of a request, up to its folder. end must be called when the
// run is over.
func (l *Lab) begin(ctx context.Context, req Request) (r *run, end func(), err error) {
	return l.beginWith(ctx, req, l.prepare)
}

// beginWith is begin with another way of preparing, which may change the plan.
func (l *Lab) beginWith(ctx context.Context, req Request, prepare func(context.Context, *plan.Plan) (*prepared, error)) (r *run, end func(), err error) {
	if err := req.Plan.Validate(); err != nil {
		return nil, nil, err
	}
	if err := checkTolerances(req.Plan); err != nil {
		return nil, nil, err
	}
	if err := l.Store.Ready(); err != nil {
		return nil, nil, err
	}
	stop := l.listen()
	defer func() {
		if err != nil {
			stop()
		}
	}()
	release, err := l.Cache.Use(ctx, func(holder string) {
		l.note("waiting for %s to finish cleaning the cache", holder)
	})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	l.sweep()
	// Input errors come before there is a folder for the run.
	prep, err := prepare(ctx, req.Plan)
	if err != nil {
		return nil, nil, err
	}
	r = &run{Lab: l, plan: req.Plan, prep: prep}
	if err := r.open(ctx, req); err != nil {
		return nil, nil, err
	}
	return r, func() { r.release(); release(); stop() }, nil
}

// checkTolerances refuses a tolerance of a metric that can't be worse.
func checkTolerances(p *plan.Plan) error {
	for _, name := range slices.Sorted(maps.Keys(p.Tolerances)) {
		if !compare.Judges(name) {
			return fault.WithHint(fault.Inputf("tolerance: %s does not weigh in the verdict, whatever it does", name), "docs/metrics.md says which metrics are judged")
		}
	}
	return nil
}

// run is one run on its way.
type run struct {
	*Lab
	plan  *plan.Plan
	prep  *prepared
	cells []*cell
	dir   string
	// sitting counts the stretches of a run that was interrupted and resumed; 0
	// is the first of one that was not.
	sitting int
	// release lets go of the run's folder.
	release func()

	pluginMu sync.Mutex // guards plugin and loads
	plugin   *plugin.Plugin
	loads    map[string]bool // by architecture: QEMU takes the plugin

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
	if r.release, err = r.Store.Hold(id); err != nil {
		return err
	}
	r.dir = r.Store.Dir(id)
	r.rec = &results.Record{
		Schema: results.Schema, ID: id, Started: started,
		Verdict: results.Interrupted, Why: "the run has not ended",
		Command: req.Command, Seed: r.plan.Seed,
		Baseline: r.plan.Baseline, Candidate: r.plan.Candidate, Tolerances: r.plan.Tolerances,
		Provenance: provenance(ctx, r.Version, r.prep, req),
		Planned:    planned(r.plan),
		Notes:      append([]string(nil), r.prep.notes...),
	}
	return r.Store.Save(r.rec)
}

// carryOut builds the cells, then boots them.
func (r *run) carryOut(ctx context.Context) error {
	defer r.removePlugin()
	// What is missing for a trace is better known before an hour of building.
	if err := r.prepareTraces(ctx); err != nil {
		return err
	}
	if err := r.buildCells(ctx); err != nil {
		return err
	}
	return r.bootCells(ctx)
}

// finish judges what there is, saves the record, and points "latest" to it,
// however the run ended: what was right yesterday says nothing of today.
func (r *run) finish(cause error) (*results.Record, error) {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	r.rec.Finished = r.Now().UTC()
	if n := len(r.rec.Sittings); n > 0 {
		r.rec.Sittings[n-1].Finished = r.rec.Finished
	}
	compare.MarkBaseline(r.rec)
	r.rec.Verdict, r.rec.Why = "", ""
	verdict, why := compare.Judge(r.rec)
	switch {
	case cause != nil && fault.Of(cause) == fault.Interrupted:
		// It can go on: what was found stays found until then.
		r.rec.Verdict, r.rec.Why = results.Interrupted, "interrupted before its end"
	case cause == nil, verdict == results.KernelFailed:
		// What was proved wrong stays proved, whatever failed later.
		r.rec.Verdict, r.rec.Why = verdict, why
	default:
		r.rec.Verdict, r.rec.Why = results.HarnessFailed, cause.Error()
	}
	err := r.Store.Save(r.rec)
	if err == nil {
		err = r.Store.Publish(r.rec.ID)
	}
	if err != nil {
		return r.rec, errors.Join(fault.Harnessf("%w", err), cause) // the first decides whose fault it is
	}
	return r.rec, cause
}

// update changes the record and saves it, so that a run which is killed leaves
// what it had.
func (r *run) update(change func(*results.Record)) error {
	r.recMu.Lock()
	defer r.recMu.Unlock()
	change(r.rec)
	compare.MarkBaseline(r.rec)
	return r.Store.Save(r.rec)
}

// eventRoom is how many events wait for a listener that is slow: a terminal
// that was stopped must not stop the run.
const eventRoom = 4096

// listen hands events to l.Events from a goroutine of its own until the
// returned function is called, which waits for the last one.
func (l *Lab) listen() (stop func()) {
	if l.Events == nil {
		return func() {}
	}
	queue, done := make(chan Event, eventRoom), make(chan struct{})
	l.mu.Lock()
	l.queue = queue
	l.mu.Unlock()
	go func() {
		defer close(done)
		for e := range queue {
			l.Events(e)
		}
	}()
	return func() {
		l.mu.Lock()
		l.queue = nil
		l.mu.Unlock()
		close(queue)
		<-done
	}
}

func (l *Lab) emit(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue == nil {
		return
	}
	e.At = l.Now()
	select {
	case l.queue <- e:
	default: // nobody has listened for thousands of events
	}
}

func (l *Lab) note(format string, args ...any) {
	l.emit(Event{State: Noted, Text: fmt.Sprintf(format, args...)})
}

// parallel returns how many VMs run at once: what the plan says, or as many as
// there are processors and memory for.
func (r *run) parallel() int {
	if r.plan.Parallel > 0 {
		return r.plan.Parallel
	}
	n := vm.AtOnce(r.plan.VM.MemoryMiB)
	if n < runtime.NumCPU() {
		r.note("there is memory for %d VMs of %d MiB at once, on %d processors", n, r.plan.VM.MemoryMiB, runtime.NumCPU())
	}
	return n
}
