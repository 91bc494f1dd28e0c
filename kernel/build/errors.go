// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"packtest/internal/fault"
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
	// The machine's fault, though a compiler says it.
	killed = regexp.MustCompile(`Killed signal terminated program|virtual memory exhausted|Cannot allocate memory`)
)

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
	if killed.MatchString(output) {
		return fault.WithHint(fault.Harnessf("build %s: a compiler ran out of memory:\n%s", cell.name(), output), "fewer jobs need less memory")
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
