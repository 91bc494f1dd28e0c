// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"testing"
	"time"
)

func TestSlowFree(t *testing.T) {
	for _, tc := range []struct {
		name       string
		n          int
		load, free time.Duration
		want       bool
	}{
		{"as seen on s390x under TCG", 1000, 4250 * time.Millisecond, 205 * time.Millisecond, false},
		{"every free goes over the whole pack", 1000, 3300 * time.Millisecond, 25800 * time.Millisecond, true},
		{"a slow kernel frees slowly too", 1000, 40 * time.Second, 20 * time.Second, false},
		{"a busy host between two grace periods", 1000, time.Second, 6 * time.Second, false},
		{"too few to tell", 10, time.Millisecond, 10 * time.Second, false},
	} {
		if got := slowFree(tc.n, tc.load, tc.free); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
