// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const said = `make[1]: Entering directory '/obj'
  GEN     Makefile
  CC      kernel/bpf/core.o
In file included from /src/include/linux/bpf.h:5,
                 from /src/kernel/bpf/core.c:20:
/src/include/linux/filter.h:30:2: warning: 'x' defined but not used [-Wunused-function]
   30 |  x
      |  ^
/src/kernel/bpf/core.c: In function 'f':
/src/kernel/bpf/core.c:7:1: warning: the frame size of 1040 bytes is larger than 1024 bytes [-Wframe-larger-than=]
/src/kernel/bpf/core.c:9:1: note: not a warning: of its own
/src/kernel/bpf/core.c:12: warning: Function parameter or member 'p' not described in 'f'
  CHECK   /src/kernel/bpf/core.c
/src/kernel/bpf/core.c:5:6: warning: symbol 'f' was not declared. Should it be static?
/src/kernel/bpf/core.c:6:6: error: incompatible types
  AS      arch/x86/lib/a.o
arch/x86/lib/a.o: warning: objtool: a+0x12: unreachable instruction
  LD      vmlinux
ld: warning: orphan section
  CC [M]  lib/test_bpf.o
`

func hear(t *testing.T, path, text string) *journal {
	t.Helper()
	return hearIn(t, t.TempDir(), path, text)
}

// hearIn hears a build in the tree dir.
func hearIn(t *testing.T, dir, path, text string) *journal {
	t.Helper()
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.begin(dir, "/src"); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if err := j.line(strings.TrimSuffix(line, "\n")); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func ended(t *testing.T, path, text string) *journal {
	t.Helper()
	j := hear(t, path, text)
	if err := j.end(); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestComplaints(t *testing.T) {
	j := ended(t, filepath.Join(t.TempDir(), "said"), said)
	want := Warnings{
		"CC kernel/bpf/core.o": {
			{"compiler", "include/linux/filter.h", 30, "'x' defined but not used [-Wunused-function]",
				"In file included from include/linux/bpf.h:5,\n                 from kernel/bpf/core.c:20:\ninclude/linux/filter.h:30:2: warning: 'x' defined but not used [-Wunused-function]\n   30 |  x\n      |  ^"},
			{"compiler", "kernel/bpf/core.c", 7, "the frame size of 1040 bytes is larger than 1024 bytes [-Wframe-larger-than=]",
				"kernel/bpf/core.c: In function 'f':\nkernel/bpf/core.c:7:1: warning: the frame size of 1040 bytes is larger than 1024 bytes [-Wframe-larger-than=]\nkernel/bpf/core.c:9:1: note: not a warning: of its own"},
			{"kernel-doc", "kernel/bpf/core.c", 12, "Function parameter or member 'p' not described in 'f'", "kernel/bpf/core.c:12: warning: Function parameter or member 'p' not described in 'f'"},
		},
		"CHECK kernel/bpf/core.c": {
			{"sparse", "kernel/bpf/core.c", 5, "symbol 'f' was not declared. Should it be static?", "kernel/bpf/core.c:5:6: warning: symbol 'f' was not declared. Should it be static?"},
			{"sparse", "kernel/bpf/core.c", 6, "incompatible types", "kernel/bpf/core.c:6:6: error: incompatible types"},
		},
		"AS arch/x86/lib/a.o": {{"objtool", "", 0, "arch/x86/lib/a.o: warning: objtool: a+0x12: unreachable instruction", "arch/x86/lib/a.o: warning: objtool: a+0x12: unreachable instruction"}},
		"LD vmlinux":          {{"build", "", 0, "ld: warning: orphan section", "ld: warning: orphan section"}},
	}
	if d := cmp.Diff(want, j.said); d != "" {
		t.Error(d)
	}
}

func TestWarningsSince(t *testing.T) {
	w := func(file string, line int, text string) Warning {
		return Warning{Tool: "compiler", File: file, Line: line, Text: text}
	}
	for _, tc := range []struct {
		name          string
		before, after Warnings
		want          []Warning
	}{
		{"moved", Warnings{"CC a.o": {w("a.c", 1, "x")}}, Warnings{"CC a.o": {w("a.c", 9, "x")}}, nil},
		{"larger frame", Warnings{"CC a.o": {w("a.c", 1, "frame of 1040 bytes")}}, Warnings{"CC a.o": {w("a.c", 1, "frame of 1048 bytes")}}, nil},
		{"new text", Warnings{"CC a.o": {w("a.c", 1, "x")}}, Warnings{"CC a.o": {w("a.c", 1, "y")}}, []Warning{w("a.c", 1, "y")}},
		{"one more", Warnings{"CC a.o": {w("a.c", 1, "x")}}, Warnings{"CC a.o": {w("a.c", 1, "x"), w("a.c", 5, "x")}}, []Warning{w("a.c", 5, "x")}},
		{"one less", Warnings{"CC a.o": {w("a.c", 1, "x"), w("a.c", 5, "x")}}, Warnings{"CC a.o": {w("a.c", 5, "x")}}, nil},
		{"a header, read by many", nil, Warnings{"CC a.o": {w("h.h", 1, "x")}, "CC b.o": {w("h.h", 1, "x")}}, []Warning{w("h.h", 1, "x")}},
		{"a header, read by one more", Warnings{"CC a.o": {w("h.h", 1, "x")}}, Warnings{"CC a.o": {w("h.h", 1, "x")}, "CC b.o": {w("h.h", 1, "x")}}, nil},
		{"a new object", Warnings{}, Warnings{"CC b.o": {w("b.c", 2, "x"), w("a.c", 3, "x")}}, []Warning{w("a.c", 3, "x"), w("b.c", 2, "x")}},
	} {
		if d := cmp.Diff(tc.want, tc.after.Since(tc.before)); d != "" {
			t.Errorf("%s:\n%s", tc.name, d)
		}
	}
}

// files makes empty files in dir.
func files(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What an object said stays until it is compiled again.
func TestJournalKeeps(t *testing.T) {
	path, dir := filepath.Join(t.TempDir(), "said"), t.TempDir()
	files(t, dir, "kernel/bpf/core.c", "kernel/bpf/core.o")
	ended(t, path, said)
	j := hearIn(t, dir, path, "  CC      kernel/bpf/core.o\n  LD      vmlinux\nld: warning: orphan section\n")
	if err := j.end(); err != nil {
		t.Fatal(err)
	}
	if j.said["CC kernel/bpf/core.o"] != nil || len(j.said["CHECK kernel/bpf/core.c"]) != 2 || len(j.said["LD vmlinux"]) != 1 {
		t.Errorf("said %+v", j.said)
	}
}

// What was said of a file goes with it, although its object stays.
func TestJournalForgetsWhatIsGone(t *testing.T) {
	dir, source := t.TempDir(), t.TempDir()
	files(t, source, "there.c", "head.S", "lib/other.c", "api.h")
	files(t, dir, "there.o", "gone.o", "head.o", "made.c", "made.o", "whole.o", "lib/moved.o", "failed.c")
	for object, from := range map[string]string{"there.o": source + "/there.c", "gone.o": source + "/gone.c", "head.o": source + "/head.S", "made.o": "made.c", "lib/moved.o": source + "/lib/other.c"} {
		text := "cmd_" + object + " := cc\n\nsource_" + object + " := " + from + "\n"
		if err := os.WriteFile(filepath.Join(dir, filepath.Dir(object), "."+filepath.Base(object)+".cmd"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	j := &journal{path: filepath.Join(t.TempDir(), "said"), said: Warnings{}, seen: map[string]bool{}}
	for _, step := range []string{
		"CC there.o", "CHECK there.c", "CC gone.o", "CHECK gone.c", "AS head.o", "CC made.o", "CHECK made.c", "LD whole.o", "CC lib/moved.o",
		"CC failed.o", "HDRTEST api.h", "HDRTEST gone.h", "LD vmlinux", "KSYMS .tmp_vmlinux.kallsyms1", "CC /tools/objtool/weak.o",
	} {
		j.said[step] = []Warning{{Tool: "compiler", Text: "x"}}
	}
	if err := j.begin(dir, source); err != nil {
		t.Fatal(err)
	}
	defer j.stop()
	want := []string{"AS head.o", "CC /tools/objtool/weak.o", "CC lib/moved.o", "CC made.o", "CC there.o", "CHECK made.c", "CHECK there.c",
		"HDRTEST api.h", "KSYMS .tmp_vmlinux.kallsyms1", "LD vmlinux", "LD whole.o"}
	if d := cmp.Diff(want, slices.Sorted(maps.Keys(j.said))); d != "" {
		t.Error(d)
	}
	// Not only for this build.
	again, err := openJournal(j.path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, slices.Sorted(maps.Keys(again.said))); d != "" {
		t.Errorf("kept:\n%s", d)
	}
}

// A build that is killed leaves objects that nobody heard: those go, others stay.
func TestJournalOfAKilledBuild(t *testing.T) {
	dir := t.TempDir()
	path, obj := filepath.Join(dir, "said"), filepath.Join(dir, "obj")
	ended(t, path, "  CC      old.o\nold.c:1:1: warning: old [-W]\n")
	files(t, obj, "old.o", "heard.o")
	j := hearIn(t, obj, path, "  CC      heard.o\nheard.c:1:1: warning: heard [-W]\n  CC      cut.o\n")
	j.stop()
	for name, at := range map[string]time.Time{"old.o": time.Now().Add(-time.Hour), "heard.o": time.Now(), "cut.o": time.Now(), "unheard.o": time.Now(), "cut.c": time.Now()} {
		p := filepath.Join(obj, name)
		if err := os.MkdirAll(obj, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, at, at); err != nil {
			t.Fatal(err)
		}
	}
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.begin(obj, "/src"); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(obj, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if d := cmp.Diff([]string{"cut.c", "heard.o", "old.o"}, left); d != "" {
		t.Error(d)
	}
	if len(j.said["CC heard.o"]) != 1 || len(j.said["CC old.o"]) != 1 {
		t.Errorf("said %+v", j.said)
	}
}

func TestJournalFailure(t *testing.T) {
	text := "  CC      b.o\nb.c:1:1: error: b\nmake[2]: *** [b.o] Error 1\n  CC      c.o\nc.c:1:1: warning: c [-W]\n  CC      a.o\na.c:1:1: error: a\n  CHECK   /src/d.c\n/src/d.c:1:1: error: sparse only\nmake: *** Error 2\n"
	j := hear(t, filepath.Join(t.TempDir(), "said"), text)
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	got := j.failure()
	if strings.Contains(got, "warning: c") || strings.Contains(got, "sparse only") || strings.Index(got, "error: a") > strings.Index(got, "error: b") {
		t.Errorf("failure %q", got)
	}
	j = hear(t, filepath.Join(t.TempDir(), "said"), "  GEN     Makefile\nmake: *** No rule to make target 'x'.  Stop.\n")
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	if got := j.failure(); !strings.Contains(got, "No rule") {
		t.Errorf("failure %q", got)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add(said)
	f.Add("  CC  a.o\nx:1:2: error: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "said")
		j := ended(t, path, text)
		again, err := openJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(j.said.All(), again.said.All()); d != "" && isText(text) {
			t.Error(d)
		}
		if n := len(again.said.Since(j.said)); n != 0 && isText(text) {
			t.Errorf("%d warnings are new to themselves", n)
		}
	})
}

// isText: what is no UTF-8 changes on its way through JSON.
func isText(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.ContainsRune(s, '\uFFFD')
}
