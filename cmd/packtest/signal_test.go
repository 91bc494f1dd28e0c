// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"context"
	"io"
	"os/signal"
	"syscall"
	"testing"
	"time"
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
