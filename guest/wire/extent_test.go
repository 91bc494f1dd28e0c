// SPDX-License-Identifier: GPL-2.0-or-later

package wire

import (
	"slices"
	"strings"
	"testing"
)

func TestShapes(t *testing.T) {
	for _, tc := range []struct{ evidence, want string }{
		{"cases: 2\n0x1000-0x2000\n0x3000-0x5000", "#-#|cases: #"},
		{"program 5 (xdp) 0xffffffffa0001000-0xffffffffa0001010, the page at 0xffffffffa0001000", "program # (xdp) #-#, the page at #"},
		{"0xffffffffa0000100: length 8, 6f 6c 64 20 ff; 3 behind program 2 (xdp) 0x1-0x2", "#: length #, #; # behind program # (xdp) #-#"},
		{"slab kmalloc-64: [64 128] bytes after each round of 7 programs", "slab kmalloc-64: [# #] bytes after each round of # programs"},
		{"slab kmalloc-rcl-2k: [1]", "slab kmalloc-rcl-2k: [#]"},
		{"bpf_jit_current, in bytes: -4096 after all", "bpf_jit_current, in bytes: -# after all"},
		{"bpf_prog_0123456789abcdef_f at 0x1", "bpf_prog_#_f at #"},
		{"b\na\nb", "a|b"},
	} {
		if got := strings.Join(Shapes(tc.evidence), "|"); got != tc.want {
			t.Errorf("%q has the shapes %q, want %q", tc.evidence, got, tc.want)
		}
	}
}

func TestExtent(t *testing.T) {
	var e Extent
	if e.Covers("cases: 1\nprogram 1 (xdp)") {
		t.Error("nothing covers something")
	}
	e.Add("cases: 1\nprogram 1 (xdp)", 1)
	e.Add("cases: 2\nprogram 7 (kprobe)\nprogram 8 (xdp)", 2)
	e.Add("cases: 1\nprogram 1 (xdp)", 1)
	covers := func(list ...string) bool { return e.Covers("cases: 9\n" + strings.Join(list, "\n")) }
	if e.Cases != 2 || !covers("program 3 (kprobe)") || !covers("program 3 (xdp)", "and 8 more") || covers("program 3 (xdp)", "program 4 (sched_cls)") {
		t.Errorf("%+v", e)
	}
	e.Add("cases: 12\nprogram 1 (xdp)\nand 11 more", 12)
	if !covers("program 4 (sched_cls)") || !slices.Contains(Shapes("and 11 more"), cutLine) {
		t.Errorf("%+v", e)
	}
}
