// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"packtest/internal/proc"
	"packtest/vm/console"
)

// outcome puts together what was seen. The machine must be finished.
func (r *running) outcome(t *talk) *Outcome {
	select {
	case err := <-r.console.failed:
		r.seen.consoleErr = err
	default:
	}
	// The guest may have said its first word just before its end.
	select {
	case r.seen.ready = <-r.port.first:
	default:
	}
	o := &Outcome{
		Events: r.console.events(), ConsolePath: r.m.consolePath(),
		Ready: r.seen.ready, Elapsed: r.seen.elapsed, CPU: r.seen.cpu,
		QEMU: r.mon.version(), Accelerator: r.m.Accel, Args: r.args, TalkErr: t.err,
		Backtraces: r.seen.backtraces,
	}
	if n := r.seen.unprovoked; n >= 0 && n < len(o.Events) {
		o.Events = o.Events[:n]
	}
	var excused []string
	if !r.m.Deterministic { // whose clock stands still while the guest does
		o.Events, excused = excuse(o.Events, r.seen.past)
	}
	o.Ending, o.Detail = decide(r.seen, t, o.Events, r.qemuSaid())
	o.Ending, o.Detail = withExcuses(o.Ending, o.Detail, excused)
	return o
}

// qemuSaid returns how QEMU ended, in its own words if it had any.
func (r *running) qemuSaid() string {
	res, err := r.qemu.Wait()
	var exit *proc.ExitError
	switch s := strings.TrimSpace(string(res.Stderr)); {
	case s != "":
		return s
	case errors.As(err, &exit):
		return exit.State
	case err != nil:
		return err.Error()
	}
	return "exit code 0"
}

// decide says how it ended. What can't be trusted comes first: a console with
// holes in it, then a kernel that printed an oops, whatever the guest said.
func decide(s seen, t *talk, events []console.Event, qemuSaid string) (Ending, string) {
	if s.consoleErr != nil {
		return DiskFull, fmt.Sprintf("write the console: %v", s.consoleErr)
	}
	if s.stop == stopInterrupted {
		return Interrupted, s.detail
	}
	if e := worst(events); e != nil && s.stop != stopSilence && s.stop != stopBoot {
		return Panic, e.Title + in(e)
	}
	switch s.stop {
	case stopPanic:
		return Panic, s.detail
	case stopSilence:
		return Hang, s.detail
	case stopBoot:
		return NoBoot, s.detail
	case stopStarved:
		return HostBusy, s.detail
	}
	if t.said() {
		return Done, ""
	}
	switch {
	case s.died:
		// Seen second if the talk saw the port's end first.
		if s.stop == stopDied && s.detail != "" {
			return QEMUDied, s.detail + ": " + qemuSaid
		}
		return QEMUDied, qemuSaid
	case s.stop == stopTotal:
		return Timeout, s.detail
	case errors.Is(t.err, syscall.ENOSPC), errors.Is(t.err, syscall.EDQUOT):
		return DiskFull, t.err.Error()
	case s.stop == stopShutdown:
		return GuestExit, "the guest ended without saying done: " + s.detail
	}
	return BadTalk, t.err.Error()
}

// worst returns the first event that says the kernel is done for, an oops
// before the panic that it led to; nil if there is none.
func worst(events []console.Event) *console.Event {
	for i := range events {
		if events[i].Kind.Fatal() {
			return &events[i]
		}
	}
	return nil
}

func in(e *console.Event) string {
	if e.Function == "" || strings.Contains(e.Title, e.Function) {
		return ""
	}
	return " in " + e.Function
}

func unquote(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	return s
}
