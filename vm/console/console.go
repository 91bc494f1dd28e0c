// SPDX-License-Identifier: GPL-2.0-or-later

// Package console reads what a kernel prints and finds the reports of trouble
// in it: panics, oopses, warnings, lockups, and what the kernel's own checkers
// say, in the formats of x86_64 and s390x. It reads a stream in pieces of any
// size and loses nothing at their borders. What a report means for a run, it
// leaves to others.
package console

import (
	"bytes"
	"regexp"
	"strings"
	"time"
)

// Kind is what sort of trouble a report is about.
type Kind string

// The kinds of reports. All but Panic leave the kernel running, if it can.
const (
	Panic      Kind = "panic"        // the kernel gave up
	Oops       Kind = "oops"         // an exception in the kernel
	Bug        Kind = "bug"          // BUG() or a "BUG:" line of any sort
	Warning    Kind = "warning"      // WARN()
	KASAN      Kind = "kasan"        // a bad access seen by KASAN
	UBSAN      Kind = "ubsan"        // undefined behaviour
	Lockdep    Kind = "lockdep"      // lock order, RCU use, sleeping where one must not
	SoftLockup Kind = "soft-lockup"  // a CPU that doesn't schedule
	HardLockup Kind = "hard-lockup"  // a CPU that takes no interrupts
	RCUStall   Kind = "rcu-stall"    // a CPU or task that holds up RCU
	HungTask   Kind = "hung-task"    // a task that waits for minutes
	BadPage    Kind = "bad-page"     // page tables or page state that are wrong
	Kmemleak   Kind = "kmemleak"     // memory nobody points to
	AllocFail  Kind = "alloc-failed" // an allocation that failed loudly
	OOM        Kind = "oom"          // a process killed for memory
	Segfault   Kind = "segfault"     // a process that the kernel ended for an exception
)

// Fatal reports whether the kernel's word can't be trusted after this: an
// exception in the kernel, or memory that something wrote where it must not.
func (k Kind) Fatal() bool {
	switch k {
	case Panic, Oops, Bug, KASAN, BadPage, HardLockup:
		return true
	}
	return false
}

// Timeout returns how long something takes, by the kernel's clock, before the
// kernel says this; 0 if it isn't a matter of time. These are the kernel's
// defaults: watchdog_thresh, twice that, RCU_CPU_STALL_TIMEOUT, and
// DEFAULT_HUNG_TASK_TIMEOUT.
func (k Kind) Timeout() time.Duration {
	switch k {
	case HardLockup:
		return 10 * time.Second
	case SoftLockup:
		return 20 * time.Second
	case RCUStall:
		return 21 * time.Second
	case HungTask:
		return 120 * time.Second
	}
	return 0
}

// Event is one report.
type Event struct {
	Kind Kind `json:"kind"`
	// Title is one line that is the same for the same trouble: without
	// addresses, CPU numbers, process IDs and the like.
	Title string `json:"title"`
	// Function is where it happened, without offset; empty if it isn't said.
	Function string `json:"function,omitempty"`
	// Frames are the first functions of the call trace, innermost first, that
	// the unwinder was sure of; at most 5.
	Frames []string `json:"frames,omitempty"`
	// Lines are the report's, with up to 3 that came just before it.
	Lines []string `json:"lines"`
	// Line is the number of the line in the stream that made it a report, from 1.
	Line int `json:"line"`
	// At is when that line was read, by the Scanner's Clock.
	At time.Duration `json:"at,omitempty"`
}

// Key is equal for two reports of the same trouble.
func (e Event) Key() string {
	return string(e.Kind) + "\x00" + e.Title + "\x00" + strings.Join(e.Frames, "\x00")
}

// Dedup returns the first of each set of events with the same key, in order.
func Dedup(events []Event) []Event {
	seen := map[string]bool{}
	var out []Event
	for _, e := range events {
		if !seen[e.Key()] {
			seen[e.Key()] = true
			out = append(out, e)
		}
	}
	return out
}

const (
	maxFrames  = 5
	maxBefore  = 3
	maxLines   = 200
	maxLineLen = 2000
)

// Scanner finds events in a stream. The zero value is ready. It is not safe for
// use by several goroutines.
type Scanner struct {
	// Clock tells the time for Event.At; nil leaves it 0.
	Clock func() time.Duration

	partial []byte
	n       int      // lines so far
	before  []string // the last lines that belong to no report
	open    *report
	closed  []*report
	panics  int
}

// Write reads a piece of the stream. It never fails.
func (s *Scanner) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			s.append(b)
			break
		}
		s.append(b[:i])
		s.line()
		b = b[i+1:]
	}
	return n, nil
}

// append keeps a part of a line. A stream without newlines must not take all
// memory, and no line of a report is that long: the rest of it is dropped.
func (s *Scanner) append(b []byte) {
	s.partial = append(s.partial, b[:min(len(b), maxLineLen-len(s.partial))]...)
}

// Flush takes an unfinished last line and an unfinished report for finished.
func (s *Scanner) Flush() {
	if len(s.partial) > 0 {
		s.line()
	}
	s.close()
}

// Events returns the events so far, an unfinished one included, in the order
// in which they began.
func (s *Scanner) Events() []Event {
	var out []Event
	for _, r := range s.closed {
		out = append(out, r.event())
	}
	if s.open != nil {
		out = append(out, s.open.event())
	}
	return out
}

// Panicked says whether a panic began so far, finished or not.
func (s *Scanner) Panicked() bool { return s.panics > 0 }

// Scan returns the events in a text.
func Scan(text string) []Event {
	var s Scanner
	_, _ = s.Write([]byte(text))
	s.Flush()
	return s.Events()
}

// line takes a line of the stream. A process that did not end its line leaves a
// kernel message in the middle of one.
func (s *Scanner) line() {
	raw := string(s.partial)
	s.partial = s.partial[:0]
	s.n++
	if at := stampAt(raw); at != nil && at[0] > 0 {
		s.message(raw[:at[0]])
		raw = raw[at[0]:]
	}
	s.message(raw)
}

func (s *Scanner) message(raw string) {
	l := clean(raw)
	m, isHeader := match(l)
	switch {
	case isHeader && s.open != nil && s.open.absorbs(m):
		s.open.add(l)
	case isHeader:
		s.begin(m, l)
	case s.open != nil && s.open.endsBefore(l):
		s.close()
		s.remember(l)
	case s.open != nil:
		s.open.add(l)
		if s.open.endsWith(l) || len(s.open.lines) >= maxLines {
			s.close()
		}
	default:
		s.remember(l)
	}
}

func (s *Scanner) begin(m header, l string) {
	s.close()
	if m.kind == Panic {
		s.panics++
		if s.consequence(l) {
			return
		}
	}
	s.open = newReport(m, s.before, l, s.n)
	if s.Clock != nil {
		s.open.at = s.Clock()
	}
	s.before = nil
}

// consequence takes the panic that an oops leads to for the oops's last words,
// not for trouble of its own, and says whether it was one.
func (s *Scanner) consequence(l string) bool {
	if !strings.Contains(l, "Fatal exception") || len(s.closed) == 0 {
		return false
	}
	last := s.closed[len(s.closed)-1]
	if last.kind != Oops && last.kind != Bug {
		return false
	}
	last.lines = append(append(last.lines, s.before...), l)
	s.before = nil
	return true
}

func (s *Scanner) close() {
	if s.open != nil {
		s.closed = append(s.closed, s.open)
		s.open = nil
	}
}

func (s *Scanner) remember(l string) {
	s.before = append(s.before, l)
	if len(s.before) > maxBefore {
		s.before = s.before[len(s.before)-maxBefore:]
	}
}

var (
	ansi  = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	stamp = regexp.MustCompile(`(<[0-9]{1,2}>)?\[ *[0-9]+\.[0-9]{6}\](\[ *[TC][0-9]+\])? ?`)
)

// stampAt returns where the first time stamp begins and ends, or nil.
func stampAt(l string) []int {
	if strings.IndexByte(l, '[') < 0 {
		return nil
	}
	return stamp.FindStringIndex(l)
}

// clean strips what is not the message: carriage returns, terminal sequences,
// the time and the caller.
func clean(l string) string {
	if strings.IndexByte(l, 0x1b) >= 0 {
		l = ansi.ReplaceAllString(l, "")
	}
	l = strings.Trim(l, "\r")
	if at := stampAt(l); at != nil && at[0] == 0 {
		l = l[at[1]:]
	}
	return strings.TrimRight(strings.ToValidUTF8(l, "\uFFFD"), " ")
}
