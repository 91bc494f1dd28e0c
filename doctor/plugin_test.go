// SPDX-License-Identifier: GPL-2.0-or-later

package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"packtest/internal/need"
)

func TestPlugin(t *testing.T) {
	need.Commands(t, "gcc", "qemu-system-x86_64")
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Fatal(err)
	}
	script := func(dir, name, body string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := os.Getenv("PATH")
	for _, tc := range []struct {
		name        string
		make        func(dir string)
		keepPath    bool
		status      []Status
		detail, fix string // of the last check
	}{
		{"all well", func(string) {}, true, []Status{OK, OK}, "loads", ""},
		{"no compiler", func(string) {}, false, []Status{Missing}, "no gcc", "install -y --no-install-recommends gcc"},
		{"no headers", func(dir string) {
			script(dir, "gcc", `case "$1" in --version|-dumpmachine) exec `+gcc+` "$@";; esac; echo "fatal error: dlfcn.h: No such file" >&2; exit 1`)
		}, true, []Status{Missing}, "dlfcn.h", "libc6-dev"},
		{"QEMU without plugins", func(dir string) {
			script(dir, "qemu-system-x86_64", `echo "plugin interface not enabled in this build" >&2; exit 1`)
		}, true, []Status{OK, Missing}, "plugin interface not enabled", "--reinstall qemu-system-x86"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			tc.make(dir)
			if tc.keepPath {
				dir += ":" + path
			}
			t.Setenv("PATH", dir)
			checks := examinePlugin(t.Context(), []string{"x86_64"})
			if len(checks) != len(tc.status) {
				t.Fatalf("%+v", checks)
			}
			for i, c := range checks {
				if c.Status != tc.status[i] {
					t.Errorf("%s is %s: %s", c.Name, c.Status, c.Detail)
				}
			}
			if last := checks[len(checks)-1]; !strings.Contains(last.Detail, tc.detail) || !strings.Contains(last.Fix, tc.fix) {
				t.Errorf("%+v", last)
			}
		})
	}
}
