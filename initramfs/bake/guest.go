// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"packtest/initramfs/link"
	"packtest/internal/cache"
	"packtest/internal/proc"
)

// bakeGuest compiles cmd/packguest. Go's build cache makes the second time cheap.
func bakeGuest(ctx context.Context, arch, goarch, dir string, stderr io.Writer) error {
	tmp, err := os.MkdirTemp("", "packtest-bake-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	bin := filepath.Join(tmp, "packguest")
	_, err = proc.Run(ctx, proc.Cmd{
		Argv: []string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=" + link.Flags(arch), "-o", bin, "./cmd/packguest"},
		Env:  []string{"GOOS=linux", "GOARCH=" + goarch, "CGO_ENABLED=0"},
	})
	if err != nil {
		return err
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(dir, "packguest"), b, stderr)
}

// writeIfChanged leaves a file alone that is already right.
func writeIfChanged(path string, b []byte, stderr io.Writer) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && bytes.Equal(old, b) {
		return nil
	}
	fmt.Fprintf(stderr, "bake: %s (%d KiB)\n", path, len(b)>>10)
	return cache.WriteFile(path, b, 0o644)
}
