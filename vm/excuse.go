// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"
	"sort"
	"time"

	"packtest/vm/console"
)

// history is how the time of a guest went by, by rising wall.
type history []lapse

// add appends l, and keeps about a point a second of what is older than a minute:
// a boot may go on for a week.
func (h *history) add(l lapse) {
	if len(*h) == cap(*h) {
		h.thin(l.wall - time.Minute)
	}
	*h = append(*h, l)
}

// thin leaves out points before a time that are no second apart. A leap in time
// keeps its two ends.
func (h *history) thin(before time.Duration) {
	kept := (*h)[:0]
	for i, l := range *h {
		if n := len(kept); n > 0 && l.wall < before && i+1 < len(*h) && (*h)[i+1].wall-kept[n-1].wall < time.Second {
			continue
		}
		kept = append(kept, l)
	}
	*h = kept
}

// takeBack makes everything since a time lost, and returns what the guest had had
// until then.
func (h *history) takeBack(since time.Duration) (guest time.Duration) {
	guest = since - h.lost(since)
	i := sort.Search(len(*h), func(i int) bool { return (*h)[i].wall >= since })
	*h = append((*h)[:i], lapse{guest: guest, wall: since})
	return guest
}

// lost returns how much the host had taken from the guest when so much time had
// passed on the clock.
func (h history) lost(at time.Duration) time.Duration {
	i := sort.Search(len(h), func(i int) bool { return h[i].wall >= at })
	var a lapse
	if i > 0 {
		a = h[i-1]
	}
	if i == len(h) || at <= a.wall {
		return a.lost()
	}
	b := h[i]
	return a.lost() + time.Duration(float64(b.lost()-a.lost())*float64(at-a.wall)/float64(b.wall-a.wall))
}

// excuses says whether it was the host that made a kernel say this: just before
// it, the host took from the guest what the kernel waits for, but for an eighth.
// "Just before" is an eighth more than that, for a kernel needs a while to
// notice. A host that is merely busy, with two or three guests to a processor,
// is no excuse: the guest had some of every second.
func (h history) excuses(e console.Event) (why string, ok bool) {
	limit := e.Kind.Timeout()
	before := limit + limit/8
	lost := h.lost(e.At) - h.lost(e.At-before)
	if limit == 0 || lost < limit-limit/8 {
		return "", false
	}
	return fmt.Sprintf("%s (at %v; of the %v before, the host took %v)", e.Title,
		e.At.Round(time.Second), before.Round(time.Second), lost.Round(time.Second)), true
}

// excuse takes out what a kernel says only because time passed, if it was the
// host that let it pass, and says what it took out. Such a boot proves nothing,
// for or against the kernel.
func excuse(events []console.Event, past history) (rest []console.Event, excused []string) {
	for _, e := range events {
		if why, ok := past.excuses(e); ok {
			excused = append(excused, why)
		} else {
			rest = append(rest, e)
		}
	}
	return rest, excused
}

// withExcuses puts what was excused where the record will have it: a boot that
// was otherwise good is the host's failure.
func withExcuses(e Ending, detail string, excused []string) (Ending, string) {
	if len(excused) == 0 {
		return e, detail
	}
	said := "not held against the kernel: " + excused[0]
	if more := len(excused) - 1; more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	switch {
	case e == Done:
		return HostBusy, said
	case detail == "":
		return e, said
	}
	return e, detail + "; " + said
}
