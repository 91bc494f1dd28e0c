// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import "time"

// patience is how long a wait goes on without anything happening. Time counts
// only as far as the guest was there to see it pass: if its host stops it for a
// minute, one look comes late, and that is not a minute's wait.
type patience struct {
	limit, left time.Duration
	last        time.Time
}

func newPatience(limit time.Duration) *patience {
	return &patience{limit: limit, left: limit, last: time.Now()}
}

// renew begins the wait anew, because something happened.
func (p *patience) renew() { p.left = p.limit }

// lost says whether the wait is over. pause is how long the guest meant to sleep
// since it was asked last.
func (p *patience) lost(pause time.Duration) bool {
	now := time.Now()
	p.left -= min(now.Sub(p.last), 2*pause)
	p.last = now
	return p.left <= 0
}
