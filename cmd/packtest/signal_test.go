// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"packtest/internal/fault"
)

// Under nohup the end of the terminal is no interruption; SIGTERM still is.
func TestIgnoredSignal(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	ctx, stop := interruptible(t.Context(), io.Discard)
	defer stop()
	kill := func(s syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(syscall.Getpid(), s); err != nil {
			t.Fatal(err)
		}
	}
	kill(syscall.SIGHUP)
	select {
	case <-ctx.Done():
		t.Fatal("it was ended by a signal that it was to ignore")
	case <-time.After(200 * time.Millisecond):
	}
	kill(syscall.SIGTERM)
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Error("SIGTERM does not end it")
	}
	if ctx.Err() != context.Canceled {
		t.Errorf("%v", ctx.Err())
	}
}

// The first Ctrl-C ends what can be ended, such as waiting for a series; the
// second ends packtest even where it is stuck, as in a plan that nobody writes.
func TestInterrupts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		flag string
		once bool
	}{{"--series", true}, {"--plan", false}} {
		t.Run(tc.flag, func(t *testing.T) {
			dir := t.TempDir()
			bin, file := filepath.Join(dir, "packtest"), filepath.Join(dir, "file")
			if err := os.Symlink(self, bin); err != nil { // by this name the test's own program is packtest
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(file, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(bin, "run", tc.flag, file)
			cmd.Dir = dir
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			over := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			defer over.Stop()
			in, err := os.OpenFile(file, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			for wait := 0; errors.Is(err, syscall.ENXIO) && wait < 3000; wait++ { // until packtest reads it
				time.Sleep(10 * time.Millisecond)
				in, err = os.OpenFile(file, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			interrupt := func() {
				t.Helper()
				if err := cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
			}
			interrupt()
			said := bufio.NewScanner(stderr)
			if !said.Scan() || said.Text() != "packtest: interrupted, cleaning up (once more to kill)" {
				t.Errorf("it says %q", said.Text())
			}
			if !tc.once {
				interrupt()
			}
			for said.Scan() { // to its end: Wait closes what is read
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 130 {
				t.Errorf("exit code %d, want 130", code)
			}
		})
	}
}

// Whatever was interrupted, it is said in one word.
func TestComplain(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
		code int
	}{
		{fmt.Errorf("build base: make: %w", context.Canceled), "packtest: interrupted\n", 130},
		{errors.New("no space"), "packtest: no space\n", 3},
		{fault.WithHint(fault.Inputf("no such thing"), "look for it"), "packtest: no such thing\npacktest: look for it\n", 2},
		{exitCode(1), "", 1},
		{nil, "", 0},
	} {
		var said strings.Builder
		if code := complain(&said, tc.err); code != tc.code || said.String() != tc.want {
			t.Errorf("%v: exit code %d, want %d; it says %q, want %q", tc.err, code, tc.code, &said, tc.want)
		}
	}
}
