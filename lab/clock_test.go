// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"slices"
	"testing"
	"time"

	"packtest/guest/wire"
	"packtest/results"
	"packtest/vm"
)

// A clock that is set forth and back during a run moves its dates, and nothing
// else: not how long things took, nor the verdict, nor what is kept.
func TestClockJumps(t *testing.T) {
	found := slices.Insert(well(3), 1, wire.Message{Type: wire.TypeFinding, Scenario: "load", Finding: &wire.Finding{Kind: "leak", Title: "a leak"}})
	found[len(found)-1].Done = &wire.Done{Scenarios: 1, Findings: 1}
	for name, jump := range map[string]time.Duration{"back": -time.Hour, "forth": 1000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			c, initrd := openCache(t), initrdFile(t)
			r, _ := testRun(t, c, fakeBoot{ending: vm.Done, says: found}, fakeBoot{ending: vm.Done, says: well(3)})
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			r.Now = func() time.Time { now = now.Add(jump); return now }
			r.rec.Started = r.Now()
			r.carryOutOne(t, testBoot(false), initrd)
			if f := r.rec.Findings; len(f) != 1 || f[0].Seconds < 0 || f[0].Seconds > 60 {
				t.Errorf("findings %+v", f)
			}
			if b := r.rec.Boots; len(b) != 1 || b[0].Seconds != 2 {
				t.Errorf("boots %+v", b)
			}
			rec, err := r.finish(nil)
			if err != nil || rec.Verdict != results.KernelFailed {
				t.Errorf("%s: %s, %v", rec.Verdict, rec.Why, err)
			}
			if back, err := r.Store.Load(rec.ID); err != nil || back.Verdict != rec.Verdict {
				t.Errorf("%+v, %v", back, err)
			}
			// What is kept is found whatever the day.
			r.carryOutOne(t, testBoot(true), initrd)
			if o := r.carryOutOne(t, testBoot(true), initrd); !o.Boot.Kept {
				t.Error("the outcome was not kept")
			}
		})
	}
}

// Two runs begun at the same moment, or a clock that was set back to one, have
// folders of their own.
func TestRunsOfOneMoment(t *testing.T) {
	s := results.NewStore(t.TempDir())
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	seen := map[string]bool{}
	for range 3 {
		id, err := s.Create(now)
		if err != nil || seen[id] {
			t.Errorf("%s, %v", id, err)
		}
		seen[id] = true
	}
}
