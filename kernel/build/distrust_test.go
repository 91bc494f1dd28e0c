// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packtest/internal/cache"
	"packtest/internal/need"
	"packtest/internal/proc"
	"packtest/kernel/git"
	"packtest/kernel/source"
)

// toyMakefile makes an image of two source files as kbuild would, or nothing if
// the build tree has a file called idle.
const toyMakefile = `VERSION = 6
PATCHLEVEL = 1
allnoconfig prepare:
	@touch $(O)/.config
bzImage: $(if $(wildcard $(O)/idle),,$(O)/image)
$(O)/image: $(O)/a.o $(O)/b.o
	cat $^ > $@
$(O)/%.o: %.c
	@echo "  CC      $*.o"
	cp $< $@
	echo 'source_$*.o := $(abspath $<)' > $(O)/.$*.o.cmd
`

// toyTree makes a git tree with a commit for each text of a.c.
func toyTree(t *testing.T, texts ...string) (dir string, commits []string) {
	t.Helper()
	need.Commands(t, "git", "make")
	dir = t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		r, err := proc.Run(t.Context(), proc.Cmd{Argv: append([]string{"git", "-c", "user.name=a", "-c", "user.email=a@b.c"}, args...), Dir: dir, Env: git.Env()})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(r.Stdout))
	}
	run("init", "--quiet")
	for _, text := range texts {
		for name, text := range map[string]string{"Makefile": toyMakefile, "a.c": text, "b.c": "b\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		run("add", ".")
		run("commit", "--quiet", "--allow-empty", "-m", text)
		commits = append(commits, run("rev-parse", "HEAD"))
	}
	return dir, commits
}

// A build tree that can't be trusted is made anew, and what comes out of it is
// what was asked for.
func TestDistrust(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*testing.T, *buildTree)
		says  string
		built int // objects, the second time
	}{
		"nothing wrong": {func(*testing.T, *buildTree) {}, "", 1},
		"the clock was put back": {func(t *testing.T, tree *buildTree) {
			later := time.Now().Add(time.Hour)
			err := filepath.WalkDir(tree.dir, func(p string, _ fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return os.Chtimes(p, later, later)
			})
			if err != nil {
				t.Fatal(err)
			}
		}, "clock was put back", 2},
		"make compiles nothing": {func(t *testing.T, tree *buildTree) {
			if err := os.WriteFile(filepath.Join(tree.dir, "idle"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "none of 1 objects", 2},
		"by another linker": {func(t *testing.T, tree *buildTree) {
			tree.Toolchain = "gcc 12; ld 2.39"
			if err := tree.save(); err != nil {
				t.Fatal(err)
			}
		}, "built by gcc 12; ld 2.39", 2},
		"by whoever built it before that was noted": {func(t *testing.T, tree *buildTree) {
			tree.Toolchain = ""
			if err := tree.save(); err != nil {
				t.Fatal(err)
			}
		}, "", 1},
		"the commit is gone": {func(t *testing.T, tree *buildTree) {
			tree.Commits = []string{strings.Repeat("1", 40)}
			if err := tree.save(); err != nil {
				t.Fatal(err)
			}
		}, "no longer in git", 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir, commits := toyTree(t, "one\n", "two\n")
			c, err := cache.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			base, err := source.Resolve(t.Context(), c, "tree:"+dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			build := func(commit string) (string, int) {
				t.Helper()
				cell := Cell{Arch: "x86_64", Variant: "pack", Config: "measure", Base: base, Commit: commit}
				tree, err := openTree(c, cell, "")
				if err != nil {
					t.Fatal(err)
				}
				b := &builder{cell: cell, tree: tree, toolchain: "gcc 12; ld 2.40", opts: Options{Jobs: 1, Progress: func(Progress) {}, Say: func(s string) { said = append(said, s) }}}
				if err := b.run(context.Background(), ""); err != nil {
					t.Fatal(err)
				}
				image, err := os.ReadFile(filepath.Join(tree.dir, "image"))
				if err != nil {
					t.Fatal(err)
				}
				tc.spoil(t, tree)
				return string(image), b.count.done
			}
			if image, _ := build(commits[0]); image != "one\nb\n" {
				t.Fatalf("the first image is %q", image)
			}
			image, built := build(commits[1])
			if image != "two\nb\n" || built != tc.built {
				t.Errorf("the second image is %q, of %d objects compiled then, want %d", image, built, tc.built)
			}
			if got := strings.Join(said, "\n"); !strings.Contains(got, tc.says) || tc.says == "" && got != "" {
				t.Errorf("it said %q, want %q", got, tc.says)
			}
		})
	}
}
