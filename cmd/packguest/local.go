// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"packtest/guest/agent"
	"packtest/guest/scenario"
	"packtest/guest/wire"
	"packtest/metric"
)

// local counts itlb's windows on the machine that packguest was started on, and
// writes what packtest local makes a record of.
func (h hand) local(ctx context.Context, args []string) error {
	f := h.flags("local")
	spec := wire.ScenarioSpec{Name: "itlb"}
	sizes(f, &spec)
	if f.Parse(args) != nil {
		return errUsage
	}
	if f.NArg() > 0 {
		fmt.Fprintf(h.stderr, "packguest local: %q is no flag\n", f.Arg(0))
		return errUsage
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(h.stderr, "packguest local: only root loads programs and counts in the kernel; try: sudo packguest local > FILE")
		return errUsage
	}
	if out, ok := h.stdout.(*os.File); ok && isTerminal(out) {
		fmt.Fprintln(h.stderr, "packguest local: what it writes is for packtest, not for a terminal: packguest local > FILE, then packtest local FILE")
		return errUsage
	}
	// What is ended still sets the sysctls back.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, unix.SIGTERM)
	defer stop()
	return h.count(ctx, spec, scenario.CountITLB)
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// count carries out one scenario, and says on stderr what was not measured.
func (h hand) count(ctx context.Context, spec wire.ScenarioSpec, run func(context.Context, *scenario.Env, wire.ScenarioSpec) error) error {
	var failure error
	heard := &summary{}
	a := agent.Agent{Hello: hello(), Env: environment(h.stderr), Scenarios: []scenario.Scenario{{
		Name: spec.Name, Run: func(ctx context.Context, env *scenario.Env, spec wire.ScenarioSpec) error {
			heard.Reporter, env.Report = env.Report, heard
			failure = run(ctx, env, spec)
			return failure
		},
	}}}
	if err := a.ServeAlone(ctx, wire.Job{Scenarios: []wire.ScenarioSpec{spec}}, h.stdout); err != nil {
		return err
	}
	if failure == nil && heard.samples == 0 {
		failure = errors.New("nothing was measured")
		if heard.why != "" {
			failure = fmt.Errorf("not measured: %s", heard.why)
		}
	}
	return failure
}

// summary keeps what the one who started packguest wants to know at once.
type summary struct {
	scenario.Reporter
	samples int
	why     string
}

func (s *summary) Sample(m metric.Sample) {
	s.samples++
	s.Reporter.Sample(m)
}

func (s *summary) Unmeasured(metric, why string) {
	s.why = why
	s.Reporter.Unmeasured(metric, why)
}
