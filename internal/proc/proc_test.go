// SPDX-License-Identifier: GPL-2.0-or-later

package proc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRunCapturesAndClasses(t *testing.T) {
	r, err := Run(t.Context(), Cmd{Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}})
	var exit *ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("err = %v, want an ExitError", err)
	}
	if r.Code != 3 || string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" {
		t.Errorf("code %d stdout %q stderr %q", r.Code, r.Stdout, r.Stderr)
	}
	if !strings.Contains(err.Error(), "err") {
		t.Errorf("the message %q does not show standard error", err)
	}
	if _, err := Run(t.Context(), Cmd{Argv: []string{"/no/such/program"}}); err == nil || errors.As(err, &exit) {
		t.Errorf("a program that can't start: %v", err)
	}
}

func TestLines(t *testing.T) {
	var got []string
	_, err := Run(t.Context(), Cmd{
		Argv: []string{"printf", `a\nb\r\nlast`},
		Line: func(l string) { got = append(got, l) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, "|") != "a|b|last" {
		t.Errorf("lines = %q", got)
	}
}

func TestMergeKeepsTheOrder(t *testing.T) {
	const script = "for i in 1 2 3 4 5 6 7 8 9; do echo out$i; echo err$i >&2; done"
	var want, got []string
	for i := 1; i < 10; i++ {
		want = append(want, "out"+strconv.Itoa(i), "err"+strconv.Itoa(i))
	}
	r, err := Run(t.Context(), Cmd{Argv: []string{"sh", "-c", script}, Merge: true, Line: func(l string) { got = append(got, l) }})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, "|") != strings.Join(want, "|") || len(r.Stderr) != 0 || string(r.Stdout) != strings.Join(want, "\n")+"\n" {
		t.Errorf("lines %q, stdout %q, stderr %q", got, r.Stdout, r.Stderr)
	}
}

// A process that ignores SIGINT and SIGTERM, and its child, must both be gone
// when the context is done.
func TestCancelKillsTheGroup(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	p, err := Start(ctx, Cmd{
		Argv:  []string{"sh", "-c", "trap '' INT TERM; (trap '' INT TERM; exec sleep 1000) & echo $! > " + pidFile + "; wait; wait"},
		Grace: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	var child int
	for deadline := time.Now().Add(10 * time.Second); child == 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(pidFile)
		child, _ = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	cancel()
	if _, err := p.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want canceled", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if syscall.Kill(child, 0) != nil || zombie(child) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("child %d outlived its group", child)
		}
	}
}

func zombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}

func TestEnvironmentIsSmall(t *testing.T) {
	t.Setenv("KBUILD_OUTPUT", "/somewhere")
	out, err := Output(t.Context(), "", "env")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "KBUILD_OUTPUT") || !strings.Contains(out, "LC_ALL=C") {
		t.Errorf("environment:\n%s", out)
	}
}
