// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// freeingTo returns looks at n programs of which one is freed in every period.
func freeingTo(n int, every time.Duration) func() (progress, error) {
	var l least
	start := time.Now()
	return func() (progress, error) {
		left := max(0, int64(n)-int64(time.Since(start)/every))
		return l.progress(left == 0, left), nil
	}
}

func TestAwaitFreed(t *testing.T) {
	type wait struct {
		n     int
		every time.Duration
		came  bool
		slow  bool
	}
	const never = 1000 * time.Hour
	for _, tc := range []struct {
		name     string
		waits    []wait
		findings int
		least    time.Duration // that all of it takes
		most     time.Duration
	}{
		{"a sound kernel, again and again", []wait{{1000, time.Millisecond, true, false}, {1000, time.Millisecond, true, false}}, 0, 0, 5 * time.Second},
		{"a host that is very busy", []wait{{1000, 60 * time.Millisecond, true, false}, {1000, 60 * time.Millisecond, true, false}}, 0, 119 * time.Second, 125 * time.Second},
		{"a thousand programs at a third of a second", []wait{{1000, 333 * time.Millisecond, false, true}}, 1, 160 * time.Second, 165 * time.Second},
		{"a few at a time", []wait{{300, 333 * time.Millisecond, true, false}, {300, 333 * time.Millisecond, false, true}}, 1, 160 * time.Second, 180 * time.Second},
		{"and what comes then", []wait{{1000, 333 * time.Millisecond, false, true}, {1000, 333 * time.Millisecond, false, true}, {0, time.Second, true, false}},
			1, 160 * time.Second, 165 * time.Second},
		{"something is lost, which is not slow", []wait{{1, never, false, false}, {1, never, false, false}, {1, never, false, false}, {1, never, false, false},
			{1, never, false, false}, {1, never, false, false}}, 0, 180 * time.Second, 190 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &heard{}
				env := &Env{Report: h}
				start := time.Now()
				for i, w := range tc.waits {
					came, err := env.awaitFreed(t.Context(), settleLimit, 100*time.Millisecond, freeingTo(w.n, w.every))
					if came != w.came || errors.Is(err, errTooSlow) != w.slow || err != nil && !w.slow {
						t.Errorf("wait %d: %v, %v", i, came, err)
					}
				}
				if took := time.Since(start); took < tc.least || took > tc.most {
					t.Errorf("took %v", took)
				}
				if len(h.findings) != tc.findings || tc.findings > 0 && h.findings[0].Kind != "slow-free" {
					t.Errorf("%+v", h.findings)
				}
				if slow := tc.findings > 0; env.tooSlow() != slow || slow && !errors.Is(env.prepare(1), errTooSlow) {
					t.Error("the next scenario would begin, or could not")
				}
			})
		})
	}
}
