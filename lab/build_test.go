// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// A build that somebody interrupted has not failed.
func TestBuiltOrNot(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want Event
	}{
		{fmt.Errorf("build pack: make: %w", context.Canceled), Event{Stage: StageBuild, State: Noted, Arch: "s390x", Variant: "pack", Text: "interrupted"}},
		{errors.New("no space"), Event{Stage: StageBuild, State: Failed, Arch: "s390x", Variant: "pack", Text: "no space"}},
	} {
		var got []Event
		r := &run{Lab: &Lab{Now: func() time.Time { return time.Time{} }, Events: func(e Event) { got = append(got, e) }}}
		stop := r.listen()
		if err := r.builtOrNot(&cell{arch: "s390x", variant: "pack"}, nil, tc.err, time.Time{}); !errors.Is(err, tc.err) {
			t.Errorf("%v", err)
		}
		stop()
		if len(got) != 1 || got[0] != tc.want {
			t.Errorf("%v: events %+v, want %+v", tc.err, got, tc.want)
		}
	}
}
