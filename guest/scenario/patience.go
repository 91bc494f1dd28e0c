// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"fmt"
	"time"
)

// patience is how long a wait goes on without anything happening. Time counts
// only as far as the guest was there to see it pass: if its host stops it for a
// minute, one look comes late, and that is not a minute's wait.
type patience struct {
	limit, left time.Duration
	// most bounds the wait in all, if it is not 0.
	most time.Duration
	// spent is how long the wait has been, and moved how long it had been when
	// something last happened.
	spent, moved time.Duration
	last         time.Time
}

func newPatience(limit time.Duration) *patience {
	return &patience{limit: limit, left: limit, last: time.Now()}
}

// pass counts the time since it was called last, most of which the guest meant
// to sleep: pause.
func (p *patience) pass(pause time.Duration) {
	now := time.Now()
	passed := min(now.Sub(p.last), 2*pause)
	p.left -= passed
	p.spent += passed
	p.last = now
}

// renew begins the wait anew, because something happened.
func (p *patience) renew() { p.left, p.moved = p.limit, p.spent }

// lost says whether the wait is over: nothing has happened for too long, or
// something still does when it should all have happened.
func (p *patience) lost() bool { return p.left <= 0 || p.most > 0 && p.moved > p.most }

// progress is what a look found of what is waited for.
type progress int

const (
	still  progress = iota // nothing happened since the last look
	nearer                 // it has come nearer
	there                  // it has come
)

// await looks again and again, with pauses of up to longest in between, until
// what is waited for has come or patience is lost, and says whether it came. what
// is told to whoever watches, as a sign of life.
func (env *Env) await(ctx context.Context, p *patience, what string, longest time.Duration, look func() (progress, error)) (came bool, err error) {
	const shortest = 5 * time.Millisecond
	slept := time.Duration(0)
	for pause := min(shortest, longest); ; pause = min(2*pause, longest) {
		found, err := look()
		if err != nil {
			return false, err
		}
		p.pass(slept)
		if found != still {
			p.renew()
		}
		if found == there || p.lost() {
			return found == there, nil
		}
		env.Report.Progress(0, 1, what)
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(pause):
		}
		slept = pause
	}
}

// least remembers the least that figures ever were, which are waited for to fall.
type least []int64

// progress says how a wait goes that is over if done, and in which these are the
// figures of the moment: one that rises and falls again is no progress.
func (l *least) progress(done bool, now ...int64) progress {
	if done {
		return there
	}
	found := still
	for i, v := range now {
		if i == len(*l) {
			*l = append(*l, v)
		} else if v < (*l)[i] {
			(*l)[i], found = v, nearer
		}
	}
	return found
}
