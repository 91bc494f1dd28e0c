// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FileName is what a plan file is called where nobody says otherwise.
const FileName = "packtest.toml"

// TOML writes the plan as a plan file with comments. Parse reads it back.
func (p *Plan) TOML() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	about := func(text string) {
		for _, l := range strings.Split(text, "\n") {
			for _, l := range wrap(l, commentColumns) {
				line("# %s", l)
			}
		}
	}
	about(fmt.Sprintf("What packtest runs: packtest run --plan %s\nWhat is left out is as packtest has it; a list that is given replaces its list.", FileName))
	line("")
	about("Kernel source: debian:PACKAGE (in /usr/src), debian:SUITE/PACKAGE, the path of a\ntarball, or tree:PATH[@REV], a git tree of your own, which is not changed.")
	line("base = %s", quote(p.Base))
	about("Any of " + strings.Join(Architectures(), ", ") + ".")
	line("arches = %s", quoteAll(p.Arches))
	about("Kernel configuration, one of " + strings.Join(Configs(), ", ") + ": measure is\nsmall and fast, debug watches itself, faults too but for the order of locks, so that\nfunctions can fail; btf knows its own types, numa its nodes.")
	line("config = %s", quote(p.Config))
	line("")
	about("The verdict is on the candidate, compared with the baseline.")
	line("baseline = %s", quote(p.Baseline))
	line("candidate = %s", quote(p.Candidate))
	line("")
	about("How often each kernel is booted for what is timed. Fewer than five can't tell\ndifferences apart; more tell smaller ones.")
	line("boots = %d", p.Boots)
	about("VMs at once; 0 is one for each processor, as far as memory goes.")
	line("parallel = %d", p.Parallel)
	about("What programs, their sizes and orders are made from.")
	line("seed = %d", p.Seed)
	about("A file of instruction TLBs that are simulated beside packtest's own: see docs/itlb.md.")
	line("geometries = %s", quote(p.Geometries))
	line("")
	line("[vm]")
	line("cpus = %d", p.VM.CPUs)
	line("memory_mib = %d", p.VM.MemoryMiB)
	about("Nodes among which processors and memory are divided; 0 is one, or two where config is numa.")
	line("nodes = %d", p.VM.Nodes)
	about("One of " + strings.Join(Accelerators(), ", ") + ".")
	line("accelerator = %s", quote(p.VM.Accelerator))
	line("")
	about("How far a metric may move before it is worse: a percentage of the baseline's\nvalue, or a number in the metric's unit. What stands here holds anyway.")
	if len(p.Tolerances) == 0 {
		about("[tolerance]\n" + usualTolerances)
	} else {
		line("[tolerance]")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Tolerances)) {
		t := string(p.Tolerances[name])
		if strings.HasSuffix(t, "%") {
			t = quote(t)
		}
		line("%s = %s", name, t)
	}
	line("")
	about("Variants: a name, and the series that stand on the base, in order. An element\nis \"nopack\" or \"bpf-prog-pack\", which packtest carries, the path of a folder of\npatches or of an mbox (beginning with ./ or /), or \"range:BASE..HEAD\" in the\nbase's tree. Without a stack it is the base as it is.")
	for _, v := range p.Variants {
		line("[[variant]]")
		line("name = %s", quote(v.Name))
		if len(v.Stack) > 0 {
			line("stack = %s", quoteAll(v.Stack))
		}
		line("")
	}
	about("Scenarios, run in this order: " + strings.Join(Scenarios(), ", ") + ".\nsoak goes on for a time: seconds = 600. load takes programs, directmap steps: numbers of programs.\nitlb takes both and how many are hot; its steps are numbers of hot programs.")
	for i, s := range p.Scenarios {
		if i > 0 {
			line("")
		}
		line("[[scenario]]")
		line("name = %s", quote(s.Name))
		if s.Programs != 0 {
			line("programs = %d", s.Programs)
		}
		if s.Hot != 0 {
			line("hot = %d", s.Hot)
		}
		if s.Rounds != 0 {
			line("rounds = %d", s.Rounds)
		}
		if s.Seconds != 0 {
			line("seconds = %d", s.Seconds)
		}
		if len(s.Steps) > 0 {
			line("steps = [%s]", strings.Trim(strings.Join(strings.Fields(fmt.Sprint(s.Steps)), ", "), "[]"))
		}
	}
	return b.String()
}

// commentColumns is how long a comment's lines may be.
const commentColumns = 98

// wrap breaks a line between words into lines of at most w bytes.
func wrap(line string, w int) []string {
	var lines []string
	for len(line) > w {
		at := strings.LastIndexByte(line[:w+1], ' ')
		if at < 0 {
			break
		}
		lines = append(lines, line[:at])
		line = line[at+1:]
	}
	return append(lines, line)
}

// quote writes a string as TOML has it. JSON's escapes are TOML's too.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // there is no string that JSON can't write
	}
	return strings.ReplaceAll(string(b), "\x7f", `\u007f`)
}

func quoteAll(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = quote(s)
	}
	return "[" + strings.Join(q, ", ") + "]"
}
