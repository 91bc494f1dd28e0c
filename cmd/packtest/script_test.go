// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"packtest/internal/cache"
	"packtest/internal/need"
	"packtest/plan"
)

// The scripts run packtest as a process of its own, as a user would.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"packtest": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, scriptParams("testdata/script"))
}

// TestKernelScripts runs the scripts that build and boot kernels, in the user's
// own cache, so that each kernel is compiled once. A script that harms an entry
// makes one of its own for that.
func TestKernelScripts(t *testing.T) {
	need.Long(t)
	for _, arch := range plan.Architectures() {
		need.KernelBuild(t, arch)
		need.QEMU(t, arch)
	}
	root, err := cache.DefaultRoot()
	if err != nil {
		t.Fatal(err)
	}
	p := scriptParams("testdata/kernels")
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		env.Setenv("CACHE", root)
		return setup(env)
	}
	testscript.Run(t, p)
}

// scriptParams gives scripts a home of their own and the command
//
//	exitcode N PROGRAM [ARG...]
//
// which demands exactly that exit code.
func scriptParams(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			for name, dir := range map[string]string{"REFERENCE": "../../results/reference", "PATCHES": "../../patches/linux-6.1"} {
				abs, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				env.Setenv(name, abs)
			}
			// For scripts that take everything else out of PATH.
			for _, dir := range filepath.SplitList(env.Getenv("PATH")) {
				if _, err := os.Stat(filepath.Join(dir, "packtest")); err == nil {
					env.Setenv("BIN", dir)
					break
				}
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCodeOf},
	}
}

func exitCodeOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s ended with exit code %d, want %d", args[1], got, want)
	}
}
