// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/perf/benchunit"
	eastasian "golang.org/x/text/width"

	"packtest/results"
)

// notMeasured stands where there is no value. It is never 0.
const notMeasured = "not measured"

// Quantity formats a value with its unit: "5.625 MiB", "1.39 ms", "312 pages".
func Quantity(unit string, x float64) string {
	if s, own := amount(unit, x); own {
		return s
	} else if s == notMeasured {
		return s
	} else {
		return s + " " + singular(unit, s)
	}
}

// amount formats a value, and tells whether the text holds its unit already,
// which is so for bytes, times, shares and ratios. Others are told by their caption.
func amount(unit string, x float64) (text string, hasUnit bool) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return notMeasured, false
	}
	switch unit {
	case "bytes":
		if math.Abs(x) < 1024 {
			return number(x) + " B", true
		}
		return prefixed(benchunit.Scale(x, benchunit.Binary)) + "B", true
	case "ns":
		if x == 0 {
			return "0 ns", true
		}
		return prefixed(benchunit.Scale(x/1e9, benchunit.Decimal)) + "s", true
	case missesUnit:
		if 0 < x && x < 0.005 {
			return "<0.01", false
		}
		return strconv.FormatFloat(x, 'f', 2, 64), false
	case "%":
		return trimZeros(strconv.FormatFloat(x, 'f', 1, 64)) + " %", true
	case "1": // a ratio
		return number(x), true
	}
	return number(x), false
}

// number formats a plain number with four significant digits, or all of an
// integer's.
func number(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// prefixed puts a space before a number's unit prefix: "5.625Mi" -> "5.625 Mi".
func prefixed(s string) string {
	i := strings.LastIndexAny(s, "0123456789") + 1
	return trimZeros(s[:i]) + " " + s[i:]
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// singular drops the plural s of a unit that counts one.
func singular(unit, amount string) string {
	if amount == "1" && strings.HasSuffix(unit, "s") && !strings.Contains(unit, "/") {
		return strings.TrimSuffix(unit, "s")
	}
	return unit
}

// signed formats a difference with its sign and unit.
func signed(unit string, x float64) string {
	if x > 0 {
		return "+" + Quantity(unit, x)
	}
	return Quantity(unit, x)
}

func duration(sec float64) string {
	return time.Duration(sec * float64(time.Second)).Round(time.Second).String()
}

func day(t time.Time) string {
	if t.IsZero() {
		return "at an unknown time"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}

// verdictTone tells how a verdict is to be taken.
func verdictTone(v results.Verdict) Tone {
	switch v {
	case results.Pass, results.Improved, results.Unchanged:
		return Good
	}
	return Bad
}

func width(s string) int {
	n := 0
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

// columnsOf is how many columns of a terminal a character takes: by Unicode's
// annex 11, wide ones take two; what is put onto the one before takes none.
func columnsOf(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	if k := eastasian.LookupRune(r).Kind(); k == eastasian.EastAsianWide || k == eastasian.EastAsianFullwidth {
		return 2
	}
	return 1
}

// wrap breaks text into lines of at most w columns, of which the first has
// first fewer; the others are indented by hang spaces, which count. A word that
// is longer than a line is broken, too.
func wrap(text string, w, first, hang int) []string {
	var lines []string
	line, indent, room := "", "", w-first
	next := func() {
		lines = append(lines, line)
		indent, room = strings.Repeat(" ", hang), w
		line = indent
	}
	for _, word := range strings.Fields(text) {
		if line != indent {
			if width(line)+1+width(word) <= room {
				line += " " + word
				continue
			}
			next()
		}
		for width(line)+width(word) > room {
			head, rest := cut(word, room-width(line))
			line += head
			next()
			word = rest
		}
		line += word
	}
	return append(lines, line)
}

// cut takes as much of a word as fits into w columns, but at least a character;
// behind a mark that parts it, if there is one late enough.
func cut(word string, w int) (head, rest string) {
	at := max(fitting(word, w), 1)
	for !utf8.RuneStart((word + "x")[at]) {
		at++
	}
	if mark := strings.LastIndexAny(word[:at], "/-_.,:=+") + 1; mark > at/3 {
		at = mark
	}
	return word[:at], word[at:]
}

// fitting returns how many bytes of s fit into w columns.
func fitting(s string, w int) int {
	used := 0
	for i, r := range s {
		if used += columnsOf(r); used > w {
			return i
		}
	}
	return len(s)
}

// countOf counts things: "1 patch", "2 patches".
func countOf(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "ch"):
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
