// SPDX-License-Identifier: GPL-2.0-or-later

// Package vmtest gives tests and benchmarks what they need to boot a machine: a
// kernel, and an initramfs around a PID 1 of their own. Only tests import it.
package vmtest

import (
	"os"
	"path/filepath"
	"testing"

	"packtest/initramfs"
	"packtest/internal/need"
	"packtest/internal/proc"
)

// Arches returns the architectures that are tested.
func Arches() []string { return []string{"x86_64", "s390x"} }

// Kernel returns the path of a bootable kernel for arch, from the folder
// PACKTEST_TEST_KERNEL_DIR/ARCH, and skips the test if there is none.
func Kernel(t testing.TB, arch string) string {
	t.Helper()
	root := os.Getenv("PACKTEST_TEST_KERNEL_DIR")
	if root == "" {
		need.Missing(t, "PACKTEST_TEST_KERNEL_DIR is not set: it is to hold %s/bzImage", arch)
	}
	// x86_64 boots faster from the ELF file, which needs no decompressing.
	if elf := filepath.Join(root, arch, "vmlinux"); arch == "x86_64" && exists(elf) {
		return elf
	}
	image := filepath.Join(root, arch, "bzImage")
	need.File(t, image)
	return image
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Init compiles the Go program in the folder pkg for a guest of arch and
// returns an initramfs in which it is /init.
func Init(t testing.TB, arch, pkg string, files ...initramfs.File) string {
	t.Helper()
	need.Commands(t, "go")
	dir := t.TempDir()
	bin := filepath.Join(dir, "init")
	_, err := proc.Run(t.Context(), proc.Cmd{
		Argv: []string{"go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, pkg},
		Env:  []string{"GOOS=linux", "GOARCH=" + goarch(arch), "CGO_ENABLED=0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	files = append([]initramfs.File{{Path: "init", Source: bin, Mode: 0o755}}, files...)
	return Archive(t, arch, initramfs.Bare, files...)
}

// Archive writes an initramfs into the test's folder and returns its path.
func Archive(t testing.TB, arch string, fl initramfs.Flavour, files ...initramfs.File) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "initramfs-*.cpio")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := initramfs.Build(arch, fl, files, f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func goarch(arch string) string {
	if arch == "x86_64" {
		return "amd64"
	}
	return arch
}
