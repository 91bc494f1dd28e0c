// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"packtest/doctor"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/lab"
	"packtest/plan"
)

// doctorCmd is `packtest doctor`.
type doctorCmd struct {
	Arch   []string `help:"Only for these architectures." placeholder:"ARCH" sep:","`
	Format string   `help:"text or json." default:"text" enum:"text,json"`
}

// Help is shown by --help.
func (doctorCmd) Help() string {
	return "Example:\n  packtest doctor\n\nExit code: 0 if nothing needed is missing, else 3."
}

// Run examines the machine.
func (c *doctorCmd) Run(w *world) error {
	p := plan.Default()
	if err := p.Keep(c.Arch, nil, nil); err != nil {
		return err
	}
	root := w.cacheDir
	if root == "" {
		var err error
		if root, err = cache.DefaultRoot(); err != nil {
			return err
		}
	}
	checks := doctor.Examine(w.ctx, p.Arches, root)
	if c.Format == "json" {
		b, err := json.MarshalIndent(checks, "", " ")
		if err != nil {
			return err
		}
		fmt.Fprintf(w.stdout, "%s\n", b)
	} else {
		tw := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
		for _, ch := range checks {
			fmt.Fprintf(tw, "%s\t%s\t%s\n", ch.Status, ch.Name, ch.Detail)
			if ch.Fix != "" && ch.Package == "" {
				fmt.Fprintf(tw, "\t\tmend: %s\n", ch.Fix)
			}
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		if cure := doctor.Cure(checks); cure != "" {
			fmt.Fprintf(w.stdout, "\nRun this as root:\n  %s\n", cure)
		}
	}
	if !doctor.Healthy(checks) {
		return exitCode(fault.Harness.ExitCode())
	}
	return nil
}

// shellCmd is `packtest shell`.
type shellCmd struct {
	planFlags
	Arch    string `help:"Architecture." default:"x86_64" placeholder:"ARCH"`
	Variant string `help:"Variant." default:"pack" placeholder:"NAME"`
	Plan    string `help:"Plan file that has the variant." placeholder:"FILE"`
}

// Help is shown by --help.
func (shellCmd) Help() string {
	return `Examples:
  packtest shell                                 pack on x86_64
  packtest shell --arch s390x --variant nopack

In the guest: packguest --help shows what there is beside the usual commands;
poweroff, or Ctrl-A x, ends it.`
}

// Run boots the kernel and connects the terminal to its console.
func (c *shellCmd) Run(w *world) error {
	p, _, err := c.planFlags.load(c.Plan)
	if err != nil {
		return err
	}
	if err := p.Keep([]string{c.Arch}, []string{c.Variant}, nil); err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return err
	}
	l, err := w.newLab()
	if err != nil {
		return err
	}
	progress := newProgress(w.stderr)
	l.Events = progress.event
	stdin, ok := w.stdin.(*os.File)
	if !ok {
		return fault.Harnessf("shell: standard input is no file")
	}
	return l.Shell(w.ctx, p, lab.Terminal{In: stdin, Out: w.stdout, Ready: progress.close})
}

// gcCmd is `packtest gc`.
type gcCmd struct {
	OlderThan *time.Duration `help:"Remove what was not used for this long, such as 168h." placeholder:"DURATION"`
	All       bool           `help:"Remove everything."`
}

// Help is shown by --help.
func (gcCmd) Help() string {
	return `Examples:
  packtest gc                                    show what the cache holds; remove nothing
  packtest gc --older-than 168h                  remove what was not used for a week
  packtest gc --all

Nothing is removed while another packtest uses the cache.`
}

// Run lists the cache's items and removes the ones asked for.
func (c *gcCmd) Run(w *world) error {
	switch {
	case c.OlderThan == nil:
	case c.All:
		return fault.Inputf("gc: --all removes everything, and --older-than only some: give one of the two")
	case *c.OlderThan <= 0:
		return fault.WithHint(fault.Inputf("gc: --older-than %v is no time that has passed", *c.OlderThan), "--all removes everything")
	}
	ch, err := w.openCache()
	if err != nil {
		return err
	}
	removing := c.All || c.OlderThan != nil
	if removing {
		done, err := ch.Exclusive()
		if err != nil {
			return err
		}
		defer done()
	}
	items, err := ch.Items()
	if err != nil {
		return err
	}
	var kept, removed int64
	tw := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	for _, it := range items {
		what := ""
		if c.All || c.OlderThan != nil && w.now().Sub(it.Used) > *c.OlderThan {
			if err := ch.RemoveItem(it); err != nil {
				return err
			}
			what = "removed"
			removed += it.Bytes
		} else {
			kept += it.Bytes
		}
		fmt.Fprintf(tw, "%s\t%s\tused %s\t%s\n", humanize.IBytes(uint64(it.Bytes)), it.Name, humanize.RelTime(it.Used, w.now(), "ago", "from now"), what)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "%s in %s", humanize.IBytes(uint64(kept)), ch.Root())
	if removing {
		fmt.Fprintf(w.stdout, "; %s removed", humanize.IBytes(uint64(removed)))
	}
	fmt.Fprintln(w.stdout)
	return nil
}
