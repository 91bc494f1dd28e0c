// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"packtest/guest/wire"
)

// Programs are freed by work queues, after an RCU grace period. These bound the
// wait for that.
const (
	// settleLimit is how long nothing may be freed before the rest counts as lost.
	// Freeing a thousand programs takes a second under emulation, and much longer
	// on a busy host.
	settleLimit = 30 * time.Second
	// settleAgain is that limit once it was reached: what did not come back then
	// is lost, and every step that follows would wait for it.
	settleAgain = 2 * time.Second
	// freeing is that limit for a look, which many follow.
	freeing = 20 * time.Second
	// usualWait is what no wait for a sound kernel exceeds, but on a host that has
	// no time for it; and overdueLimit how much of what goes beyond that all waits
	// of a boot may take together. Without it, a kernel that takes a third of a
	// second to free a program would keep a boot for a quarter of an hour.
	usualWait    = 10 * time.Second
	overdueLimit = 150 * time.Second
)

// errTooSlow ends a scenario in which the kernel took too long to free programs,
// and all that come after it in the same boot: what they read would be what is
// left of others. The finding says more.
var errTooSlow = errors.New("the kernel frees programs too slowly to be waited for")

func (env *Env) tooSlow() bool { return env.overdue > overdueLimit }

// awaitFreed is await for what was freed. Nothing may happen for so long as limit
// says. That the kernel frees without end, but slowly, is a finding, and then the
// error is errTooSlow.
func (env *Env) awaitFreed(ctx context.Context, limit, longest time.Duration, look func() (progress, error)) (came bool, err error) {
	known := env.tooSlow()
	if known {
		limit = 0
	}
	p := newPatience(limit)
	p.most = usualWait + max(overdueLimit-env.overdue, 0)
	came, err = env.await(ctx, p, "waiting for the kernel to free programs", longest, look)
	env.overdue += max(p.moved-usualWait, 0)
	if err != nil || !env.tooSlow() || known && came {
		return came, err
	}
	if !known {
		env.Report.Finding(wire.Finding{Kind: "slow-free", Title: "programs are freed too slowly",
			Evidence: fmt.Sprintf("%.0f s after programs were closed something was still being given back; such a wait takes less than %.0f s as a rule, and those of this boot took %.0f s longer than that together",
				p.moved.Seconds(), usualWait.Seconds(), env.overdue.Seconds())})
	}
	return false, errTooSlow
}
