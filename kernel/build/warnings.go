// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Warning is one complaint of a tool that had a part in a build.
type Warning struct {
	// Tool is "compiler", "sparse", "kernel-doc", "objtool", or "build" for
	// linkers, modpost and scripts.
	Tool string `json:"tool"`
	// File is relative to the kernel's top folder, and Line counts from 1; "" and
	// 0 where the tool names none.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
	// Said is all that the tool said of it, with the lines of source it showed.
	Said string `json:"said"`
}

// sameness is what is left of a warning that was moved to another line.
type sameness struct{ tool, file, text string }

// moving is what changes in a warning's text without its being another one.
var moving = regexp.MustCompile(`\+?0x[0-9a-f]+|[0-9]+ bytes`)

func (w Warning) sameness() sameness {
	return sameness{w.Tool, w.File, moving.ReplaceAllString(w.Text, "#")}
}

// Warnings are the complaints of every step of a build, by the step.
type Warnings map[string][]Warning

// All returns every warning once, however many objects brought it, sorted.
func (w Warnings) All() []Warning { return w.Since(nil) }

// Since returns the warnings that before hasn't got, each once and sorted by file
// and line. One that only moved to another line is no new one; where a file has
// more of a kind than before, those that come last are taken for the new. A
// header's warning is not new for being read by one more object.
func (w Warnings) Since(before Warnings) []Warning {
	headers := map[sameness]int{}
	for _, list := range before {
		for k, n := range count(list) {
			if filepath.Ext(k.file) == ".h" {
				headers[k] = max(headers[k], n)
			}
		}
	}
	var out []Warning
	reported := map[sameness]int{}
	for step, list := range w {
		had, seen := count(before[step]), map[sameness]int{}
		for _, x := range list {
			k := x.sameness()
			seen[k]++
			known := max(had[k], headers[k])
			if seen[k] > known && seen[k]-known > reported[k] {
				reported[k]++
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Tool, b.Tool), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Said, b.Said))
	})
	return out
}

func count(list []Warning) map[sameness]int {
	n := map[sameness]int{}
	for _, w := range list {
		n[w.sameness()]++
	}
	return n
}

var (
	// stepLine is what kbuild prints before a step's own words.
	stepLine = regexp.MustCompile(`^\s\s([A-Z][A-Z0-9_]*)(?: \[[A-Z]+\])?\s+(\S+)$`)
	// placed is a complaint with a place, from a compiler, sparse or kernel-doc.
	placed = regexp.MustCompile(`^([^\s:]+):(\d+):(?:(\d+):)? (warning|error): (.*)$`)
	// aside is another word about a place: a note.
	aside = regexp.MustCompile(`^[^\s:]+:\d+:`)
	// placeless is one without: the linker's, objtool's, modpost's.
	placeless = regexp.MustCompile(`(?i)\bwarning: `)
	// introduces stands before the complaint it belongs to.
	introduces = regexp.MustCompile(`^(?:In file included from |\s+from |[^\s:]+: (?:In function|In member|At top level))`)
	// wrong marks the words of a step that failed.
	wrong = regexp.MustCompile(`(?m)(?:\berror:|\bError:|\bERROR: |undefined reference to|: No such file or directory$)`)
)

// sparseStep is the step in which sparse speaks.
const sparseStep = "CHECK"

// complaints reads what one step said. source is the folder of source files, and
// kind the step's name as kbuild prints it.
func complaints(kind, source string, lines []string) []Warning {
	var out []Warning
	var before []string
	for _, line := range lines {
		line = strings.ReplaceAll(line, source+"/", "")
		if makeNoise.MatchString(line) {
			continue
		}
		if introduces.MatchString(line) {
			before = append(before, line)
			continue
		}
		w := Warning{Tool: "build", Said: strings.Join(append(before, line), "\n")}
		if m := placed.FindStringSubmatch(line); m != nil && (m[4] == "warning" || kind == sparseStep) {
			w.File, w.Text = filepath.Clean(m[1]), m[5]
			w.Line, _ = strconv.Atoi(m[2]) // a number too large for a line is no line
			switch {
			case m[3] == "":
				w.Tool = "kernel-doc"
			case kind == sparseStep && !strings.HasSuffix(w.Text, "]"):
				w.Tool = "sparse"
			default:
				w.Tool = "compiler"
			}
		} else if placeless.MatchString(line) && !aside.MatchString(line) {
			w.Text = line
			if strings.Contains(line, "objtool: ") {
				w.Tool = "objtool"
			}
		} else {
			// Source, a note, the rest of a long complaint.
			if n := len(out); n > 0 && len(before) == 0 {
				out[n-1].Said += "\n" + line
			}
			continue
		}
		before = nil
		out = append(out, w)
	}
	return out
}
