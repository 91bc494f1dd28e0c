// SPDX-License-Identifier: GPL-2.0-or-later

package console

import (
	"regexp"
	"strings"
)

// report is an event being read.
type report struct {
	kind     Kind
	title    string
	function string
	frames   []string
	lines    []string
	line     int
	inTrace  bool // between "Call Trace:" and the first line that is no frame
	traced   bool // a call trace has ended
	ruled    bool // it began under a line of = signs, and ends with one
}

// cutHere comes before WARN and BUG; what stands between it and the header is
// the message that the caller of WARN gave.
const cutHere = "[ cut here ]"

func newReport(h header, before []string, l string, n int) *report {
	r := &report{kind: h.kind, line: n}
	message := ""
	for i, b := range before {
		if strings.Contains(b, cutHere) {
			before = before[i:]
			if len(before) > 1 {
				message = before[1]
			}
			break
		}
	}
	if len(before) > 0 {
		r.ruled = isRule(before[len(before)-1])
	}
	r.lines = append(r.lines, before...)
	r.add(l)
	r.header(h, l)
	if message != "" && h.kind == Warning {
		r.title = "WARNING: " + stable(message)
		if r.function != "" {
			r.title += " in " + r.function
		}
	}
	return r
}

// header takes what a header line says, unless an earlier one said it.
func (r *report) header(h header, l string) {
	if r.title == "" {
		r.title = stable(l)
	}
	if r.function == "" {
		r.function = h.function
	}
}

// absorbs says whether a header belongs to this report: "Oops: 0002 [#1]"
// after "BUG: kernel NULL pointer dereference" does.
func (r *report) absorbs(h header) bool {
	return h.secondary && !r.traced && (r.kind == Oops || r.kind == Bug)
}

var (
	rip       = regexp.MustCompile(`^(?:RIP: \w+:|Krnl PSW : [0-9a-f]+ [0-9a-f]+ \()([\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+`)
	frame     = regexp.MustCompile(`^(?: *\[<[0-9a-f]+>\])? *(\? |\([^()]*\) *)?([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+`)
	traceLine = regexp.MustCompile(`^ *(?:</?(?:TASK|IRQ|NMI|SOFTIRQ|EOE|#\w+|ENTRY_TRAMPOLINE)>|\[<[0-9a-f]+>\])`)
)

func (r *report) add(l string) {
	r.lines = append(r.lines, l)
	if m := rip.FindStringSubmatch(l); m != nil {
		// The first one is the kernel's; a later one is the process's.
		if r.function == "" {
			r.function = m[1]
		}
		return
	}
	if strings.HasPrefix(strings.TrimSpace(l), "Call Trace:") {
		r.inTrace = true
		return
	}
	if !r.inTrace {
		return
	}
	m := frame.FindStringSubmatch(l)
	switch {
	case m != nil:
		if m[1] != "? " && len(r.frames) < maxFrames && !r.traced {
			r.frames = append(r.frames, m[2])
		}
	case traceLine.MatchString(l):
	default:
		r.inTrace = false
		r.traced = len(r.frames) > 0
	}
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
	return strings.TrimSpace(l) == "</TASK>" && !r.hasEndMarker()
}

// endsBefore says whether the line before l was the report's last.
func (r *report) endsBefore(l string) bool {
	if strings.Contains(l, cutHere) {
		return true
	}
	switch r.kind {
	case Segfault, OOM, Kmemleak:
		return !strings.HasPrefix(l, "Code:") && !strings.HasPrefix(l, "User ") && !strings.HasPrefix(l, "CPU:")
	case Panic:
		// A panic ends with its own marker or with the kernel.
		return false
	}
	if r.hasEndMarker() || r.ruled || !r.inTrace {
		return false
	}
	return len(r.frames) > 0 && !frame.MatchString(l) && !traceLine.MatchString(l)
}

// hasEndMarker says whether reports of this kind end with "---[ end trace".
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
		Frames: append([]string(nil), r.frames...), Lines: append([]string(nil), r.lines...), Line: r.line}
}

var unstable = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b0x[0-9a-fA-F]+/0x[0-9a-fA-F]+`), ""},
	{regexp.MustCompile(`([\w.]+)\+(?:0x[0-9a-f]+)?(?:/0x[0-9a-f]+)?`), "$1"},
	{regexp.MustCompile(`\b(?:0x)?[0-9a-f]{8,16}\b`), "ADDR"},
	{regexp.MustCompile(`\bCPU(: |#)\d+ ?`), ""},
	{regexp.MustCompile(`\bPID: \d+ ?`), ""},
	{regexp.MustCompile(`\bcpu \d+`), "cpu"},
	{regexp.MustCompile(`\[(\S+?):\d+\]`), "[$1]"},
	{regexp.MustCompile(`\btask (\S+?):\d+`), "task $1"},
	{regexp.MustCompile(`\bprocess (\S+?)[:/]\d+`), "process $1"},
	{regexp.MustCompile(`(\S)\[\d+\]:`), "$1:"},
	{regexp.MustCompile(`\[#\d+\]`), "[#]"},
	{regexp.MustCompile(`\bfor (?:more than )?\d+ ?s(?:econds)?\b`), "for too long"},
	{regexp.MustCompile(` +`), " "},
}

// stable takes out of a header line what differs from boot to boot.
func stable(l string) string {
	for _, u := range unstable {
		l = u.re.ReplaceAllString(l, u.with)
	}
	return strings.TrimSpace(l)
}
