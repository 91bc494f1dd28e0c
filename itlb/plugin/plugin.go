// SPDX-License-Identifier: GPL-2.0-or-later

// Package plugin carries the QEMU TCG plugin that writes instruction-fetch
// traces: its source, in C under src, how it is compiled and how QEMU is told to
// load it. Reading the traces is left to package itlb/trace, running QEMU with
// the plugin to package vm.
package plugin

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"packtest/internal/fault"
	"packtest/internal/proc"
)

//go:embed src/*.c src/*.h
var source embed.FS

func flags() []string {
	return []string{
		"-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-D_GNU_SOURCE",
		"-Wall", "-Wextra", "-Werror",
	}
}

// Plugin is a compiled plugin.
type Plugin struct {
	// Path is the shared object's.
	Path string
	// Build identifies source, flags and compiler; every trace that the plugin
	// writes has it in its header.
	Build string
}

// Build compiles the plugin with the host's gcc into dir, which must exist,
// unless it is there already. Two may build into one folder at a time.
func Build(ctx context.Context, dir string) (*Plugin, error) {
	if _, err := exec.LookPath("gcc"); err != nil {
		return nil, fault.WithHint(fault.Harnessf("build the iTLB plugin: %w", &unable{errors.New("no gcc in PATH")}), "make setup installs it")
	}
	compiler, err := proc.Output(ctx, "", "gcc", "--version")
	if err != nil {
		return nil, fmt.Errorf("build the iTLB plugin: %w", judged(err))
	}
	machine, err := proc.Output(ctx, "", "gcc", "-dumpmachine")
	if err != nil {
		return nil, fmt.Errorf("build the iTLB plugin: %w", judged(err))
	}
	build, err := identity(strings.Join(flags(), " "), compiler, machine)
	if err != nil {
		return nil, fmt.Errorf("build the iTLB plugin: %w", err)
	}
	p := &Plugin{Path: filepath.Join(dir, "itlb-"+build+".so"), Build: build}
	if _, err := os.Stat(p.Path); err == nil {
		return p, nil
	}
	if err := p.compile(ctx, dir); err != nil {
		return nil, fmt.Errorf("build the iTLB plugin: %w", judged(err))
	}
	return p, nil
}

// SourceHash is the SHA-256 of the plugin's source, in hexadecimal: what a trace
// depends on besides guest and QEMU.
func SourceHash() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := source.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(b), b)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

func identity(parts ...string) (string, error) {
	src, err := SourceHash()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(src + "\n" + strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:8]), nil
}

// compile builds in a folder of its own and moves the outcome to its place.
func (p *Plugin) compile(ctx context.Context, dir string) error {
	tmp, err := os.MkdirTemp(dir, ".itlb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(tmp, source); err != nil {
		return err
	}
	units, err := filepath.Glob(filepath.Join(tmp, "src", "*.c"))
	if err != nil {
		return err
	}
	out := filepath.Join(tmp, "out.so")
	argv := append([]string{"gcc"}, flags()...)
	argv = append(argv, `-DBUILD="`+p.Build+`"`, "-o", out)
	if _, err := proc.Run(ctx, proc.Cmd{Argv: append(argv, units...)}); err != nil {
		return err
	}
	return os.Rename(out, p.Path)
}

// Option is the value of QEMU's -plugin option: a trace goes to out, which
// appears only once QEMU has ended well and the file is whole. Before that it is
// out.part. The tag is kept in the file's header.
func (p *Plugin) Option(out, tag string) string {
	return fmt.Sprintf("file=%s,out=%s,tag=%s", escape(p.Path), escape(out), escape(tag))
}

// escape doubles the commas, which separate QEMU's options.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// Check loads the plugin into qemu, a qemu-system-* program, and returns an
// error that says why if it doesn't work there.
func (p *Plugin) Check(ctx context.Context, qemu string) error {
	path, err := exec.LookPath(qemu)
	if err != nil {
		return fault.Harnessf("load the iTLB plugin: %w", err)
	}
	if err := sameMachine(p.Path, path); err != nil {
		return fault.Harnessf("load the iTLB plugin: %w", err)
	}
	r, err := proc.Run(ctx, proc.Cmd{Argv: []string{
		path, "-machine", "none", "-nodefaults", "-display", "none", "-plugin", "file=" + escape(p.Path) + ",probe=on",
	}})
	if ee := (*proc.ExitError)(nil); errors.As(err, &ee) {
		return fault.Harnessf("load the iTLB plugin: %s takes no plugins, or not this one: %w", qemu, judged(err))
	}
	if err != nil {
		return fmt.Errorf("load the iTLB plugin: %w", err)
	}
	if !strings.HasPrefix(string(r.Stdout), "itlb plugin: ") {
		return fault.Harnessf("load the iTLB plugin: %w", &unable{fmt.Errorf("%s ended well without loading it", qemu)})
	}
	return nil
}

// sameMachine compares what two ELF files are built for. A qemu that is no ELF
// file, such as a wrapper script, is left to speak for itself.
func sameMachine(so, qemu string) error {
	a, err := elf.Open(so)
	if err != nil {
		return fmt.Errorf("%s: %w", so, err)
	}
	defer a.Close()
	b, err := elf.Open(qemu)
	if err != nil {
		return nil
	}
	defer b.Close()
	if a.Machine != b.Machine || a.Class != b.Class {
		return &unable{fmt.Errorf("%s is built for %v, %s for %v", so, a.Machine, qemu, b.Machine)}
	}
	return nil
}
