// SPDX-License-Identifier: GPL-2.0-or-later

package plugin

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"packtest/internal/need"
	"packtest/internal/proc"
)

// The names of insn.h's numbers.
const (
	nothing = iota
	markBegin
	markLap
	markEnd
	flushAll
	flushPage
	flushCR3
	flushCR4
	flushINVPCID
	flushIPTE
	flushOther
	flushSpace
)

// TestDecode goes through the decoder of src/insn.c, compiled with a main of its
// own and a sanitizer that reports reads beyond an instruction.
func TestDecode(t *testing.T) {
	need.Commands(t, "gcc")
	exe := filepath.Join(t.TempDir(), "decode")
	_, err := proc.Run(t.Context(), proc.Cmd{Argv: []string{
		"gcc", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover", "-Isrc", "-o", exe, "testdata/decode.c", "src/insn.c",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for arch, cases := range map[string][]struct {
		bytes, asm string
		what, reg  int
	}{
		"x86_64": {
			{"0f1f840031627470", "the begin mark", markBegin, 0},
			{"0f1f8400316c7470", "the lap mark", markLap, 0},
			{"0f1f840031657470", "the end mark", markEnd, 0},
			{"0f1f840070746231", "the begin mark, big-endian", nothing, 0},
			{"0f1f840000000000", "nopl 0(%rax,%rax,1)", nothing, 0},
			{"660f1f840031627470", "nopw with the begin mark's number", nothing, 0},
			{"0f22d8", "mov %rax,%cr3", flushCR3, 0},
			{"0f22df", "mov %rdi,%cr3", flushCR3, 7},
			{"410f22db", "mov %r11,%cr3", flushCR3, 11},
			{"0f2218", "mov %rax,%cr3, mod bits clear", flushCR3, 0},
			{"0f20d8", "mov %cr3,%rax", nothing, 0},
			{"0f22e1", "mov %rcx,%cr4", flushCR4, 1},
			{"0f22c0", "mov %rax,%cr0", nothing, 0},
			{"440f22c0", "mov %rax,%cr8", nothing, 0},
			{"440f22d8", "mov to a control register 11", nothing, 0},
			{"0f0138", "invlpg (%rax)", flushPage, 0},
			{"410f013b", "invlpg (%r11)", flushPage, 0},
			{"650f013c2500000000", "invlpg %gs:0", flushPage, 0},
			{"0f01f8", "swapgs", nothing, 0},
			{"0f0130", "lmsw (%rax)", nothing, 0},
			{"660f388208", "invpcid (%rax),%rcx", flushINVPCID, 1},
			{"66440f388218", "invpcid (%rax),%r11", flushINVPCID, 11},
			{"0f388208", "no invpcid without its prefix", nothing, 0},
			{"66660f22d8", "mov to cr3 behind prefixes", flushCR3, 0},
			{"0f", "a cut-off instruction", nothing, 0},
			{"0f22", "a cut-off instruction", nothing, 0},
			{"41", "a cut-off instruction", nothing, 0},
			{"660f3882", "a cut-off instruction", nothing, 0},
			{"6666666666", "prefixes alone", nothing, 0},
		},
		"s390x": {
			{"c00470746231", "the begin mark", markBegin, 0},
			{"c00470746c31", "the lap mark", markLap, 0},
			{"c00470746531", "the end mark", markEnd, 0},
			{"c00431627470", "the begin mark, little-endian", nothing, 0},
			{"c0f470746231", "jg with the begin mark's number", nothing, 0},
			{"b20d0000", "ptlb", flushAll, 0},
			{"b2210056", "ipte %r5,%r6", flushPage, 0},
			{"b2210156", "ipte %r5,%r6,0,1", flushPage, 0},
			{"b2217056", "ipte %r5,%r6,%r7", flushIPTE, 7},
			{"b98e3041", "idte %r4,%r3,%r1", flushOther, 0},
			{"b98f3041", "crdte %r4,%r3,%r1", flushOther, 0},
			{"b250008a", "csp %r8,%r10", flushOther, 0},
			{"b98a008a", "cspg %r8,%r10", flushOther, 0},
			{"eb110000002f", "lctlg %c1,%c1,0", flushSpace, 0},
			{"eb000000002f", "lctlg %c0,%c0,0", nothing, 0},
			{"eb260000002f", "lctlg %c2,%c6,0", nothing, 0},
			{"eb270000002f", "lctlg %c2,%c7,0", flushSpace, 0},
			{"eb8c0000002f", "lctlg %c8,%c12,0", nothing, 0},
			{"ebe10000002f", "lctlg %c14,%c1,0", flushSpace, 0},
			{"ebe00000002f", "lctlg %c14,%c0,0", nothing, 0},
			{"eb1100000025", "stctg %c1,%c1,0", nothing, 0},
			{"b7dd0000", "lctl %c13,%c13,0", flushSpace, 0},
			{"b7000000", "lctl %c0,%c0,0", nothing, 0},
			{"b6110000", "stctl %c1,%c1,0", nothing, 0},
			{"07fe", "br %r14", nothing, 0},
		},
	} {
		var in strings.Builder
		for _, c := range cases {
			fmt.Fprintln(&in, c.bytes)
		}
		r, err := proc.Run(t.Context(), proc.Cmd{Argv: []string{exe, arch}, Stdin: strings.NewReader(in.String())})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSpace(string(r.Stdout)), "\n")
		if len(got) != len(cases) {
			t.Fatalf("%d answers for %d instructions:\n%s", len(got), len(cases), r.Stdout)
		}
		for i, c := range cases {
			if want := fmt.Sprintf("%d %d", c.what, c.reg); got[i] != want {
				t.Errorf("%s: %s (%s): %s, want %s", arch, c.asm, c.bytes, got[i], want)
			}
		}
	}
}
