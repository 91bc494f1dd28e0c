// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"errors"
	"fmt"
	"regexp"
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
	boot, total, silence := time.NewTimer(l.Boot), time.NewTimer(l.Total), time.NewTimer(l.Silence)
	defer boot.Stop()
	defer total.Stop()
	defer silence.Stop()
	panicked := r.console.panicked
	var end <-chan time.Time
	// lastWords ends the watch in a while. The limits don't count any more.
	lastWords := func(d time.Duration) {
		if end == nil {
			end = time.After(d)
			boot.Stop()
			total.Stop()
			silence.Stop()
		}
	}
	for {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				s.stopFor(stopTotal, "not done before the deadline")
			}
			s.stopFor(stopInterrupted, "%v", context.Cause(ctx))
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
			boot.Stop()
		case <-boot.C:
			s.stopFor(stopBoot, "the guest's program did not say a word within %v", l.Boot)
			if !r.prod(ctx) {
				return
			}
			lastWords(l.LastWords)
		case <-total.C:
			s.stopFor(stopTotal, "not done within %v", l.Total)
			lastWords(0)
		case <-silence.C:
			if quiet := r.pulse.since(); quiet < l.Silence {
				silence.Reset(l.Silence - quiet)
				continue
			}
			s.stopFor(stopSilence, "no sign of life for %v", l.Silence)
			if !r.prod(ctx) {
				return
			}
			lastWords(l.LastWords)
		}
	}
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
		// After the other two it would be expected; alone it is QEMU's own
		// decision, such as an instruction that KVM can't emulate.
		s.died = true
		s.stopFor(stopDied, "QEMU stopped the machine")
		return true
	}
	return false
}

var programCounter = regexp.MustCompile(`(?m)\b(?:RIP=|PSW=mask [0-9a-f]+ addr )([0-9a-f]+)`)

// prod asks a guest that doesn't answer where it is: QEMU for the registers,
// and the kernel by an interrupt that can't be masked. It returns false if not
// even QEMU answers.
func (r *running) prod(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := r.mon.run(ctx, "human-monitor-command", map[string]any{"command-line": "info registers -a"})
	if err != nil {
		r.greeted = false
		r.seen.detail += "; QEMU doesn't answer either"
		r.seen.stop, r.seen.died = stopDied, true
		return false
	}
	text := strings.ReplaceAll(unquote(out), "\r\n", "\n")
	fmt.Fprintf(&r.notes, "registers when it hung:\n%s\n", text)
	var at []string
	for _, m := range programCounter.FindAllStringSubmatch(text, -1) {
		at = append(at, m[1])
	}
	if len(at) > 0 {
		r.seen.detail += "; the CPUs were at " + strings.Join(at, ", ")
	}
	// What the kernel says to the interrupt is an answer, not its own trouble.
	r.seen.unprovoked = len(r.console.events())
	if _, err := r.mon.run(ctx, "inject-nmi", nil); err != nil {
		fmt.Fprintf(&r.notes, "inject-nmi: %v\n", err)
	}
	return true
}
