// SPDX-License-Identifier: GPL-2.0-or-later

package proc

import (
	"os/exec"
	"runtime"
	"sync"
)

// startPinned starts cmd from an OS thread that lives as long as packtest does.
//
// Pdeathsig is sent when the thread that forked dies, not the process, so a
// child started from a goroutine whose thread the runtime later retires would
// be killed for no reason. One locked goroutine does all the starting.
func startPinned(cmd *exec.Cmd) error {
	starterOnce.Do(func() {
		go func() {
			runtime.LockOSThread()
			for r := range starts {
				r.done <- r.cmd.Start()
			}
		}()
	})
	done := make(chan error, 1)
	starts <- startRequest{cmd, done}
	return <-done
}

type startRequest struct {
	cmd  *exec.Cmd
	done chan<- error
}

// The starter thread is one per process by its nature, so it is the one piece
// of package state.
var (
	starterOnce sync.Once
	starts      = make(chan startRequest)
)
