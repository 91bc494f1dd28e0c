// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatience(t *testing.T) {
	p := newPatience(time.Second)
	// A host that stood still for an hour between two looks.
	late := func(pause time.Duration) bool {
		p.last = time.Now().Add(-time.Hour)
		p.pass(pause)
		return p.lost()
	}
	if late(100 * time.Millisecond) {
		t.Error("an hour that the guest did not see was counted")
	}
	for range 4 {
		late(100 * time.Millisecond)
	}
	if !p.lost() {
		t.Errorf("%v left after five pauses of 200 ms", p.left)
	}
	if p.renew(); late(100 * time.Millisecond) {
		t.Error("over as soon as it was begun anew")
	}
	p.most = time.Second
	if late(time.Millisecond) {
		t.Error("over although nothing happened since its bound")
	}
	if p.renew(); !p.lost() {
		t.Errorf("something happened after %v, the bound is %v", p.moved, p.most)
	}
}

func TestLeast(t *testing.T) {
	var l least
	for i, tc := range []struct {
		a, b int64
		want progress
	}{{9, 5, still}, {9, 5, still}, {8, 7, nearer}, {9, 6, still}, {8, 4, nearer}, {9, 5, still}, {8, 4, still}} {
		if got := l.progress(false, tc.a, tc.b); got != tc.want {
			t.Errorf("step %d: %v after %v", i, got, l)
		}
	}
	if l.progress(true, 9, 9) != there {
		t.Error("done, and not there")
	}
}

// TestAwait: what comes in time, what never comes, and what others end.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := &Env{Report: &heard{}}
		start := time.Now()
		wait := func(look func() (progress, error)) (bool, error) {
			start = time.Now()
			return env.await(t.Context(), newPatience(10*time.Second), "waiting", time.Second, look)
		}
		after := func(d time.Duration) func() (progress, error) {
			return func() (progress, error) {
				if time.Since(start) >= d {
					return there, nil
				}
				return still, nil
			}
		}
		if came, err := wait(after(5 * time.Second)); !came || err != nil {
			t.Errorf("%v, %v", came, err)
		}
		if came, err := wait(after(time.Hour)); came || err != nil || time.Since(start) > 12*time.Second {
			t.Errorf("%v, %v after %v", came, err, time.Since(start))
		}
		// What comes nearer renews patience, for as long as it does.
		if came, err := wait(func() (progress, error) {
			if time.Since(start) > time.Minute {
				return still, nil
			}
			return nearer, nil
		}); came || err != nil || time.Since(start) < time.Minute || time.Since(start) > 73*time.Second {
			t.Errorf("%v, %v after %v", came, err, time.Since(start))
		}
		broken := errors.New("broken")
		if _, err := wait(func() (progress, error) { return there, broken }); err != broken {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if came, err := env.await(ctx, newPatience(time.Second), "waiting", time.Second, after(time.Hour)); came || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", came, err)
		}
	})
}
