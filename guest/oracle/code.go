// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"bytes"
	"fmt"
	"strings"

	"packtest/guest/bpf"
	"packtest/guest/probe"
	"packtest/guest/wire"
)

// Function names one function of one program.
type Function struct {
	Program  uint32
	Function int
}

// Unchanged holds if the code of every function is what it was: before and now
// are by function, and a function that is missing in either is not compared.
func Unchanged(before, now map[Function]Span) []wire.Finding {
	var cases []string
	for _, f := range sorted(now) {
		was, ok := before[f]
		is := now[f]
		switch {
		case !ok:
		case was.Start != is.Start || len(was.Bytes) != len(is.Bytes):
			cases = append(cases, fmt.Sprintf("program %d, function %d: was %d bytes at %#x, is %d at %#x",
				f.Program, f.Function, len(was.Bytes), was.Start, len(is.Bytes), is.Start))
		case !bytes.Equal(was.Bytes, is.Bytes):
			cases = append(cases, fmt.Sprintf("program %d, function %d: %s", f.Program, f.Function, difference(was, is.Bytes)))
		}
	}
	return finding("code-changed", "programs' code is not what it was", cases)
}

// difference tells where b begins to differ from what is in s.
func difference(s Span, b []byte) string {
	if len(s.Bytes) != len(b) {
		return fmt.Sprintf("%d bytes, and %d", len(s.Bytes), len(b))
	}
	for i := range b {
		if s.Bytes[i] != b[i] {
			end := min(i+8, len(b))
			return fmt.Sprintf("at %#x, %d bytes in: % x, and % x", s.Start+uint64(i), i, s.Bytes[i:end], b[i:end])
		}
	}
	return "no difference"
}

// Beside is a load of a program whose code came to stand on a page that others' code
// was on before.
type Beside struct {
	Program string
	// Interrupted is how often another processor was interrupted during the load,
	// which was in the kernel all the time.
	Interrupted uint64
}

// SynchronisationNeeded says whether a processor of arch may go on with what it
// fetched before another wrote there, until it is interrupted or does something else
// that has it fetch anew (z/Architecture Principles of Operation, "Conceptual
// Sequence"). On x86_64 it notices what others write by itself.
func SynchronisationNeeded(arch string) bool { return arch == "s390x" }

// Synchronised holds if other processors were interrupted after code was written next
// to code that they may be in. When a load returns it must have happened: the
// program can be reached from then on. It is for architectures that need it.
func Synchronised(loads []Beside) []wire.Finding {
	var cases []string
	for i, l := range loads {
		if l.Interrupted == 0 {
			cases = append(cases, fmt.Sprintf("load %d of %d, program %s", i+1, len(loads), l.Program))
		}
	}
	return finding("not-synchronised", "code was written beside other code, and the other processor was not told", cases)
}

// Lined holds if the code of a program's source lines is where its functions are:
// that of each function's first line where the function begins, that of its others
// behind it and before its end. lines are as many for each function, in the order of
// functions.
func Lined(program bpf.Info, lines []uint64) []wire.Finding {
	n := len(program.Functions)
	if n == 0 || len(lines) == 0 || len(lines)%n != 0 {
		return finding("lines", titleLines, []string{fmt.Sprintf("program %d: %d functions, %d lines", program.ID, n, len(lines))})
	}
	var cases []string
	each := len(lines) / n
	for i, f := range program.Functions {
		last := f.Address
		for j, at := range lines[i*each : (i+1)*each] {
			if j == 0 && at != f.Address || j > 0 && at <= last || at >= f.Address+uint64(f.Bytes) {
				cases = append(cases, fmt.Sprintf("program %d, function %d at %#x, of %d bytes: line %d at %#x", program.ID, i, f.Address, f.Bytes, j+1, at))
			}
			last = at
		}
	}
	return finding("lines", titleLines, cases)
}

const titleLines = "the kernel tells that code of source lines is where the program's is not"

// Named holds if the kernel's symbols of programs are the programs' functions:
// each function has one at its beginning, and there are none besides.
func Named(images []Image, symbols []probe.Symbol) []wire.Finding {
	at := map[uint64]bool{}
	for _, s := range symbols {
		// The kernel's own functions have such names, too, and what leads to programs
		// has others.
		if s.Module == "bpf" && strings.HasPrefix(s.Name, "bpf_prog_") {
			at[s.Address] = true
		}
	}
	var missing, stale []string
	for _, im := range images {
		if !at[im.Start] {
			missing = append(missing, im.String())
		}
		delete(at, im.Start)
	}
	for _, s := range symbols {
		if at[s.Address] {
			stale = append(stale, fmt.Sprintf("%s at %#x", s.Name, s.Address))
		}
	}
	list := finding("symbols", "programs' code has no symbol in /proc/kallsyms", missing)
	return append(list, finding("symbols", "/proc/kallsyms has symbols of programs where none are", stale)...)
}

// Coded holds if there is code where the kernel's symbols of JIT code are. code is what
// is in memory at each symbol's address, and empty where nothing is mapped. Where
// illegal instructions are zeros, memory that was never written counts as code.
func Coded(t Text, symbols []probe.Symbol, code map[uint64][]byte) []wire.Finding {
	var cases []string
	for _, s := range symbols {
		b := code[s.Address]
		switch {
		case len(b) == 0:
			cases = append(cases, fmt.Sprintf("%s at %#x, where nothing is mapped", s.Name, s.Address))
		case t.Illegal != 0 && bytes.Count(b, []byte{t.Illegal}) == len(b):
			cases = append(cases, fmt.Sprintf("%s at %#x, where there are illegal instructions", s.Name, s.Address))
		}
	}
	return finding("symbols", "/proc/kallsyms has symbols where there is no code", cases)
}
