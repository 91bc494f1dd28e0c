// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"errors"
	"time"
)

// talk is the Guest at work.
type talk struct {
	result chan error // gets what the Guest returned
	cancel context.CancelFunc
	ended  bool
	err    error
}

func startTalk(ctx context.Context, g Guest, p *port) *talk {
	ctx, cancel := context.WithCancel(ctx)
	t := &talk{result: make(chan error, 1), cancel: cancel}
	go func() { t.result <- g(ctx, p) }()
	return t
}

// take notes the result.
func (t *talk) take(err error) { t.ended, t.err = true, err }

// said reports whether the guest said done.
func (t *talk) said() bool { return t.ended && t.err == nil }

// wait waits for the Guest's return, first as long as it may take to read what
// lies in the port, then once more after cancelling it.
func (t *talk) wait(limit time.Duration) {
	if t == nil {
		return
	}
	defer t.cancel()
	for range 2 {
		if t.ended {
			return
		}
		select {
		case err := <-t.result:
			t.take(err)
		case <-time.After(limit):
			t.cancel()
		}
	}
	if !t.ended {
		t.take(errors.New("the host's side of the talk does not end"))
	}
}
