// SPDX-License-Identifier: GPL-2.0-or-later

package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"packtest/internal/need"
	"packtest/internal/proc"
)

func TestBuildOnce(t *testing.T) {
	need.Commands(t, "gcc")
	dir := t.TempDir()
	a, err := Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(a.Path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	if *a != *b || !os.SameFile(before, after) {
		t.Errorf("built twice: %+v, %+v", a, b)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the folder holds %v, %v", files, err)
	}
}

func TestBuildWithoutCompiler(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Build(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no gcc in PATH") {
		t.Errorf("Build: %v", err)
	}
}

func TestCheck(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		if err := m.plugin.Check(t.Context(), m.qemu()); err != nil {
			t.Error(err)
		}
	})
}

func TestCheckSaysNo(t *testing.T) {
	p := testPlugin(t)
	script := func(body string) string {
		path := filepath.Join(t.TempDir(), "qemu-system-x86_64")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := &Plugin{Path: filepath.Join(t.TempDir(), "other.so")}
	for _, c := range []struct {
		name   string
		plugin *Plugin
		qemu   string
		want   string
	}{
		{"no QEMU", p, "/nonexistent/qemu", "/nonexistent/qemu"},
		{
			"QEMU without plugins", p,
			script(`echo "qemu-system-x86_64: -plugin: plugin interface not enabled in this build" >&2; exit 1`),
			"takes no plugins, or not this one: ",
		},
		{"QEMU that ignores the option", p, script("exit 0"), "ended well without loading it"},
		{"no plugin", other, "qemu-system-x86_64", "other.so: no such file"},
		{"another guest", p, "qemu-system-i386", "it knows x86_64 and s390x, not i386"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasPrefix(c.qemu, "qemu") {
				need.Commands(t, c.qemu)
			}
			if err := c.plugin.Check(t.Context(), c.qemu); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestCheckOtherMachine(t *testing.T) {
	need.Commands(t, "s390x-linux-gnu-gcc", "qemu-system-x86_64")
	p := &Plugin{Path: filepath.Join(t.TempDir(), "s390x.so")}
	_, err := proc.Run(t.Context(), proc.Cmd{Argv: []string{
		"s390x-linux-gnu-gcc", "-shared", "-fPIC", "-nostdlib", "-x", "c", "-o", p.Path, "/dev/null",
	}})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Check(t.Context(), "qemu-system-x86_64")
	if err == nil || !strings.Contains(err.Error(), "is built for EM_S390, ") || !strings.Contains(err.Error(), "for EM_X86_64") {
		t.Errorf("Check: %v", err)
	}
}
