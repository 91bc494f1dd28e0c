// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"packtest/internal/fault"
	"packtest/internal/proc"
	"packtest/kernel/series"
)

// ToolError says that tools for building are missing.
type ToolError struct {
	Arch string
	// Tools are the commands or headers that were not found, Packages the
	// Debian packages that have them, one for each.
	Tools, Packages []string
}

func (e *ToolError) add(tool, pkg string) {
	if !slices.Contains(e.Tools, tool) {
		e.Tools = append(e.Tools, tool)
		e.Packages = append(e.Packages, pkg)
	}
}

// Error names what is missing and the command that brings it.
func (e *ToolError) Error() string {
	packages := slices.Compact(slices.Sorted(slices.Values(e.Packages)))
	return fmt.Sprintf("building for %s needs %s, not found; as root: apt-get install --no-install-recommends %s",
		e.Arch, strings.Join(e.Tools, ", "), strings.Join(packages, " "))
}

// Fault returns fault.Harness: the machine lacks something.
func (e *ToolError) Fault() fault.Kind { return fault.Harness }

// CompileError says that the kernel does not build.
type CompileError struct {
	Cell string
	// Output is what compiler, linker or modpost said, as they said it.
	Output string
	// File is the first file they complain about, relative to the kernel's top
	// folder, and Symbol the first symbol that is missing at link time; both
	// may be "".
	File, Symbol string
	// Patches are the patches of the stack that touch that file, or mention
	// that symbol, as SERIES/PATCH.
	Patches []string
}

// Error shows the compiler's words, and the patches they may come from.
func (e *CompileError) Error() string {
	text := fmt.Sprintf("build %s: the kernel does not compile:\n%s", e.Cell, strings.TrimRight(e.Output, "\n"))
	switch {
	case len(e.Patches) > 0 && e.Symbol != "":
		text += fmt.Sprintf("\n%s is mentioned by %s", e.Symbol, strings.Join(e.Patches, ", "))
	case len(e.Patches) > 0:
		text += fmt.Sprintf("\n%s is changed by %s", e.File, strings.Join(e.Patches, ", "))
	case e.File != "":
		text += fmt.Sprintf("\n%s is changed by no patch of the stack", e.File)
	}
	return text
}

// Fault returns fault.Kernel: the kernel under test is wrong.
func (e *CompileError) Fault() fault.Kind { return fault.Kernel }

var (
	// FILE:LINE:COLUMN: error: ..., or the assembler's FILE:LINE: Error: ...
	errorLine = regexp.MustCompile(`(?m)^(\S+?):\d+:(?:\d+:)? (?:(?:fatal |internal compiler )?error:|Error:)`)
	// The linker and modpost know symbols, not source files.
	symbolLine = regexp.MustCompile("(?m)undefined reference to `([^']+)'|ERROR: modpost: \"([^\"]+)\" .*undefined!")
	// What make says about its own targets says nothing about the kernel.
	makeNoise = regexp.MustCompile(`^(?:make(?:\[\d+\])?: |\s*$)`)
	// The machine's fault, though a tool, its shell or make says it: of a tool that
	// was killed make tells the signal, or what a shell made of SIGKILL and SIGTERM.
	// A line with a bar is the compiler's quotation of a source file.
	killed = regexp.MustCompile(`(?m)^[^|\n]*(?:Killed signal terminated program|memory exhausted|out of memory allocating|Cannot allocate memory)|` +
		`^(?:\S+: line \d+: *\d+ )?Killed\b|^make(?:\[\d+\])?: \*\*\* .*\] (?:Killed|Terminated|Error 137|Error 143)\b`)
)

// makeError says what it means that make, which said all this, failed: said is
// what counts in it where the kernel is at fault.
func (b *builder) makeError(exit *proc.ExitError, all, said string) error {
	if exit.Result.Signaled || killed.MatchString(all) {
		return fault.WithHint(fault.Harnessf("build %s: a tool was killed, or ran out of memory:\n%s", b.cell.name(), lastLines(all)), "under taskset -c 0,1 only two compilers run at once, which need less memory")
	}
	return compileError(b.cell, b.source, said)
}

// lastLines are the last lines of what make said.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// compileError makes a CompileError of what make wrote to standard error.
func compileError(cell Cell, sourceDir, stderr string) error {
	var kept []string
	for line := range strings.Lines(stderr) {
		if !makeNoise.MatchString(line) {
			kept = append(kept, line)
		}
	}
	output := strings.Join(kept, "")
	if output == "" {
		output = stderr
	}
	// Where the cache is, is the machine's business and nobody else's.
	output = strings.ReplaceAll(output, sourceDir+"/", "")
	e := &CompileError{Cell: cell.name(), Output: output}
	if m := errorLine.FindStringSubmatch(output); m != nil {
		e.File = filepath.Clean(m[1])
		e.Patches = series.Touching(cell.Stack, e.File)
	} else if m := symbolLine.FindStringSubmatch(output); m != nil {
		e.Symbol = m[1] + m[2]
		e.Patches = series.Mentioning(cell.Stack, e.Symbol)
	}
	return e
}
