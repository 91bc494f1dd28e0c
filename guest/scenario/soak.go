// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"fmt"
	"time"

	"packtest/guest/wire"
)

// soakSeconds is how long a soak lasts that nobody gave a time.
const soakSeconds = 60

// soak runs the attacks in turn, each time with another seed, until the time is
// up; what has begun is finished. What an attack leaves behind is what the next
// one begins with, so that what is lost a little at a time adds up.
//
// Samples: those of the attacks.
func soak(ctx context.Context, env *Env, spec wire.ScenarioSpec) error {
	seconds := spec.Seconds
	if seconds == 0 {
		seconds = soakSeconds
	}
	if seconds < 0 {
		return fmt.Errorf("asked for %d seconds", seconds)
	}
	attacks := []Scenario{
		{Name: "churn", Run: churn}, {Name: "parallel", Run: parallel}, {Name: "shapes", Run: shapes},
		{Name: "limits", Run: limits}, {Name: "faults", Run: faults}, {Name: "pressure", Run: pressure},
	}
	end := env.Now().Add(time.Duration(seconds) * time.Second)
	for turn := 0; turn == 0 || env.Now().Before(end); turn++ {
		if !env.tooSlow() {
			env.overdue = 0 // the longer a soak, the more of it
		}
		attack := attacks[turn%len(attacks)]
		if err := attack.Run(ctx, env, wire.ScenarioSpec{Name: attack.Name, Programs: spec.Programs, Seed: spec.Seed + uint64(turn)}); err != nil {
			return fmt.Errorf("turn %d, %s: %w", turn, attack.Name, err)
		}
	}
	return nil
}
