// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
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
//
// It is linked twice: what comes out first names the build, and the program that
// is kept says that name when it says hello. The host's side finds the name
// beside the program.
func bakeGuest(ctx context.Context, arch, goarch, dir string, stderr io.Writer) error {
	b, err := compileGuest(ctx, goarch, link.Flags(arch))
	if err != nil {
		return err
	}
	id := fmt.Sprintf("%.16x", sha256.Sum256(b))
	b, err = compileGuest(ctx, goarch, link.Flags(arch)+" -X main.program="+id)
	if err != nil {
		return err
	}
	if err := writeIfChanged(filepath.Join(dir, "packguest"), b, stderr); err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(dir, "packguest.id"), []byte(id), stderr)
}

// compileGuest returns the guest's program.
func compileGuest(ctx context.Context, goarch, ldflags string) ([]byte, error) {
	tmp, remove, err := cache.TempDir("", "bake")
	if err != nil {
		return nil, err
	}
	defer remove()
	bin := filepath.Join(tmp, "packguest")
	_, err = proc.Run(ctx, proc.Cmd{
		Argv: []string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=" + ldflags, "-o", bin, "./cmd/packguest"},
		Env:  []string{"GOOS=linux", "GOARCH=" + goarch, "CGO_ENABLED=0"},
	})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(bin)
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
