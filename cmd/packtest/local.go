// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"io"
	"os"

	"packtest/internal/fault"
	"packtest/lab"
	"packtest/results"
)

// localCmd is `packtest local`.
type localCmd struct {
	File    string `arg:"" help:"What packguest local wrote; - is the standard input."`
	Variant string `help:"What to call the kernel that ran." default:"local" placeholder:"NAME"`
	Format  string `help:"${formats}." default:"text" placeholder:"FORMAT"`
}

// Help is shown by --help.
func (localCmd) Help() string {
	return `On a lab machine with counters, under the kernel in question, as root:
  packguest local > pack.wire

Then, wherever packtest is:
  packtest local pack.wire --variant pack
  packtest report

The figures are the processor's own, and only what it counts. packguest is in
each initramfs, and is built by: CGO_ENABLED=0 go build ./cmd/packguest`
}

// Run makes the record and prints its report.
func (c *localCmd) Run(w *world) error {
	if err := checkFormat(c.Format); err != nil {
		return err
	}
	said, err := c.read(w)
	if err != nil {
		return fault.Inputf("read what packguest local wrote: %w", err)
	}
	l := &lab.Lab{Store: results.NewStore(w.resultsDir), Now: w.now, Version: version}
	rec, err := l.Local(w.ctx, said, c.Variant, w.command())
	if err != nil {
		return err
	}
	if err := writeReports(l.Store, rec); err != nil {
		return err
	}
	return w.show(rec, c.Format)
}

func (c *localCmd) read(w *world) ([]byte, error) {
	if c.File == "-" {
		return io.ReadAll(w.stdin)
	}
	return os.ReadFile(c.File)
}
