// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"packtest/guest/scenario"
	"packtest/guest/wire"
)

// hand is packguest called by hand.
type hand struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

const usage = `usage: packguest COMMAND

  load [-seed S] [N]     load N programs of the fleet (1000), show where they
                         lie, and hold them until Enter is pressed
  layout                 show where the programs lie that are loaded now
  run [flags] SCENARIO   run a scenario and print what it reports
  local [flags]          count itlb with this machine's own counters, and write
                         what packtest local makes a record of
  bench-load [N]         time the loader against the bare system calls

Scenarios:
`

// errUsage says that the command line is wrong; what is wrong was printed.
var errUsage = errors.New("usage")

func (h hand) run(ctx context.Context, args []string) int {
	command := "help"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	p := &printer{out: h.stdout}
	var err error
	switch command {
	case "help", "-h", "--help":
		h.help()
	case "load":
		err = h.load(ctx, p, args)
	case "layout":
		env := h.env(p)
		err = scenario.Present(&env)
	case "run":
		err = h.scenario(ctx, p, args)
	case "local":
		err = h.local(ctx, args)
	case "bench-load":
		err = h.benchLoad(ctx, p, args)
	default:
		fmt.Fprintf(h.stderr, "packguest: no command %q\n", command)
		h.help()
		err = errUsage
	}
	switch {
	case errors.Is(err, errUsage):
		return 2
	case err != nil:
		fmt.Fprintf(h.stderr, "packguest: %s: %v\n", command, err)
		return 3
	case p.findings > 0:
		return 1
	}
	return 0
}

func (h hand) help() {
	fmt.Fprint(h.stderr, usage)
	for _, s := range scenario.All() {
		fmt.Fprintf(h.stderr, "  %-10s %s\n", s.Name, s.Help)
	}
}

func (h hand) env(p *printer) scenario.Env {
	env := environment(h.stderr)
	env.Report = p
	return env
}

func (h hand) flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet("packguest "+name, flag.ContinueOnError)
	f.SetOutput(h.stderr)
	return f
}

// count parses the number of programs that may come after the flags.
func count(f *flag.FlagSet) (int, error) {
	switch f.NArg() {
	case 0:
		return scenario.DefaultPrograms, nil
	case 1:
		n, err := strconv.Atoi(f.Arg(0))
		if err == nil && n > 0 && n <= scenario.MaxPrograms {
			return n, nil
		}
	}
	fmt.Fprintf(f.Output(), "%s: %q is not a number of programs from 1 to %d\n", f.Name(), strings.Join(f.Args(), " "), scenario.MaxPrograms)
	return 0, errUsage
}

func (h hand) load(ctx context.Context, p *printer, args []string) error {
	f := h.flags("load")
	seed := f.Uint64("seed", 1, "which fleet")
	if f.Parse(args) != nil {
		return errUsage
	}
	n, err := count(f)
	if err != nil {
		return err
	}
	env := h.env(p)
	return scenario.Hold(ctx, &env, n, *seed, func() error {
		if err := scenario.Present(&env); err != nil {
			return err
		}
		fmt.Fprintf(h.stdout, "%d programs are loaded; Enter frees them ", n)
		_, err := bufio.NewReader(h.stdin).ReadString('\n')
		fmt.Fprintln(h.stdout)
		if err == io.EOF {
			err = nil
		}
		return err
	})
}

// sizes adds the flags that say how large a scenario is.
func sizes(f *flag.FlagSet, spec *wire.ScenarioSpec) {
	f.IntVar(&spec.Programs, "programs", 0, "how many to load")
	f.IntVar(&spec.Hot, "hot", 0, "how many of them itlb runs")
	f.IntVar(&spec.Rounds, "rounds", 0, "how often itlb runs each")
	f.Uint64Var(&spec.Seed, "seed", 1, "which fleet")
	f.Func("steps", "numbers of programs for directmap, or of hot ones for itlb, separated by commas", func(s string) error {
		for _, part := range strings.Split(s, ",") {
			n, err := strconv.Atoi(part)
			if err != nil {
				return err
			}
			spec.Steps = append(spec.Steps, n)
		}
		return nil
	})
}

func (h hand) scenario(ctx context.Context, p *printer, args []string) error {
	f := h.flags("run")
	var spec wire.ScenarioSpec
	sizes(f, &spec)
	f.StringVar(&spec.Module, "module", "/lib/modules/test_bpf.ko", "the module that test_bpf loads")
	// Flags may stand on either side of the name.
	for len(args) > 0 {
		if f.Parse(args) != nil {
			return errUsage
		}
		if args = f.Args(); len(args) > 0 {
			if spec.Name != "" {
				fmt.Fprintf(h.stderr, "packguest run: one scenario at a time, not %s and %s\n", spec.Name, args[0])
				return errUsage
			}
			spec.Name, args = args[0], args[1:]
		}
	}
	s, err := scenario.Find(scenario.All(), spec.Name)
	if err != nil {
		fmt.Fprintf(h.stderr, "packguest run: %v\n", err)
		return errUsage
	}
	env := h.env(p)
	return s.Run(ctx, &env, spec)
}

func (h hand) benchLoad(ctx context.Context, p *printer, args []string) error {
	f := h.flags("bench-load")
	rounds := f.Int("rounds", 5, "how often each way is timed")
	if f.Parse(args) != nil {
		return errUsage
	}
	n, err := count(f)
	if err != nil {
		return err
	}
	env := h.env(p)
	b, err := scenario.MeasureLoad(ctx, &env, n, *rounds, 1)
	if err != nil {
		return err
	}
	fmt.Fprintf(h.stdout, "bench-load: %d programs: loader %v, bare bpf(2) %v, ratio %.3f (best of %d); making them took %v\n",
		n, b.Loader.Round(time.Millisecond), b.Floor.Round(time.Millisecond), b.Ratio(), b.Rounds, b.Making.Round(time.Millisecond))
	return nil
}
