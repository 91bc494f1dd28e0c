// SPDX-License-Identifier: GPL-2.0-or-later

// Command bake compiles what packtest's guests run, for every guest
// architecture, into the folder that package initramfs embeds. It is run when
// packtest is built, so that an installed packtest needs no Go toolchain:
//
//	go run ./initramfs/bake
//
// It runs in the root of the module. A file is rewritten only if it changed,
// and the shell's commands are compiled again only if bake itself, the module's
// dependencies or the Go release did.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// arches maps packtest's word for an architecture to Go's.
func arches() map[string]string {
	return map[string]string{"x86_64": "amd64", "s390x": "s390x"}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("bake", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("o", filepath.Join("initramfs", "blobs"), "folder to write to")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if _, err := os.Stat("go.mod"); err != nil {
		fmt.Fprintln(stderr, "bake: run it in the root of the module: go run ./initramfs/bake")
		return 2
	}
	if err := bake(ctx, *out, stderr); err != nil {
		fmt.Fprintln(stderr, "bake:", err)
		if ctx.Err() != nil {
			return 130
		}
		return 3
	}
	return 0
}

func bake(ctx context.Context, out string, stderr io.Writer) error {
	key, err := shellKey()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for arch, goarch := range arches() {
		dir := filepath.Join(out, arch)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		g.Go(func() error {
			if err := bakeGuest(ctx, arch, goarch, dir, stderr); err != nil {
				return fmt.Errorf("guest for %s: %w", arch, err)
			}
			return nil
		})
		g.Go(func() error {
			if err := bakeShell(goarch, dir, key, stderr); err != nil {
				return fmt.Errorf("shell for %s: %w", arch, err)
			}
			return nil
		})
	}
	return g.Wait()
}
