// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"errors"
	"testing"
)

// The context's end ends QEMU and the port as well, and any of the three may be
// seen first. What was seen before that could not come of it stands.
func TestCancelled(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	broken := &talk{ended: true, err: errors.New("unexpected EOF")}
	for _, tc := range []struct {
		name string
		ctx  context.Context
		stop reason
		talk *talk
		want reason
	}{
		{"nobody cancelled", t.Context(), stopDied, broken, stopDied},
		{"first the context", cancelled, stopNone, &talk{}, stopInterrupted},
		{"first QEMU's end", cancelled, stopDied, &talk{}, stopInterrupted},
		{"first the port's end", cancelled, stopTalk, broken, stopInterrupted},
		{"after the guest was done", cancelled, stopTalk, &talk{ended: true}, stopTalk},
		{"after a panic", cancelled, stopPanic, broken, stopPanic},
		{"the deadline", late, stopDied, broken, stopTotal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := seen{stop: tc.stop, detail: "before"}
			s.cancelled(tc.ctx, tc.talk)
			if s.stop != tc.want {
				t.Errorf("stopped for %d, want %d", s.stop, tc.want)
			}
			if kept := s.detail == "before"; kept != (tc.stop == tc.want) {
				t.Errorf("the detail is %q", s.detail)
			}
		})
	}
}
