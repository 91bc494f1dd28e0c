// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/internal/need"
)

// linked is a program of one file in C, linked as a kernel is: with nothing else.
func linked(t *testing.T, text string) string {
	t.Helper()
	need.Commands(t, "gcc")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.c"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "gcc", "-O1", "-fno-pic", "-no-pie", "-nostdlib", "-static", "-falign-functions=256", "-fno-toplevel-reorder", "-fno-asynchronous-unwind-tables",
		"-Wl,-e0", "-Wl,--build-id=none", "-o", "vmlinux", "a.c")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "vmlinux")
}

// A function that grows into the room left to align it changes no section, and is
// seen all the same; so is data, and a function that has several names counts
// once.
func TestSizeOf(t *testing.T) {
	const text = `
volatile int zeroed[%d];
int written[100] = {1};
const int fixed[] = {1, 2, 3};
__attribute__((noinline)) void grows(int n) { %s }
__attribute__((noinline)) void stays(int n) { zeroed[1] = n; }
extern void also(int n) __attribute__((alias("stays")));
%s
void last(void) { zeroed[5] = 6; }`
	measure := func(args ...any) (Size, Symbols) {
		sections, symbols, err := sizeOf(linked(t, fmt.Sprintf(text, args...)))
		if err != nil {
			t.Fatal(err)
		}
		return sections, symbols
	}
	sections, before := measure(100, "zeroed[0] = n;", "void gone(void) { zeroed[3] = 4; }")
	if s := before.Size; s.Zero != 400 || s.Data != 400 || s.ReadOnly != 12 || s.Code < 15 || s.Code > 100 {
		t.Errorf("size %+v", s)
	}
	if _, there := before.Functions["also"]; !there || len(before.Functions) != 4 {
		t.Errorf("functions %v", before.Functions)
	}
	moreSections, after := measure(150, "zeroed[0] = n; zeroed[2] = n + 1;", "void fresh(void) { zeroed[3] = 4; zeroed[4] = 5; }")
	if sections.Code != moreSections.Code {
		t.Fatalf("the sections differ, %+v and %+v: the test shows nothing", sections, moreSections)
	}
	if after.Size.Zero != 600 || after.Size.Data != 400 {
		t.Errorf("size %+v", after.Size)
	}
	g := after.Since(before)
	if g.Added != 1 || g.Removed != 1 || g.Grown != 1 || g.Shrunk != 0 || g.Up-g.Down != after.Size.Code-before.Size.Code || g.Up <= 0 || g.Down <= 0 {
		t.Errorf("%+v; code was %d and is %d", g, before.Size.Code, after.Size.Code)
	}
	seen := map[string]bool{}
	for _, f := range g.Most {
		seen[f.Name] = f.After != f.Before
	}
	if d := cmp.Diff(map[string]bool{"grows": true, "gone": true, "fresh": true}, seen); d != "" {
		t.Error(d)
	}
}

// A kernel without symbols has no size of them, and not one of 0.
func TestSizeOfNoSymbols(t *testing.T) {
	file := linked(t, "int f(void) { return 1; }")
	if out, err := exec.CommandContext(t.Context(), "strip", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, _, err := sizeOf(file); err == nil || !strings.Contains(err.Error(), "no symbol") {
		t.Errorf("err = %v", err)
	}
	if _, _, err := sizeOf(file + "x"); err == nil || !strings.Contains(err.Error(), "measure the kernel") {
		t.Errorf("err = %v", err)
	}
}

func TestSince(t *testing.T) {
	was, is := map[string]int64{"same": 5}, map[string]int64{"same": 5}
	for i := range 20 {
		name := fmt.Sprintf("f%02d", i)
		was[name], is[name] = 100, 100+int64(i)
	}
	is["f01"], is["new"] = 60, 10
	delete(is, "f02")
	g := Symbols{Functions: is}.Since(Symbols{Functions: was})
	most := g.Most
	g.Most = nil
	up := int64(10)
	for i := 3; i < 20; i++ {
		up += int64(i)
	}
	if d := cmp.Diff(Growth{Added: 1, Removed: 1, Grown: 17, Shrunk: 1, Up: up, Down: 140}, g); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Grown{{"f02", 100, 0}, {"f01", 100, 60}, {"f19", 100, 119}}, most[:3]); d != "" || len(most) != mostGrown {
		t.Errorf("%d, %s", len(most), d)
	}
	if g := (Symbols{Functions: was}).Since(Symbols{Functions: was}); !cmp.Equal(g, Growth{}, cmp.Comparer(func(a, b []Grown) bool { return len(a) == len(b) })) {
		t.Errorf("nothing changed: %+v", g)
	}
}
