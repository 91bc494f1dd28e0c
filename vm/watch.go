// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

// seen is what was noticed while the guest ran. The first reason to stop counts.
type seen struct {
	ready, elapsed time.Duration
	cpu            time.Duration
	stop           reason
	detail         string
	died           bool  // QEMU ended, or was told to by somebody else
	consoleErr     error // the console could not be written
	unprovoked     int   // how many reports there were before the kernel was prodded; -1 if it never was
	held           bool  // we stop the machine ourselves, to look at it; QEMU will say so
	backtraces     string
	past           history
}

// reason is why the watch over a guest ended.
type reason int

const (
	stopNone        reason = iota
	stopTalk               // the talk ended, well or not
	stopPanic              // the kernel panicked, as console or QEMU say
	stopShutdown           // the guest switched itself off, or was reset
	stopBoot               // no word within the limit
	stopSilence            // no sign of life within the limit
	stopTotal              // not done within the limit
	stopStarved            // the host left the guest no time to keep a limit
	stopDied               // QEMU ended by itself
	stopConsole            // the console could not be written
	stopInterrupted        // the context was cancelled
)

func (s *seen) stopFor(r reason, format string, args ...any) {
	if s.stop == stopNone {
		s.stop, s.detail = r, fmt.Sprintf(format, args...)
	}
}

// watch returns when the guest has nothing more to say: it was switched off,
// died, went beyond a limit, or its talk ended and it had time for last words.
func (r *running) watch(ctx context.Context, t *talk) {
	l, s := r.m.Limits, &r.seen
	p := newPatience("/proc", r.qemu.Pid(), r.started)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var heard lapse // when the guest last gave a sign of life
	beats := 0
	panicked := r.console.panicked
	var end <-chan time.Time
	// lastWords ends the watch in a while. The limits don't count any more.
	lastWords := func(d time.Duration) {
		if end == nil {
			end = time.After(d)
		}
	}
	defer func() {
		s.past = p.past
		s.cancelled(ctx, t)
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-r.qemu.Done():
			s.died = true
			s.stopFor(stopDied, "")
			return
		case err := <-r.console.failed:
			s.consoleErr = err
			s.stopFor(stopConsole, "write the console: %v", err)
			return
		case e := <-r.mon.events:
			if s.event(e) {
				return
			}
		case <-panicked:
			panicked = nil
			s.stopFor(stopPanic, "")
			lastWords(l.LastWords)
		case err := <-t.result:
			t.take(err)
			if err == nil {
				s.stopFor(stopTalk, "")
				lastWords(l.Settle)
				continue
			}
			// Whoever broke the talk off may be about to say why.
			s.stopFor(stopTalk, "%v", err)
			lastWords(l.LastWords)
		case s.ready = <-r.port.first:
		case now := <-look.C:
			p.look(now)
			if end != nil {
				continue
			}
			if n := r.pulse.count(); n != beats {
				beats, heard = n, p.now
			}
			if !r.overLimit(p.now, p.now.since(heard)) {
				continue
			}
			if !r.prod(ctx) {
				return
			}
			if s.stop == stopTotal {
				return // it lives, and has no last words
			}
			lastWords(l.LastWords)
		}
	}
}

// cancelled notes the context's end, if that is what ended the watch. It ends
// QEMU too, and QEMU's death or the port's end may be what was seen first.
func (s *seen) cancelled(ctx context.Context, t *talk) {
	if ctx.Err() == nil {
		return
	}
	if s.stop == stopDied || s.stop == stopTalk && !t.said() {
		s.stop, s.detail = stopNone, ""
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		s.stopFor(stopTotal, "not done before the deadline")
	}
	s.stopFor(stopInterrupted, "%v", context.Cause(ctx))
}

// overLimit says whether a limit has passed, and notes which: so long since the
// start, so long without a sign of life.
func (r *running) overLimit(now, quiet lapse) bool {
	l, s := r.m.Limits, &r.seen
	check := func(spent lapse, limit time.Duration, which reason, what string) bool {
		over, starved := spent.over(limit, l.Starved)
		switch {
		case starved:
			s.stopFor(stopStarved, "%s within %v, of which the host left it %v", what, spent.wall.Round(time.Second), spent.guest.Round(time.Second))
		case over:
			s.stopFor(which, "%s within %v%s", what, limit, spent.denied())
		}
		return over
	}
	return s.ready == 0 && check(now, l.Boot, stopBoot, "the guest's program did not say a word") ||
		check(now, l.Total, stopTotal, "not done") ||
		check(quiet, l.Silence, stopSilence, "no sign of life")
}

// event takes an event of QEMU's and says whether it was the guest's end.
func (s *seen) event(e qmp.Event) bool {
	switch e.Event {
	case "GUEST_PANICKED":
		s.stopFor(stopPanic, "QEMU says that the guest panicked")
		return true
	case "SHUTDOWN":
		why, _ := e.Data["reason"].(string)
		if guest, _ := e.Data["guest"].(bool); guest {
			s.stopFor(stopShutdown, "%s", why)
		} else {
			s.died = true
			s.stopFor(stopDied, "%s", why)
		}
		return true
	case "STOP":
		if s.held {
			s.held = false
			return false
		}
		// After the other two it would be expected; alone it is QEMU's own
		// decision, such as an instruction that KVM can't emulate.
		s.died = true
		s.stopFor(stopDied, "QEMU stopped the machine")
		if s.unprovoked >= 0 {
			s.stop, s.detail = stopDied, s.detail+"; then QEMU stopped the machine"
		}
		return true
	}
	return false
}

// prod asks a guest that doesn't answer where it is: QEMU for the CPUs' registers
// and stacks, and the kernel by an interrupt that can't be masked. It returns
// false if not even QEMU answers.
func (r *running) prod(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.m.Limits.Grace)
	defer cancel()
	r.seen.held = true
	var at []string
	_, err := r.mon.run(ctx, "stop", nil)
	if err == nil {
		r.seen.backtraces, at = r.backtraces(ctx)
		_, err = r.mon.run(ctx, "cont", nil)
	}
	if err != nil {
		r.greeted = false
		r.seen.detail += "; QEMU doesn't answer either"
		r.seen.stop, r.seen.died = stopDied, true
		fmt.Fprintf(&r.notes, "asking QEMU: %v\n", err)
		return false
	}
	r.seen.detail += "; the CPUs were at " + strings.Join(at, ", ")
	// What the kernel says to the interrupt is an answer, not its own trouble.
	r.seen.unprovoked = len(r.console.events())
	if r.seen.stop == stopTotal {
		return true
	}
	if _, err := r.mon.run(ctx, "inject-nmi", nil); err != nil {
		fmt.Fprintf(&r.notes, "inject-nmi: %v\n", err)
	}
	return true
}
