// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"bytes"
	"fmt"

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

// Named holds if the kernel's symbols of programs are the programs' functions:
// each function has one at its beginning, and there are none besides.
func Named(images []Image, symbols []probe.Symbol) []wire.Finding {
	at := map[uint64]bool{}
	for _, s := range symbols {
		// The kernel's own functions have such names, too.
		if s.Module == "bpf" {
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
