// SPDX-License-Identifier: GPL-2.0-or-later

package console

import (
	"regexp"
	"strings"
	"time"
)

// report is an event being read.
type report struct {
	kind     Kind
	title    string
	function string
	frames   []string
	lines    []string
	line     int
	at       time.Duration
	trace    traceState
	ruled    bool // it began under a line of = signs, and ends with one
}

// traceState is how far the report's call trace has come.
type traceState int

const (
	traceNone  traceState = iota
	traceIn               // after "Call Trace:"
	traceEnded            // after </TASK>, or before the first line that is no frame
)

// cutHere comes before WARN and BUG; what stands between it and the header is
// the message that the caller of WARN gave.
const cutHere = "[ cut here ]"

// anotherReport matches a line of a report that another CPU was printing.
var anotherReport = regexp.MustCompile(`^CPU: \d+ (?:UID: \d+ )?PID: \d+`)

func newReport(h header, before []string, l string, n int) *report {
	r := &report{kind: h.kind, line: n}
	message := ""
	for i, b := range before {
		if strings.Contains(b, cutHere) {
			before = before[i:]
			if len(before) > 1 && !anotherReport.MatchString(before[1]) {
				message = before[1]
			}
			break
		}
	}
	// Lockdep has such a line as well, but none at the end.
	r.ruled = (h.kind == KASAN || h.kind == UBSAN) && len(before) > 0 && isRule(before[len(before)-1])
	r.lines = append(r.lines, before...)
	r.add(l)
	r.title, r.function = stable(l), h.function
	if message != "" && h.kind == Warning {
		r.title = "WARNING: " + stable(message)
		if r.function != "" {
			r.title += " in " + r.function
		}
	}
	return r
}

// absorbs says whether a header belongs to this report: "Oops: 0002 [#1]" after
// "BUG: kernel NULL pointer dereference" does.
func (r *report) absorbs(h header) bool {
	return h.secondary && r.trace == traceNone && (r.kind == Oops || r.kind == Bug)
}

var (
	kernelPC  = regexp.MustCompile(`^(?:RIP: \w+:|Krnl PSW : [0-9a-f]+ [0-9a-f]+ \()([\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+`)
	frame     = regexp.MustCompile(`^(?: *\[<[0-9a-f]+>\])? *(\? |\([^()]*\) *)?([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+`)
	traceLine = regexp.MustCompile(`^ *(?:</?[A-Z#]\w*>|(?:\? )?0x[0-9a-f]+$|\[<[0-9a-f]+>\]|\(\[<)`)
	// A user's registers in the middle of a trace, as the kernel entered by an
	// interrupt shows them.
	inTrace = regexp.MustCompile(`^(?:RIP|Code|RSP|R[A-Z0-9]{2}|FS|CS|CR\d|EFLAGS): ?`)
	// The functions that print a trace are at its top and say nothing, nor do those
	// of the checkers that found what it is about.
	printers = regexp.MustCompile(`^(?:dump_stack(?:_lvl)?|panic|nmi_panic|show_\w+|__?warn\w*|report_bug|handle_bug|__die\w*|die\w*|oops_end|warn_alloc|` +
		`print_\w+|__schedule|schedule\w*|asm_exc_\w+|exc_\w+|\w*trap\w*|` +
		`_*kasan_\w+|__asan_\w+|check_memory_region\w*|ubsan_epilogue|__ubsan_\w+|` +
		`_*lock_acquire\w*|_*lock_release\w*|lock_is_held\w*|mark_(?:lock|usage|held_locks)\w*|validate_chain|check_(?:noncircular|prev_add|deadlock|irq_usage|usage)\w*|lockdep_\w+|debug_check_no_locks_\w+|` +
		`__might_(?:resched|sleep)|bad_page|free_page_is_bad\w*|check_free_page\w*)$`)
	suffix = regexp.MustCompile(`\.(?:cold|part|constprop|isra)(?:\.\d+)?$|\.\d+$`)
)

func (r *report) add(l string) {
	r.lines = append(r.lines, l)
	// In the middle of a trace stands where an interrupt came, which is not it.
	if m := kernelPC.FindStringSubmatch(l); m != nil && r.trace != traceIn {
		// The first one is where it happened, except in a stall: there the CPU
		// that stalls comes after those that wait for it.
		if r.function == "" || (r.kind == RCUStall && r.trace == traceEnded) {
			r.function = bare(m[1])
			r.frames, r.trace = nil, traceNone
		}
		return
	}
	switch {
	case strings.HasPrefix(l, "Call Trace:"):
		if r.kind == RCUStall {
			r.frames = nil
		}
		r.trace = traceIn
	case r.trace != traceIn:
	case strings.TrimSpace(l) == "</TASK>":
		r.trace = traceEnded
	default:
		r.addFrame(l)
	}
}

func (r *report) addFrame(l string) {
	m := frame.FindStringSubmatch(l)
	switch {
	case m == nil:
		if !traceLine.MatchString(l) && !inTrace.MatchString(l) {
			r.trace = traceEnded
		}
	case m[1] == "? " || len(r.frames) >= maxFrames:
	default:
		if name := bare(m[2]); len(r.frames) > 0 || !printers.MatchString(name) {
			r.frames = append(r.frames, name)
		}
	}
}

// bare takes off what compilers add to a function's name when they split or
// specialise it.
func bare(name string) string {
	for suffix.MatchString(name) {
		name = suffix.ReplaceAllString(name, "")
	}
	return name
}

// endsWith says whether l is the report's last line.
func (r *report) endsWith(l string) bool {
	switch {
	case strings.HasPrefix(l, "---[ end "):
		return true
	case isRule(l):
		return r.ruled
	}
	// Reports that have no end marker end with the trace.
	return r.trace == traceEnded && strings.TrimSpace(l) == "</TASK>" && !r.hasEndMarker() && !r.ruled && r.kind != RCUStall
}

var (
	userFault = regexp.MustCompile(`^(?:Code|Failing|Fault in|AS|CPU|Hardware|User|Last Breaking|Krnl|\s)`)
	stallMore = regexp.MustCompile(`^(?:rcu: |\s|Sending NMI|NMI backtrace|CPU: |Hardware|INFO: NMI handler|Call Trace:|task:|Stopper:|RIP: |Krnl|Last Breaking)`)
)

// endsBefore says whether the line before l was the report's last.
func (r *report) endsBefore(l string) bool {
	if strings.Contains(l, cutHere) {
		return true
	}
	switch r.kind {
	case OOM, Kmemleak:
		return true
	case Segfault:
		return !userFault.MatchString(l)
	case RCUStall:
		return r.trace == traceEnded && !stallMore.MatchString(l)
	}
	if r.hasEndMarker() || r.ruled || r.trace != traceIn || len(r.frames) == 0 {
		return false
	}
	return !frame.MatchString(l) && !traceLine.MatchString(l) && !inTrace.MatchString(l)
}

// hasEndMarker says whether reports of this kind end with "---[ end trace", or
// with the kernel.
func (r *report) hasEndMarker() bool {
	switch r.kind {
	case Oops, Bug, Warning, Panic:
		return true
	}
	return false
}

func isRule(l string) bool {
	return len(l) >= 20 && strings.Trim(l, "=") == ""
}

func (r *report) event() Event {
	function := r.function
	if function == "" && len(r.frames) > 0 {
		function = r.frames[0]
	}
	return Event{Kind: r.kind, Title: r.title, Function: function,
		Frames: append([]string(nil), r.frames...), Lines: append([]string(nil), r.lines...), Line: r.line, At: r.at}
}
