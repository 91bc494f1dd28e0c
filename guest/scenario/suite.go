// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"fmt"
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
	r.summary(text)
}

// summary takes a suite's last line, "[suite: ]Summary: 10 PASSED, 0 FAILED[,
// [10/10 JIT'ed]]".
func (r *suiteResult) summary(text string) {
	if _, rest, ok := strings.Cut(text, ": Summary: "); ok {
		text = "Summary: " + rest
	}
	var passed, failed, jited, ran uint32
	n, _ := fmt.Sscanf(text, "Summary: %d PASSED, %d FAILED, [%d/%d JIT'ed]", &passed, &failed, &jited, &ran)
	if n < 2 || !strings.Contains(text, fmt.Sprintf("%d FAILED", failed)) {
		return
	}
	r.summarised = true
	r.passed, r.failed = int(passed), int(failed)
	if n == 4 {
		r.jited, r.hasJITed = int(jited), true
	}
}

// caseName returns the name of a case that failed: what stands between its
// number and what came of it.
func caseName(text string) string {
	_, name, ok := strings.Cut(text, " ")
	if !ok {
		return text
	}
	for _, what := range []string{" jited:0 ", " jited:1 ", " FAIL", " UNEXPECTED_", " data generation failed"} {
		name, _, _ = strings.Cut(name, what)
	}
	return name
}
