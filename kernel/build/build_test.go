// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packtest/internal/fault"
	"packtest/kernel/kconfig"
	"packtest/kernel/series"
)

func stack() []series.Series {
	return []series.Series{{Name: "s", Patches: []series.Patch{
		{Name: "1.patch", Files: []string{"kernel/bpf/core.c"}, Body: []byte("+	text_poke_set(a);\n")},
		{Name: "2.patch", Files: []string{"kernel/bpf/core.c", "include/linux/bpf.h"}, Body: []byte("+text_poke_settle()\n")},
	}}}
}

func TestCompileError(t *testing.T) {
	for _, tc := range []struct {
		name, stderr string
		want         CompileError
		says         string
	}{
		{"compiler", "In file included from /src/kernel/bpf/core.c:20:\n/src/include/linux/bpf.h:30:2: error: expected ';'\n   30 |  x\n" +
			"make[3]: *** [scripts/Makefile.build:250: kernel/bpf/core.o] Error 1\nmake[2]: *** [kernel] Error 2\nmake: *** [Makefile:1] Error 2\n",
			CompileError{File: "include/linux/bpf.h", Patches: []string{"s/2.patch"}}, "include/linux/bpf.h is changed by s/2.patch"},
		{"fatal", "/src/kernel/bpf/core.c:3:10: fatal error: x.h: No such file or directory\n",
			CompileError{File: "kernel/bpf/core.c", Patches: []string{"s/1.patch", "s/2.patch"}}, "changed by s/1.patch, s/2.patch"},
		{"nobody's", "/src/mm/slub.c:3:1: error: no\n", CompileError{File: "mm/slub.c"}, "mm/slub.c is changed by no patch of the stack"},
		{"assembler", "/src/arch/x86/entry/entry.S: Assembler messages:\n/src/arch/x86/entry/entry.S:9: Error: no such instruction\n",
			CompileError{File: "arch/x86/entry/entry.S"}, "no such instruction"},
		{"linker", "ld: vmlinux.o: in function `x':\ncore.c:(.text+0x1): undefined reference to `text_poke_set'\n",
			CompileError{Symbol: "text_poke_set", Patches: []string{"s/1.patch"}}, "text_poke_set is mentioned by s/1.patch"},
		{"modpost", "ERROR: modpost: \"text_poke_settle\" [lib/test_bpf.ko] undefined!\n",
			CompileError{Symbol: "text_poke_settle", Patches: []string{"s/2.patch"}}, "mentioned by s/2.patch"},
		{"only make", "make: *** No rule to make target 'x'.  Stop.\n", CompileError{}, "No rule to make target"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := compileError(Cell{Arch: "s390x", Variant: "pack", Config: "measure", Stack: stack()}, "/src", tc.stderr)
			var e *CompileError
			if !errors.As(err, &e) {
				t.Fatalf("compileError = %v", err)
			}
			tc.want.Cell, tc.want.Output = "pack/s390x/measure", e.Output
			if d := cmp.Diff(tc.want, *e); d != "" {
				t.Error(d)
			}
			if strings.Contains(e.Output, "make[3]") || strings.Contains(e.Output, "/src/") || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("it says %q, want %q in it, no make and no folder of the machine", err, tc.says)
			}
			if fault.Of(err) != fault.Kernel {
				t.Errorf("fault = %v", fault.Of(err))
			}
		})
	}
}

// Whatever is killed, or gets no memory, is no fault of the kernel's, however make
// ends; what a compiler quotes of a source file is no such word.
func TestKilledTools(t *testing.T) {
	for name, tc := range map[string]struct {
		says string // make's words, to standard error
		ends string // how it ends
		want fault.Kind
	}{
		"compiler":          {"gcc: fatal error: Killed signal terminated program cc1\nmake: *** [Makefile:1: a.o] Error 1", "exit 2", fault.Harness},
		"compiler's memory": {"cc1: out of memory allocating 65536 bytes after a total of 1 byte", "exit 2", fault.Harness},
		"linker":            {"Killed\nmake[1]: *** [Makefile:1236: vmlinux] Error 137\nmake: *** [Makefile:1] Error 2", "exit 2", fault.Harness},
		"linker's shell":    {"scripts/link-vmlinux.sh: line 65: 12345 Killed                  ${ld} x\nmake: *** [Makefile:1] Error 2", "exit 2", fault.Harness},
		"linker's memory":   {"ld: final link failed: memory exhausted\nmake: *** [vmlinux] Error 1", "exit 2", fault.Harness},
		"objtool":           {"make[2]: *** [scripts/Makefile.build:422: a.o] Error 137", "exit 2", fault.Harness},
		"modpost":           {"make[1]: *** [scripts/Makefile.modpost:126: Module.symvers] Killed", "exit 2", fault.Harness},
		"terminated":        {"make[1]: *** [a.o] Terminated", "exit 2", fault.Harness},
		"shell":             {"/bin/sh: 1: Cannot fork\n/bin/sh: fork: Cannot allocate memory", "exit 2", fault.Harness},
		"make itself":       {"", "kill -9 $$", fault.Harness},
		"quoted":            {"a.c:3:1: error: no\n    3 | pr_err(\"Cannot allocate memory\");\nmake: *** [a.o] Error 1", "exit 2", fault.Kernel},
		"error":             {"a.c:137:1: error: no\nmake: *** [Makefile:137: a.o] Error 1", "exit 2", fault.Kernel},
	} {
		t.Run(name, func(t *testing.T) {
			bin, words := t.TempDir(), filepath.Join(t.TempDir(), "words")
			if err := os.WriteFile(words, []byte(tc.says+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(bin, "make"), []byte("#!/bin/sh\ncat "+words+" >&2\n"+tc.ends+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			for _, inspect := range []*inspector{nil, {}} {
				b := &builder{tree: &buildTree{dir: t.TempDir()}, inspect: inspect, opts: Options{Jobs: 1}, count: counter{now: time.Now, report: func(Progress) {}}}
				if inspect != nil {
					b.journal = &journal{}
				}
				if err := b.make(t.Context(), "bzImage"); fault.Of(err) != tc.want {
					t.Errorf("inspected %v: fault = %v, want %v: %v", inspect != nil, fault.Of(err), tc.want, err)
				}
			}
		})
	}
}

func TestToolError(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	a, err := archOf("s390x")
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.toolchain(context.Background(), false)
	var e *ToolError
	if !errors.As(err, &e) || fault.Of(err) != fault.Harness || !strings.Contains(err.Error(), "apt-get install --no-install-recommends bc binutils") {
		t.Errorf("toolchain = %v", err)
	}
	if a.prefix != "" && !strings.Contains(err.Error(), "gcc-s390x-linux-gnu") {
		t.Errorf("the cross compiler's package is not named: %v", err)
	}
	if strings.Contains(err.Error(), "dwarves") {
		t.Errorf("pahole is asked for without need: %v", err)
	}
	types, perr := kconfig.Parse("btf", "CONFIG_DEBUG_INFO_BTF=y\n")
	if perr != nil {
		t.Fatal(perr)
	}
	if _, err = a.toolchain(context.Background(), asks([]kconfig.Fragment{types}, "DEBUG_INFO_BTF")); err == nil || !strings.Contains(err.Error(), "dwarves") {
		t.Errorf("pahole's package is not named: %v", err)
	}
}

func TestUnknownArch(t *testing.T) {
	if _, err := archOf("sparc"); fault.Of(err) != fault.Input {
		t.Errorf("archOf = %v", err)
	}
}

func TestCounter(t *testing.T) {
	now := time.Unix(0, 0)
	var last Progress
	calls := 0
	c := counter{now: func() time.Time { return now }, report: func(p Progress) { last = p; calls++ }}
	repeat := func(n int, line string) {
		for range n {
			c.line(line)
		}
	}
	check := func(want Progress) {
		t.Helper()
		if d := cmp.Diff(want, last); d != "" {
			t.Error(d)
		}
	}
	for _, quiet := range []string{"  HOSTCC  scripts/x.o", "  CC      /abs/objtool/check.o", "  GEN     Makefile", "  CC      foo.s", "warning", "  AR      built-in.a"} {
		c.line(quiet)
	}
	if calls != 0 {
		t.Fatalf("%d lines that are no objects were reported, the last as %+v", calls, last)
	}
	repeat(2, "  CC      scripts/mod/empty.o")
	check(Progress{Done: 2, ETA: -1, What: "scripts/mod/empty.o"})
	now = now.Add(time.Hour) // what came before says nothing about the rate
	c.begin(40)
	repeat(19, "  AS      arch/x86/head.o")
	check(Progress{Done: 21, Total: 42, ETA: -1, What: "arch/x86/head.o"})
	now = now.Add(10 * time.Second)
	c.line("  CC [M]  lib/test_bpf.o")
	check(Progress{Done: 22, Total: 42, ETA: 10 * time.Second, What: "lib/test_bpf.o"})
	c.line("  LD      vmlinux.o")
	check(Progress{Done: 22, Total: 42, ETA: 10 * time.Second, What: "LD vmlinux.o"})
	repeat(23, "  CC      x.o")
	check(Progress{Done: 45, Total: 45, What: "x.o"})
	repeat(2, "  CC      x.o")
	check(Progress{Done: 47, ETA: -1, What: "x.o"})

	c.begin(1)
	repeat(30, "  CC      x.o")
	check(Progress{Done: 77, ETA: -1, What: "x.o"})
}

func TestDryObject(t *testing.T) {
	const said = `set -e;  echo '  CC      init/main.o'; gcc -c
echo '  CC [M]  lib/test_bpf.o';  echo '  AS      a/b.o'
set -e;  echo '  CC      /abs/tools/x.o'; echo '  HOSTCC  scripts/y.o'; echo '  AR      a.a'`
	n := 0
	w := lineFunc(func(l string) { n += len(dryObject.FindAllString(l, -1)) })
	for _, piece := range strings.SplitAfter(said+"\n", "t") { // in pieces, as a pipe has it
		if _, err := w.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if n != 3 {
		t.Errorf("counted %d objects, want 3", n)
	}
}

// The dry run of a build that is inspected takes the same flags as the build:
// without them make would count every object, as made by another command.
func TestDryRunIsInspected(t *testing.T) {
	bin := t.TempDir()
	const script = `#!/bin/sh
given=
for arg; do case $arg in W=1|C=1) given=$given$arg;; esac; done
case $given in
W=1C=1) objects=a;;
W=1) objects="a b";;
*) objects="a b c";;
esac
for o in $objects; do echo "echo '  CC      lib/$o.o'"; done
`
	if err := os.WriteFile(filepath.Join(bin, "make"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for _, tc := range []struct {
		inspect *inspector
		want    int
	}{{nil, 3}, {&inspector{}, 2}, {&inspector{sparse: "0.6.4"}, 1}} {
		b := &builder{tree: &buildTree{dir: t.TempDir()}, inspect: tc.inspect}
		if got := b.dryRun(t.Context()); got != tc.want {
			t.Errorf("%+v: %d objects, want %d", tc.inspect, got, tc.want)
		}
	}
}

// After a build that was killed nothing half-written may survive.
func TestMend(t *testing.T) {
	dir := t.TempDir()
	before := time.Unix(1700000000, 0)
	put := func(name string, at time.Duration) {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, before.Add(at), before.Add(at)); err != nil {
			t.Fatal(err)
		}
	}
	gone := map[string]bool{}
	for _, f := range []struct {
		name, cmd string
		later     time.Duration // the object's time minus its command's
		gone      bool
	}{
		{"a/done.o", "a/.done.o.cmd", -time.Second, false},
		{"a/half.o", "a/.half.o.cmd", time.Second, true},
		{"a/first.o", "", 0, true},
		{"a/built-in.a", "a/.built-in.a.cmd", -time.Second, true},
		{"vmlinux", ".vmlinux.cmd", -time.Second, true},
		{"arch/x86/boot/bzImage", "arch/x86/boot/.bzImage.cmd", -time.Second, true},
		{"lib/test_bpf.ko", "", 0, true},
		{"scripts/fixdep", "scripts/.fixdep.cmd", -time.Second, false},
		{"scripts/half", "scripts/.half.cmd", time.Second, true},
		{"include/generated/autoconf.h", "", 0, false},
		{".config", "", 0, false},
	} {
		put(f.name, f.later)
		if f.cmd != "" {
			put(f.cmd, 0)
		}
		gone[f.name] = f.gone
	}
	tree := &buildTree{dir: dir}
	if err := tree.mend(); err != nil {
		t.Fatal(err)
	}
	for name, want := range gone {
		_, err := os.Stat(filepath.Join(dir, name))
		if got := err != nil; got != want {
			t.Errorf("%s: gone = %v, want %v", name, got, want)
		}
	}
}

func TestTreeState(t *testing.T) {
	top := t.TempDir()
	tree := &buildTree{dir: top, state: filepath.Join(top, "state.json")}
	steps := []struct {
		do         func() error
		commits    []string
		unfinished bool
	}{
		{func() error { return tree.begin("a", "gcc") }, []string{"a"}, true},
		{func() error { return tree.begin("b", "gcc") }, []string{"a", "b"}, true},
		{func() error { return tree.begin("b", "gcc") }, []string{"a", "b"}, true},
		{func() error { return tree.end("b") }, []string{"b"}, false},
	}
	for i, s := range steps {
		if err := s.do(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s.commits, tree.Commits); d != "" || tree.Unfinished != s.unfinished {
			t.Errorf("step %d: %s unfinished %v", i, d, tree.Unfinished)
		}
	}
}

func TestDependents(t *testing.T) {
	dir, source := t.TempDir(), t.TempDir()
	put := func(p, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		".a.o.cmd":     "cmd_a.o := gcc -c /src/a.c\n\nsource_a.o := /src/a.c\n\ndeps_a.o := \\\n    $(wildcard include/config/X) \\\n  /src/include/h.h \\\n\n",
		"sub/.b.o.cmd": "source_sub/b.o := /src/sub/b.c\n\ndeps_sub/b.o := \\\n  /src/include/h.h.h \\\n  /src/include/g.h \\\n",
		".gone.o.cmd":  "source_gone.o := /src/gone.c\n",
		".c.cmd":       "source_c := /src/include/h.h\n",
	} {
		put(filepath.Join(dir, name), strings.ReplaceAll(text, "/src/", source+"/"))
	}
	for _, name := range []string{"a.c", "include/h.h", "include/g.h", "none.c"} {
		put(filepath.Join(source, name), "")
	}
	for files, want := range map[string]int{"": 0, "a.c": 1, "include/h.h": 1, "include/g.h": 1, "a.c include/g.h": 2, "none.c": 0, "gone.c": 0} {
		got, err := (&buildTree{dir: dir}).dependents(source, strings.Fields(files))
		if err != nil || got != want {
			t.Errorf("dependents(%s) = %d, %v, want %d", files, got, err, want)
		}
	}
}
