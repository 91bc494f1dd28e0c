// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"regexp"
	"strconv"
	"strings"
)

// testSuites are the parts of lib/test_bpf, in its own order.
var testSuites = []string{"test_bpf", "test_tail_calls", "test_skb_segment"}

// suiteResult is what one suite of lib/test_bpf says about itself in the
// kernel's log.
type suiteResult struct {
	suite      string
	cases      int // begun so far
	failures   []suiteFailure
	summarised bool
	passed     int
	failed     int
	// jited is how many cases the JIT compiled, where the suite says so.
	jited    int
	hasJITed bool
	lost     uint64
	last     string // the last line
}

type suiteFailure struct{ name, line string }

// line takes one line of the log.
func (r *suiteResult) line(text string) {
	text, ok := strings.CutPrefix(text, "test_bpf: ")
	if !ok {
		return
	}
	text = strings.TrimSpace(text)
	r.last = text
	if strings.HasPrefix(text, "#") {
		r.cases++
		if strings.Contains(text, "FAIL") || strings.Contains(text, "UNEXPECTED_PASS") {
			r.failures = append(r.failures, suiteFailure{caseName(text), text})
		}
		return
	}
	m := regexp.MustCompile(`^(?:\w+: )?Summary: (\d+) PASSED, (\d+) FAILED(?:, \[(\d+)/\d+ JIT'ed\])?$`).FindStringSubmatch(text)
	if m == nil {
		return
	}
	r.summarised = true
	r.passed, _ = strconv.Atoi(m[1])
	r.failed, _ = strconv.Atoi(m[2])
	if m[3] != "" {
		r.jited, _ = strconv.Atoi(m[3])
		r.hasJITed = true
	}
}

// caseName returns the name of a case that failed: what stands between its
// number and what came of it.
func caseName(text string) string {
	pattern := regexp.MustCompile(`^#\d+ (.*?)(?: jited:[01]\b.*| (?:FAIL|UNEXPECTED_\w+).*| data generation failed.*)$`)
	if m := pattern.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return text
}
