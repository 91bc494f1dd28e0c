// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"strings"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/results"
)

// compareCmd is `packtest compare`.
type compareCmd struct {
	A      string `arg:"" help:"The baseline: a run, or RUN:VARIANT. A run is an ID, a folder, a record, or latest; without one, latest."`
	B      string `arg:"" optional:"" help:"What is compared with it, in the same way; without it, the candidate of the run A is compared with its baseline."`
	Format string `help:"${formats}." default:"text" placeholder:"FORMAT"`
}

// Help is shown by --help.
func (compareCmd) Help() string {
	return `Examples:
  packtest compare 20260101-030000 latest        the candidates of two runs
  packtest compare :nopack :upstream             two sides of the latest run
  packtest compare results/reference:pack latest:pack --format markdown

Runs whose accelerator, QEMU, kernel configuration, VM or seed differ are not compared.

Exit code: 0 nothing got worse, 1 a regression or a finding, 2 the two can't be
compared, 3 they prove nothing either way.`
}

// Run prints the comparison.
func (c *compareCmd) Run(w *world) error {
	if err := checkFormat(c.Format); err != nil {
		return err
	}
	a, b, err := c.sides(results.NewStore(w.resultsDir))
	if err != nil {
		return err
	}
	rec, err := compare.Sides(a, b)
	if err != nil {
		return err
	}
	rec.Command = w.command()
	rec.Verdict, rec.Why = compare.Judge(rec)
	if err := render(w.stdout, c.Format, rec, colourful(w.stdout)); err != nil {
		return err
	}
	if code := compare.ExitCode(rec.Verdict); code != 0 {
		return exitCode(code)
	}
	return nil
}

func (c *compareCmd) sides(store *results.Store) (a, b compare.Side, err error) {
	if a, err = loadSide(store, c.A); err != nil {
		return a, b, err
	}
	if c.B != "" {
		if b, err = loadSide(store, c.B); err != nil {
			return a, b, err
		}
	} else {
		if a.Variant != "" {
			return a, b, fault.Inputf("compare %s with what? give a second side, or a run alone", c.A)
		}
		a.Variant, b.Rec = a.Rec.Baseline, a.Rec
	}
	for _, s := range []*compare.Side{&a, &b} {
		if s.Variant == "" {
			s.Variant = s.Rec.Candidate
		}
	}
	return a, b, nil
}

// loadSide reads RUN[:VARIANT]. The variant is empty if none is named.
func loadSide(store *results.Store, ref string) (compare.Side, error) {
	run, variant := ref, ""
	if i := strings.LastIndex(ref, ":"); i >= 0 && !strings.Contains(ref[i:], "/") {
		run, variant = ref[:i], ref[i+1:]
	}
	if run == "" {
		run = "latest"
	}
	rec, err := store.Load(run)
	return compare.Side{Rec: rec, Variant: variant}, err
}
