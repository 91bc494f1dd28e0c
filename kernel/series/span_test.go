// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"packtest/internal/fault"
	"packtest/internal/proc"
	"packtest/kernel/git"
)

// userTree is a git tree as a user has it: a work tree, a configuration of its
// own that would spoil patches, and a branch "mine" with mbox's patches on base.
func userTree(t *testing.T, mbox string) (dir string, r git.Repo, base, mine string) {
	t.Helper()
	ctx := context.Background()
	from, base := repo(t)
	s, err := Open(filepath.Join("testdata/mbox", mbox))
	if err != nil {
		t.Fatal(err)
	}
	if mine, err = Apply(ctx, from, base, []Series{s}); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Run(ctx, "update-ref", "refs/heads/mine", mine); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	userGit(t, dir, "clone", "--quiet", "--branch=mine", from.Dir, ".")
	for _, kv := range []string{"diff.noprefix=true", "format.signOff=true", "format.pretty=oneline", "format.attach=true", "format.coverLetter=true", "user.name=X", "user.email=x@localhost"} {
		k, v, _ := strings.Cut(kv, "=")
		userGit(t, dir, "config", k, v)
	}
	r = git.Repo{Dir: filepath.Join(t.TempDir(), "git")}
	if err := r.Init(ctx, filepath.Join(dir, ".git", "objects")); err != nil {
		t.Fatal(err)
	}
	return dir, r, base, mine
}

func userGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	r, err := proc.Run(context.Background(), proc.Cmd{Argv: append([]string{"git", "-C", dir}, args...), Env: git.Env()})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(r.Stdout))
}

func TestSpan(t *testing.T) {
	ctx := context.Background()
	dir, r, base, mine := userTree(t, "plain.mbox")
	// What is not committed does not count, and stays.
	if err := os.WriteFile(filepath.Join(dir, "core.c"), []byte("edited\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := userGit(t, dir, "status", "--porcelain=v2", "--branch") + userGit(t, dir, "for-each-ref")
	for _, text := range []string{base + "..mine", "mine~3..", "HEAD~3..HEAD"} {
		sp, err := OpenSpan(ctx, dir, text)
		if err != nil {
			t.Fatal(err)
		}
		if sp.Base() != base {
			t.Errorf("%s: base %s, want %s", text, sp.Base(), base)
		}
		s, err := sp.Load(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Apply(ctx, r, sp.Base(), []Series{s}); err != nil || got != mine {
			t.Errorf("%s: applied it is %s, %v, want the branch's own commit %s", text, got, err, mine)
		}
		if s.Patches[1].Name != "0002-core-z-hle-auf-Deutsch-at-least-where-it-is-about-th.patch" {
			t.Errorf("name %q", s.Patches[1].Name)
		}
	}
	if after := userGit(t, dir, "status", "--porcelain=v2", "--branch") + userGit(t, dir, "for-each-ref"); after != before {
		t.Errorf("the user's tree was changed: %s", after)
	}
}

func TestSpanRefuses(t *testing.T) {
	ctx := context.Background()
	dir, r, base, mine := userTree(t, "plain.mbox")
	empty := userGit(t, dir, "commit-tree", mine+"^{tree}", "-p", mine, "-m", "empty")
	tree := userGit(t, dir, "rev-parse", base+"^{tree}")
	side := userGit(t, dir, "commit-tree", tree, "-p", base, "-m", "side")
	merge := userGit(t, dir, "commit-tree", mine+"^{tree}", "-p", base, "-p", mine, "-m", "a merge")
	root := userGit(t, dir, "commit-tree", tree, "-m", "of another root")
	for text, want := range map[string]string{
		"mine":              `"mine" is not of the form BASE..HEAD`,
		"..mine":            "not of the form",
		"a...b":             "not of the form",
		"gone..mine":        `has no revision "gone"`,
		base + "..gone":     `has no revision "gone"`,
		"--help..mine":      `has no revision "--help"`,
		"mine..mine":        "the range mine..mine is empty",
		base + ".." + merge: "holds a merge, which is no patch",
		root + "..mine":     "no commit in common",
		base + ".." + side:  "changes nothing, which is no patch",
		base + ".." + empty: "changes nothing, which is no patch",
	} {
		sp, err := OpenSpan(ctx, dir, text)
		if err == nil {
			_, err = sp.Load(ctx, r)
		}
		if err == nil || !strings.Contains(err.Error(), want) || fault.Of(err) != fault.Input {
			t.Errorf("%s: %v, want an input error with %q", text, err, want)
		}
	}
}

func TestPlace(t *testing.T) {
	ctx := context.Background()
	dir, _, base, mine := userTree(t, "plain.mbox")
	sp, err := OpenSpan(ctx, dir, "mine~3..mine")
	if err != nil {
		t.Fatal(err)
	}
	on := func(c string) Series { return Series{Name: "v6", BaseCommit: c} }
	for _, tc := range []struct {
		name  string
		list  []Series
		spans []Span
		want  string // the commit, or part of the error
		wrong bool
	}{
		{"nothing says", []Series{{Name: "v6"}}, nil, "", false},
		{"base-commit", []Series{on(base[:12])}, nil, base, false},
		{"range", nil, []Span{sp}, base, false},
		{"both, the same", []Series{on(base)}, []Span{sp}, base, false},
		{"both, others", []Series{on(mine)}, []Span{sp}, "the range mine~3..mine was made on commit " + base[:12] + ", v6 on " + mine[:12], true},
		{"not in the tree", []Series{on("0123456789abcdef0123456789abcdef01234567")}, nil, "v6 was made on commit 0123456789abcdef0123456789abcdef01234567, which " + dir + " does not have", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Place(ctx, dir, tc.list, tc.spans)
			if tc.wrong != (err != nil) || !tc.wrong && got != tc.want {
				t.Fatalf("Place = %q, %v; want %q", got, err, tc.want)
			}
			if err != nil && (!strings.Contains(err.Error(), tc.want) || fault.Of(err) != fault.Input || !strings.Contains(fault.HintOf(err), "@REV")) {
				t.Errorf("Place = %v (%s), want %q", err, fault.HintOf(err), tc.want)
			}
		})
	}
}

func TestCheckBase(t *testing.T) {
	ctx := context.Background()
	dir, r, base, mine := userTree(t, "plain.mbox")
	patch, err := r.Run(ctx, "show", mine+"~2")
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.RunInput(ctx, strings.NewReader(patch+"\n"), nil, "patch-id", "--stable")
	if err != nil {
		t.Fatal(err)
	}
	id := strings.Fields(out)[0]
	sp, err := OpenSpan(ctx, dir, "mine~3..mine")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := sp.Load(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	needs := func(on string, ids ...string) Series {
		return Series{Name: "v6", BaseCommit: on, Prerequisites: ids}
	}
	other := strings.Repeat("ab", 20)
	for _, tc := range []struct {
		name  string
		base  string
		tree  bool
		stack []Series
		note  string
		wrong string
	}{
		{"nothing asked for", base, true, []Series{{Name: "v6"}}, "", ""},
		{"on its base-commit", base, true, []Series{needs(base)}, "", ""},
		{"on another", mine, true, []Series{needs(base)}, "v6 was made on commit " + base[:12] + " and is applied on " + mine[:12], ""},
		{"on one the tree lacks", mine, true, []Series{needs(other)}, "which the tree does not have", ""},
		{"on a package", base, false, []Series{needs(base)}, "can't be told", ""},
		{"met by the tree", mine, true, []Series{needs(base, id)}, "is applied on", ""},
		{"met by the stack", base, true, []Series{plain, needs(base, id)}, "", ""},
		{"met by the stack on a package", base, false, []Series{plain, needs("", id)}, "", ""},
		{"unmet", base, true, []Series{needs(base, id)}, "", "series v6 needs a patch that is not applied: prerequisite-patch-id " + id},
		{"one of two unmet", mine, true, []Series{needs(base, id, other)}, "", "prerequisite-patch-id " + other},
		{"behind in the stack", base, true, []Series{needs(base, id), plain}, "", "not applied"},
		{"no history to search", mine, false, []Series{needs(base, id)}, "", "not applied"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			notes, err := CheckBase(ctx, r, tc.base, tc.tree, tc.stack)
			if tc.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wrong) || fault.Of(err) != fault.Input {
					t.Errorf("err = %v, want %q", err, tc.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(notes, "\n"); !strings.Contains(got, tc.note) || (tc.note == "") != (got == "") {
				t.Errorf("notes %q, want %q", got, tc.note)
			}
		})
	}
}

func TestTrailers(t *testing.T) {
	s, err := Open("testdata/mbox/base.mbox")
	if err != nil {
		t.Fatal(err)
	}
	if s.BaseCommit != "0123456789abcdef0123456789abcdef01234567" || len(s.Prerequisites) != 1 || s.Prerequisites[0] != "00112233445566778899aabbccddeeff00112233" {
		t.Errorf("base-commit %s, prerequisites %s", s.BaseCommit, s.Prerequisites)
	}
	if err := s.trailers([]byte("base-commit: 0123456789abcdef0123456789abcdef01234567\nprerequisite-message-id: <x@y>\n")); err != nil || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "prerequisite-message-id <x@y>, which can't be checked") {
		t.Errorf("%v, notes %q", err, s.Notes)
	}
}
