// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"packtest/internal/cache"
	"packtest/internal/proc"
)

// Inspection is what a build with extra warnings on shows of a kernel besides
// the kernel.
type Inspection struct {
	// Warnings are those of every step, whatever build last carried it out.
	Warnings Warnings `json:"warnings"`
	// Size is that of the sections that are loaded, Symbols of what is in them.
	Size    Size    `json:"size"`
	Symbols Symbols `json:"symbols"`
	// Made is about the build that was inspected.
	Made meta `json:"made"`
}

// Sparse returns the version of sparse, or "" if there is none in PATH.
func Sparse(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("sparse"); err != nil {
		return "", nil
	}
	return proc.Output(ctx, "", "sparse", "--version")
}

// Inspect is Build with make's W=1, and with sparse (C=1) where that is
// installed. It has a build tree of its own, since other flags would have every
// object compiled anew; the kernel is the same one, byte for byte.
//
// Make goes on after an error, so that a *CompileError tells all of them.
func Inspect(ctx context.Context, c *cache.Cache, cell Cell, o Options) (*Kernel, *Inspection, error) {
	sparse, err := Sparse(ctx)
	if err != nil {
		return nil, nil, err
	}
	return build(ctx, c, cell, o, &inspector{sparse: sparse})
}

// inspector is how a build is inspected; nil is not at all.
type inspector struct{ sparse string }

const inspectionKind = "inspection"

// suffix tells an inspected build's tree from others.
func (i *inspector) suffix() string {
	switch {
	case i == nil:
		return ""
	case i.sparse == "":
		return "-w1"
	}
	return "-w1-" + cache.Key(i.sparse)[:6]
}

// flags are make's own for all warnings. A dry run takes them too: objects that
// were made by another command are not up to date.
func (i *inspector) flags() []string {
	switch {
	case i == nil:
		return nil
	case i.sparse == "":
		return []string{"W=1"}
	}
	return []string{"W=1", "C=1"}
}

// key is made of the kernel's and of the tools that look at it. Its first part is
// to be raised when the same build would be seen otherwise.
func (i *inspector) key(kernel string) string { return cache.Key("3", kernel, i.sparse) }

func (i *inspector) load(c *cache.Cache, kernel string) (*Inspection, error) {
	e, err := c.Get(inspectionKind, i.key(kernel))
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(e.Path("inspection.json"))
	if err != nil {
		return nil, fmt.Errorf("read what a build showed: %w", err)
	}
	var seen Inspection
	if err := json.Unmarshal(b, &seen); err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Path("inspection.json"), err)
	}
	return &seen, nil
}

// listen opens the build tree's journal, if the build is inspected.
func (b *builder) listen() (err error) {
	if b.inspect != nil {
		b.journal, err = openJournal(b.tree.said)
	}
	return err
}

// heard ends the journal of a build that came to err.
func (b *builder) heard(ctx context.Context, err error) error {
	if b.journal == nil || b.journal.out == nil {
		return err
	}
	if ctx.Err() != nil {
		b.journal.stop()
		return err
	}
	return errors.Join(err, b.journal.end())
}

// makeHeard is make with all warnings on. What a step says stands together, after
// the line that names the step.
func (b *builder) makeHeard(ctx context.Context, targets []string) error {
	args := b.makeArgs(append(b.inspect.flags(), "-j"+strconv.Itoa(b.opts.Jobs), "--keep-going", "--output-sync=target")...)
	b.journal.failed = nil
	var lost error
	_, err := proc.Run(ctx, proc.Cmd{Argv: append(args, targets...), Merge: true, Orphaned: syscall.SIGTERM, Line: func(line string) {
		b.count.line(line)
		if err := b.journal.line(line); err != nil {
			lost = err
		}
	}})
	var exit *proc.ExitError
	switch {
	case errors.As(err, &exit):
		if err := b.journal.flush(); err != nil {
			return err
		}
		return b.makeError(exit, string(exit.Result.Stdout), b.journal.failure())
	case err != nil:
		return fmt.Errorf("build %s: %w", b.cell.name(), err)
	}
	return lost
}

// keepInspection keeps what an inspected build showed of the kernel called key.
func (b *builder) keepInspection(c *cache.Cache, key string, m meta) error {
	if b.inspect == nil {
		return nil
	}
	size, symbols, err := sizeOf(filepath.Join(b.tree.dir, "vmlinux"))
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(Inspection{Warnings: b.journal.said, Size: size, Symbols: symbols, Made: m}, "", " ")
	if err != nil {
		return err
	}
	_, err = c.Put(inspectionKind, b.inspect.key(key), func(dir string) error {
		return cache.WriteFile(filepath.Join(dir, "inspection.json"), append(text, '\n'), 0o644)
	})
	return err
}
