// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/kconfigs"
	"packtest/kernel/git"
	"packtest/kernel/series"
	"packtest/kernel/source"
	"packtest/patches"
	"packtest/plan"
)

func seriesLab(t *testing.T) *Lab {
	t.Helper()
	need.Commands(t, "git")
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Lab{Cache: c, Patches: patches.FS(), Kconfigs: kconfigs.FS()}
}

// planOf is a plan of one series, as its element of a stack, on a tree.
func planOf(base, element string) *plan.Plan {
	p := plan.Default()
	p.Base = base
	p.TestOnly([]plan.Variant{{Name: plan.SeriesVariant, Stack: []string{element}}})
	return p
}

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=Jane Doe", "-c", "user.email=jane@localhost"}, args...)...)
	cmd.Env = append(os.Environ(), git.Env()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// kernelTree is a user's tree: a commit tagged v6, and two on it on the branch
// mine.
func kernelTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	commit := func(message, file, text string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		gitIn(t, dir, "add", file)
		gitIn(t, dir, "commit", "--quiet", "-m", message)
	}
	gitIn(t, dir, "init", "--quiet", "--initial-branch=mine")
	commit("base", "Makefile", "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\n")
	gitIn(t, dir, "tag", "v6")
	commit("core: begin", "core.c", "one\ntwo\n")
	commit("core: go on", "core.c", "one\ntwo\nthree\n")
	return dir
}

// threeWays writes the commits of a range as an mbox and as a folder of patches,
// and returns them and the range as elements of a stack.
func threeWays(t *testing.T, dir, span string) []string {
	t.Helper()
	out := t.TempDir()
	mbox := filepath.Join(out, "v6.mbox")
	folder := filepath.Join(out, "v6")
	if err := os.WriteFile(mbox, []byte(gitIn(t, dir, "format-patch", "--stdout", "-v6", "--base="+strings.Split(span, "..")[0], span)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, "format-patch", "--quiet", "-o", folder, "-v6", span)
	return []string{mbox, folder, "range:" + span}
}

// A series gives the same commits as an mbox, as a folder and as a range, and a
// tree that was given without a revision stands where the series was made.
func TestPrepareSeries(t *testing.T) {
	l, dir := seriesLab(t), kernelTree(t)
	base, mine := gitIn(t, dir, "rev-parse", "v6"), gitIn(t, dir, "rev-parse", "mine^{tree}")
	ways := threeWays(t, dir, "v6..mine")
	ctx := context.Background()
	commit := ""
	for _, tc := range []struct{ spec, element string }{
		{"tree:" + dir + "@v6", ways[0]}, {"tree:" + dir + "@v6", ways[1]}, {"tree:" + dir + "@v6", ways[2]},
		{"tree:" + dir, ways[0]}, {"tree:" + dir, ways[2]},
	} {
		prep, err := l.prepare(ctx, planOf(tc.spec, tc.element))
		if err != nil {
			t.Fatalf("%s on %s: %v", tc.element, tc.spec, err)
		}
		tree, err := prep.base.Git().Run(ctx, "rev-parse", prep.commits["series"]+"^{tree}")
		if err != nil || tree != mine {
			t.Errorf("%s on %s: tree %s, %v, want the branch's %s", tc.element, tc.spec, tree, err, mine)
		}
		if commit == "" {
			commit = prep.commits["series"]
		}
		if prep.base.Commit != base || prep.commits["base"] != base || prep.commits["series"] != commit {
			t.Errorf("%s on %s: base %s, series %s, want %s, %s", tc.element, tc.spec, prep.commits["base"], prep.commits["series"], base, commit)
		}
		if len(prep.notes) != 0 {
			t.Errorf("%s on %s: notes %q", tc.element, tc.spec, prep.notes)
		}
	}
}

func TestPrepareSeriesRefuses(t *testing.T) {
	l, dir := seriesLab(t), kernelTree(t)
	ways := threeWays(t, dir, "v6..mine")
	elsewhere := t.TempDir()
	gitIn(t, elsewhere, "init", "--quiet")
	for _, tc := range []struct{ name, spec, element, want, hint string }{
		{"made on a commit that isn't there", "tree:" + elsewhere, ways[0], "does not have", "@REV"},
		{"does not apply", "tree:" + dir + "@mine", ways[1], "apply v6/v6-0001-core-begin.patch: core.c: already exists in index", ""},
		{"no such range", "tree:" + dir, "range:v6..yours", `has no revision "yours"`, ""},
	} {
		_, err := l.prepare(context.Background(), planOf(tc.spec, tc.element))
		if err == nil || !strings.Contains(err.Error(), tc.want) || fault.Of(err) != fault.Input || !strings.Contains(fault.HintOf(err), tc.hint) {
			t.Errorf("%s: %v (%s), want %q", tc.name, err, fault.HintOf(err), tc.want)
		}
	}
}

// The carried series gives the same kernel source in whichever form it comes.
func TestCarriedSeriesInEveryForm(t *testing.T) {
	need.Long(t)
	need.Commands(t, "git", "xz")
	need.File(t, "/usr/src/linux-source-6.1.tar.xz")
	root, err := cache.DefaultRoot()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	debian, err := source.Resolve(ctx, c, plan.Default().Base, nil)
	if err != nil {
		t.Fatal(err)
	}
	var stack []series.Series
	var commits []string
	for _, name := range []string{"nopack", "bpf-prog-pack"} {
		s, err := series.Load(patches.FS(), PatchesFor+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		stack = append(stack, s)
		commit, err := series.Apply(ctx, debian.Git(), debian.Commit, stack)
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, commit)
	}
	l := seriesLab(t)
	for _, element := range append(threeWays(t, debian.Repo, commits[0]+".."+commits[1]), "bpf-prog-pack") {
		prep, err := l.prepare(ctx, planOf("tree:"+debian.Repo+"@"+commits[0], element))
		if err != nil {
			t.Fatalf("%s: %v", element, err)
		}
		if prep.commits["base"] != commits[0] || prep.commits["series"] != commits[1] {
			t.Errorf("%s: commits %v, want %s and %s", element, prep.commits, commits[0], commits[1])
		}
	}
}
