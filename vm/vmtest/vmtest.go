// SPDX-License-Identifier: GPL-2.0-or-later

// Package vmtest gives tests and benchmarks what they need to boot a machine: a
// kernel, and an initramfs around a PID 1 of their own. Only tests import it.
package vmtest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"packtest/initramfs"
	"packtest/initramfs/link"
	"packtest/internal/cache"
	"packtest/internal/need"
	"packtest/internal/proc"
	"packtest/kconfigs"
	"packtest/kernel/build"
	"packtest/kernel/kconfig"
	"packtest/kernel/source"
)

// Arches returns the architectures that are tested.
func Arches() []string { return []string{"x86_64", "s390x"} }

// Kernel returns the path of a bootable kernel for arch: the one in the folder
// PACKTEST_TEST_KERNEL_DIR/ARCH if that is set, otherwise the base without
// patches from packtest's own cache, where it is built if it isn't there yet.
func Kernel(t testing.TB, arch string) string {
	t.Helper()
	root := os.Getenv("PACKTEST_TEST_KERNEL_DIR")
	if root == "" {
		return KernelOf(t, arch, "measure")
	}
	// x86_64 boots faster from the ELF file, which needs no decompressing.
	if elf := filepath.Join(root, arch, "vmlinux"); arch == "x86_64" && exists(elf) {
		return elf
	}
	image := filepath.Join(root, arch, "bzImage")
	need.File(t, image)
	return image
}

// SystemMap returns the path of that kernel's symbol table, or "" if there is none.
func SystemMap(t testing.TB, arch string) string {
	t.Helper()
	root := os.Getenv("PACKTEST_TEST_KERNEL_DIR")
	if root == "" {
		return built(t, arch, "measure").SystemMap
	}
	if path := filepath.Join(root, arch, "System.map"); exists(path) {
		return path
	}
	return ""
}

// KernelOf returns the path of a bootable kernel of a configuration: the base
// without patches, as a run builds it.
func KernelOf(t testing.TB, arch, config string) string {
	t.Helper()
	return built(t, arch, config).Boot
}

func built(t testing.TB, arch, config string) *build.Kernel {
	t.Helper()
	need.KernelBuild(t, arch)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := cache.DefaultRoot()
	must(err)
	c, err := cache.Open(root)
	must(err)
	release, err := c.Use(t.Context(), func(msg string) { t.Log(msg) })
	must(err)
	// The kernel must outlive the test that boots it.
	t.Cleanup(release)
	base, err := source.Resolve(t.Context(), c, "debian:linux-source-6.1", func(msg string) { t.Log(msg) })
	must(err)
	fragments, err := kconfig.Load(kconfigs.FS(), kconfigs.Fragments(arch, config)...)
	must(err)
	k, err := build.Build(t.Context(), c, build.Cell{Arch: arch, Variant: "upstream", Config: config,
		Base: base, Commit: base.Commit, Fragments: fragments}, build.Options{Jobs: runtime.NumCPU()})
	must(err)
	return k
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
		Argv: []string{"go", "build", "-trimpath", "-ldflags=" + link.Flags(arch), "-o", bin, pkg},
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
