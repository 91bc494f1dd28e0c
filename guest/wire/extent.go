// SPDX-License-Identifier: GPL-2.0-or-later

package wire

import (
	"regexp"
	"slices"
	"strings"
)

// varying is what differs between two boots that show the same trouble: where
// things lay, what bytes were there, and how many there were. The numbers of a
// name, as in kmalloc-64, come first, since they are none of these.
var varying = regexp.MustCompile(`\b[A-Za-z][\w-]*-[0-9]+[kM]?\b|0x[0-9a-f]+|[0-9a-f]{8,}|\b[0-9a-f]{2}( [0-9a-f]{2})*\b|[0-9]+`)

// Shapes returns evidence's lines without what varies, each once and sorted.
func Shapes(evidence string) []string {
	lines := strings.Split(varying.ReplaceAllStringFunc(evidence, func(s string) string {
		if strings.Contains(s, "-") {
			return s
		}
		return "#"
	}), "\n")
	slices.Sort(lines)
	return slices.Compact(lines)
}

// Extent is how much is known of one trouble. The zero value is nothing.
type Extent struct {
	// Cases are the most that were counted at once.
	Cases int
	lines map[string]bool // what the cases were about
	cut   bool            // there were cases that the evidence does not list
}

// cutLine is the shape of the line that stands for cases that are not listed.
const cutLine = "and # more"

// Add adds what a finding tells of.
func (e *Extent) Add(evidence string, cases int) {
	if e.lines == nil {
		e.lines = map[string]bool{}
	}
	e.Cases = max(e.Cases, cases)
	for _, line := range Shapes(evidence) {
		e.lines[line] = true
		e.cut = e.cut || line == cutLine
	}
}

// Covers tells whether each case that the evidence of a finding lists is about
// what a known one is about, or may be one that was not listed.
func (e Extent) Covers(evidence string) bool {
	return e.cut || !slices.ContainsFunc(Shapes(evidence), func(line string) bool { return !e.lines[line] && line != cutLine })
}
