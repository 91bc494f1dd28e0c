// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/report"
	"packtest/results"
)

// reportCmd is `packtest report`.
type reportCmd struct {
	ID     string `arg:"" optional:"" default:"latest" help:"A run's ID, its folder or its record; by default the latest."`
	Format string `help:"${formats}." default:"text" placeholder:"FORMAT"`
	Strict bool   `help:"Exit as the run did: 1 if its verdict says that something is wrong."`
}

// Help is shown by --help.
func (reportCmd) Help() string {
	return `Examples:
  packtest report                                the latest run
  packtest report 20260102-030405 --format html > report.html
  packtest report results/reference/record.json
  packtest report --format junit > junit.xml     for CI; ktap and b4 are others
  packtest report --format bench | benchstat -col variant -

The report is made from the record alone, so it works on any machine.`
}

// Run prints the report.
func (c *reportCmd) Run(w *world) error {
	if err := checkFormat(c.Format); err != nil {
		return err
	}
	rec, err := results.NewStore(w.resultsDir).Load(c.ID)
	if err != nil {
		return err
	}
	if err := render(w.stdout, c.Format, rec, colourful(w.stdout)); err != nil {
		return err
	}
	if code := compare.ExitCode(rec.Verdict); c.Strict && code != 0 {
		return exitCode(code)
	}
	return nil
}

// render writes a record's report; colour is for text on a terminal.
func render(out io.Writer, format string, rec *results.Record, colour bool) error {
	if format == "text" && colour {
		return report.TextStyle{Colour: true}.Write(out, report.Build(rec))
	}
	return report.Write(out, format, rec)
}

// checkFormat refuses an unknown format before anything is done for it.
func checkFormat(format string) error {
	if !slices.ContainsFunc(report.Formats(), func(f report.Format) bool { return f.Name == format }) {
		return fault.Inputf("unknown format %q: use one of %s", format, formatNames())
	}
	return nil
}

func formatNames() string {
	var names []string
	for _, f := range report.Formats() {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// colourful tells whether out is a terminal whose user wants colour.
func colourful(out io.Writer) bool {
	return isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
