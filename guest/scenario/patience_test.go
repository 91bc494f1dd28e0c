// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	p := newPatience(time.Second)
	// A host that stood still for an hour between two looks.
	p.last = time.Now().Add(-time.Hour)
	if p.lost(100 * time.Millisecond) {
		t.Error("an hour that the guest did not see was counted")
	}
	for range 4 {
		p.last = time.Now().Add(-time.Hour)
		p.lost(100 * time.Millisecond)
	}
	if !p.lost(0) {
		t.Errorf("%v left after five pauses of 200 ms", p.left)
	}
	if p.renew(); p.lost(100 * time.Millisecond) {
		t.Error("over as soon as it was begun anew")
	}
}
