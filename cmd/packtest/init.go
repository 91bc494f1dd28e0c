// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"fmt"
	"os"

	"packtest/internal/cache"
	"packtest/internal/fault"
)

// initCmd is `packtest init`.
type initCmd struct {
	planFlags
	File  string `arg:"" optional:"" default:"${planfile}" help:"Where to write it; - is standard output."`
	Force bool   `help:"Replace a file that is there."`
}

// Help is shown by --help.
func (initCmd) Help() string {
	return `Writes a plan file with comments: what packtest run does without one, or with
the same flags.

Examples:
  packtest init
  packtest init --tree ~/bpf-next@v6 --series v6.mbox
  packtest run --plan packtest.toml`
}

// Run writes the plan.
func (c *initCmd) Run(w *world) error {
	p, _, err := c.planFlags.load("")
	if err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return err
	}
	if p.ReadsStdin() {
		return fault.WithHint(fault.Inputf("init: a plan can't hold standard input"), "save the series into a file")
	}
	text := p.TOML()
	if c.File == "-" {
		fmt.Fprint(w.stdout, text)
		return nil
	}
	switch at, err := os.Lstat(c.File); {
	case c.File == "":
		return fault.Inputf("init: a file without a name can't be written")
	case err == nil && !at.Mode().IsRegular():
		return fault.WithHint(fault.Inputf("init: %s is there already, and is no file", c.File), "name another one; - is standard output")
	case err == nil && !c.Force:
		return fault.WithHint(fault.Inputf("init: %s is there already", c.File), "--force replaces it")
	}
	if err := cache.WriteFile(c.File, []byte(text), 0o644); err != nil {
		return misnamed(fmt.Errorf("init: %w", err))
	}
	fmt.Fprintf(w.stderr, "packtest: %s is written; packtest run --plan %s\n", c.File, c.File)
	return nil
}
