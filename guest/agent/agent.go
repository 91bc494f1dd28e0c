// SPDX-License-Identifier: GPL-2.0-or-later

// Package agent is the guest's side of the conversation with packtest: it says
// hello, takes a job, runs its scenarios one by one, passes on what they have
// to say, and says done at the end. What a scenario does is package scenario's
// business, and booting and powering off are cmd/packguest's.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"packtest/guest/scenario"
	"packtest/guest/wire"
	"packtest/metric"
)

// Agent runs jobs.
type Agent struct {
	// Hello is what the agent introduces the guest with.
	Hello wire.Hello
	// Prepare, if not nil, is called before the first scenario: it does what
	// scenarios need and hello does not.
	Prepare func() error
	// Scenarios are those that a job can ask for.
	Scenarios []scenario.Scenario
	// Env is what scenarios run in. The agent puts in a Reporter of its own.
	Env scenario.Env
}

// PanicError is a panic in a scenario. After it the guest's state is unknown:
// nothing more may be run, and nothing may look as if all went well.
type PanicError struct {
	Scenario string
	Value    any
	Stack    []byte
}

// Error tells everything, for the console.
func (e *PanicError) Error() string {
	return fmt.Sprintf("panic in scenario %s: %v\n%s", e.Scenario, e.Value, e.Stack)
}

// Serve has the whole conversation over conn. It returns nil after it said
// done, which it does also if scenarios failed: each failure is told with the
// end of its scenario. On any error done was not said.
func (a *Agent) Serve(ctx context.Context, conn io.ReadWriter) error {
	w := wire.NewWriter(conn)
	if err := a.greet(w); err != nil {
		return err
	}
	job, err := awaitJob(conn)
	if err != nil {
		return err
	}
	return a.work(ctx, w, job)
}

func (a *Agent) greet(w *wire.Writer) error {
	return w.Write(wire.Message{Type: wire.TypeHello, Hello: &a.Hello})
}

// awaitJob returns the job that the host sends.
func awaitJob(conn io.Reader) (*wire.Job, error) {
	m, err := wire.NewReader(conn).Read()
	if err != nil {
		return nil, fmt.Errorf("wait for a job: %w", err)
	}
	if m.Type != wire.TypeJob {
		return nil, fmt.Errorf("wait for a job: the host sent %s", m.Type)
	}
	return m.Job, nil
}

// work runs a job's scenarios and says done.
func (a *Agent) work(ctx context.Context, w *wire.Writer, job *wire.Job) error {
	if a.Prepare != nil {
		if err := a.Prepare(); err != nil {
			return err
		}
	}
	findings := 0
	for i, spec := range job.Scenarios {
		a.Env.Next = ""
		if i+1 < len(job.Scenarios) {
			a.Env.Next = job.Scenarios[i+1].Name
		}
		n, err := a.run(ctx, w, spec)
		if err != nil {
			return err
		}
		findings += n
	}
	return w.Write(wire.Message{Type: wire.TypeDone, Done: &wire.Done{Scenarios: len(job.Scenarios), Findings: findings}})
}

// run runs one scenario and returns the number of its findings. An error means
// that the conversation is over.
func (a *Agent) run(ctx context.Context, w *wire.Writer, spec wire.ScenarioSpec) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &reporter{w: w, scenario: spec.Name, stop: cancel, now: a.now()}
	r.send(wire.Message{Type: wire.TypeBegin})
	start := r.now()
	failure := a.call(ctx, r, spec)
	end := wire.End{Seconds: r.now().Sub(start).Seconds()}
	var panicked *PanicError
	switch {
	case errors.As(failure, &panicked):
		end.Error = fmt.Sprintf("panic: %v", panicked.Value)
	case failure != nil:
		end.Error = failure.Error()
	}
	r.send(wire.Message{Type: wire.TypeEnd, End: &end})
	if r.err != nil {
		return r.findings, r.err
	}
	if panicked != nil {
		return r.findings, panicked
	}
	return r.findings, nil
}

func (a *Agent) now() func() time.Time {
	if a.Env.Now != nil {
		return a.Env.Now
	}
	return time.Now
}

// call finds and runs the scenario and turns a panic into an error.
func (a *Agent) call(ctx context.Context, r *reporter, spec wire.ScenarioSpec) (err error) {
	s, err := scenario.Find(a.Scenarios, spec.Name)
	if err != nil {
		return err
	}
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Scenario: spec.Name, Value: v, Stack: debug.Stack()}
		}
	}()
	a.Env.Report, a.Env.Now = r, r.now
	return s.Run(ctx, &a.Env, spec)
}

// reporter sends what a scenario reports. If the connection breaks, it stops
// the scenario.
type reporter struct {
	w        *wire.Writer
	scenario string
	stop     context.CancelCauseFunc
	now      func() time.Time
	findings int
	err      error
	// told is when progress was last sent.
	told time.Time
}

func (r *reporter) send(m wire.Message) {
	if r.err != nil {
		return
	}
	m.Scenario = r.scenario
	if err := r.w.Write(m); err != nil {
		r.err = err
		r.stop(err)
	}
}

// progressEvery keeps progress from becoming the load.
const progressEvery = 100 * time.Millisecond

func (r *reporter) Progress(done, total int, what string) {
	now := r.now()
	// A clock that was set back must not make a guest that lives look dead.
	if d := now.Sub(r.told); d >= 0 && d < progressEvery && done != total {
		return
	}
	r.told = now
	r.send(wire.Message{Type: wire.TypeProgress, Progress: &wire.Progress{Done: done, Total: total, What: what}})
}

func (r *reporter) Sample(s metric.Sample) {
	r.send(wire.Message{Type: wire.TypeSample, Sample: &s})
}

func (r *reporter) Layout(l wire.Layout) {
	r.send(wire.Message{Type: wire.TypeLayout, Layout: &l})
}

func (r *reporter) Finding(f wire.Finding) {
	r.findings++
	r.send(wire.Message{Type: wire.TypeFinding, Finding: &f})
}

func (r *reporter) Window(v wire.Window) {
	r.send(wire.Message{Type: wire.TypeWindow, Window: &v})
}

func (r *reporter) Unmeasured(metric, why string) {
	r.send(wire.Message{Type: wire.TypeUnmeasured, Unmeasured: &wire.Unmeasured{Metric: metric, Why: why}})
}
