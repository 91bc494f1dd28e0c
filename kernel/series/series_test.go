// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/kernel/git"
)

const first = `From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001
From: Jane Doe <jane@example.org>
Date: Tue, 25 Jan 2022 10:20:30 +0100
Subject: [PATCH v6 1/2] core: say three instead of
 two

It is three.

Signed-off-by: Jane Doe <jane@example.org>
---
 core.c | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/core.c b/core.c
index 1111111..2222222 100644
--- a/core.c
+++ b/core.c
@@ -1,3 +1,3 @@
 one
-two
+three
 end
-- 
2.39.5

`

const second = `diff --git a/core.c b/core.c
--- a/core.c
+++ b/core.c
@@ -1,3 +1,4 @@
+zero
 one
 three
 end
diff --git a/new.h b/new.h
new file mode 100644
--- /dev/null
+++ b/new.h
@@ -0,0 +1 @@
+header
`

const misfit = `diff --git a/core.c b/core.c
--- a/core.c
+++ b/core.c
@@ -1,2 +1,3 @@
 one
+fits
 two
@@ -4,3 +5,3 @@
 four
-never there
+at all
 six
`

func folder(list string, patches ...string) fstest.MapFS {
	m := fstest.MapFS{"s/series": {Data: []byte(list)}}
	for i := 0; i < len(patches); i += 2 {
		m["s/"+patches[i]] = &fstest.MapFile{Data: []byte(patches[i+1])}
	}
	return m
}

func TestLoad(t *testing.T) {
	s, err := Load(folder("# a comment\n1.patch -p1\n\n2.patch # why\n", "1.patch", first, "2.patch", second), "s")
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "s" || len(s.Patches) != 2 || len(s.Hash) != 64 {
		t.Fatalf("Load = %+v", s)
	}
	p := s.Patches[0]
	for got, want := range map[string]string{
		p.Subject:            "core: say three instead of two",
		p.Author:             "Jane Doe <jane@example.org>",
		p.Date:               "1643102430 +0100",
		p.Message:            "core: say three instead of two\n\nIt is three.\n\nSigned-off-by: Jane Doe <jane@example.org>\n",
		s.Patches[1].Subject: "2.patch",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if d := cmp.Diff([]string{"core.c", "new.h"}, s.Patches[1].Files); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"s/2.patch"}, Touching([]Series{s}, "new.h")); d != "" {
		t.Error(d)
	}
	other, err := Load(folder("1.patch\n", "1.patch", first), "s")
	if err != nil || other.Hash == s.Hash {
		t.Errorf("another series has the same hash (%v)", err)
	}
}

func TestFirst(t *testing.T) {
	s := Series{Name: "s", Patches: []Patch{{Name: "1", Body: []byte("a")}, {Name: "2", Body: []byte("b")}, {Name: "3", Body: []byte("c")}}}
	s.Hash = hashOf(s.Patches)
	two := s.First(2)
	if two.Name != "s, 2 of 3" || len(two.Patches) != 2 || two.Patches[1].Name != "2" || two.Hash == s.Hash || two.Hash == s.First(1).Hash {
		t.Errorf("First(2) = %+v", two)
	}
	if all := s.First(3); all.Name != "s" || all.Hash != s.Hash || len(all.Patches) != 3 {
		t.Errorf("First(3) = %+v", all)
	}
	if two.Patches = append(two.Patches, Patch{Name: "x"}); s.Patches[2].Name != "3" {
		t.Error("First shares the series' patches")
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		fs   fstest.MapFS
		want string
	}{
		{"no folder", fstest.MapFS{}, "read series s"},
		{"no patches", folder("# nothing\n"), "s/series lists no patch"},
		{"missing patch", folder("1.patch\nnope.patch\n", "1.patch", first), "s/series:2: open s/nope.patch"},
		{"empty patch", folder("1.patch\n", "1.patch", "\n"), "patch 1.patch is empty"},
		{"no diff", folder("1.patch\n", "1.patch", "Subject: x\n\nnothing\n"), "patch 1.patch changes no file"},
		{"cut in a hunk", folder("1.patch\n", "1.patch", first[:strings.Index(first, "+three")]), "patch 1.patch can't be read"},
		{"listed twice", folder("1.patch\n1.patch\n", "1.patch", first), "s/series:2: 1.patch is listed twice"},
		{"leads out", folder("../1.patch\n", "1.patch", first), "leads out of the series"},
		{"another strip level", folder("1.patch -p0\n", "1.patch", first), "only -p1"},
		{"options", folder("1.patch -p1 -R\n", "1.patch", first), "only -p1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(tc.fs, "s")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load = %v, want %q", err, tc.want)
			}
			if fault.Of(err) != fault.Input {
				t.Errorf("fault = %v, want input", fault.Of(err))
			}
		})
	}
}

// repo makes a repository with one commit: core.c of six lines.
func repo(t *testing.T) (git.Repo, string) {
	need.Commands(t, "git")
	ctx := context.Background()
	r := git.Repo{Dir: filepath.Join(t.TempDir(), "git")}
	if err := r.Init(ctx, ""); err != nil {
		t.Fatal(err)
	}
	script := "commit refs/heads/base\ncommitter x <x> 1 +0000\ndata 0\nM 100644 inline core.c\ndata 26\none\ntwo\nend\nfour\nfive\nsix\n\ndone\n"
	if _, err := r.RunInput(ctx, strings.NewReader(script), nil, "fast-import", "--quiet", "--done"); err != nil {
		t.Fatal(err)
	}
	base, err := r.Run(ctx, "rev-parse", "refs/heads/base")
	if err != nil {
		t.Fatal(err)
	}
	return r, base
}

func load(t *testing.T, list string, patches ...string) Series {
	s, err := Load(folder(list, patches...), "s")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestApply(t *testing.T) {
	ctx := context.Background()
	r, base := repo(t)
	if got, err := Apply(ctx, r, base, nil); err != nil || got != base {
		t.Errorf("empty stack: %s, %v, want the base", got, err)
	}
	stack := []Series{load(t, "1.patch\n", "1.patch", first), load(t, "2.patch\n", "2.patch", second)}
	commit, err := Apply(ctx, r, base, stack)
	if err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{":core.c": "zero\none\nthree\nend\nfour\nfive\nsix", ":new.h": "header"} {
		if got, err := r.Run(ctx, "show", commit+spec); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", spec, got, err, want)
		}
	}
	log, err := r.Run(ctx, "log", "--format=%an|%ad|%s|%cn", "--date=raw", commit)
	want := "packtest|1136073600 +0000|2.patch|packtest\nJane Doe|1643102430 +0100|core: say three instead of two|packtest"
	if err != nil || !strings.HasPrefix(log, want) {
		t.Errorf("log = %q, %v, want %q first", log, err, want)
	}
	again, base2 := repo(t)
	if got, err := Apply(ctx, again, base2, stack); err != nil || got != commit {
		t.Errorf("in another repository: %s, %v, want %s", got, err, commit)
	}
	if got, err := Apply(ctx, r, base, stack); err != nil || got != commit {
		t.Errorf("again: %s, %v, want %s", got, err, commit)
	}
}

func TestApplyFails(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		name, patch string
		want        ApplyError
	}{
		{"second hunk", misfit, ApplyError{Series: "s", Patch: "x.patch", File: "core.c", Hunk: 2, Detail: "does not apply",
			Reject: "@@ -4,3 +5,3 @@\n four\n-never there\n+at all\n six\n"}},
		{"file is missing", strings.ReplaceAll(misfit, "core.c", "gone.c"), ApplyError{Series: "s", Patch: "x.patch", File: "gone.c", Detail: "does not exist in index"}},
		{"file is there already", strings.ReplaceAll(second[strings.Index(second, "diff --git a/new.h"):], "new.h", "core.c"),
			ApplyError{Series: "s", Patch: "x.patch", File: "core.c", Detail: "already exists in index"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, base := repo(t)
			before, err := r.Run(ctx, "for-each-ref")
			if err != nil {
				t.Fatal(err)
			}
			_, err = Apply(ctx, r, base, []Series{load(t, "x.patch\n", "x.patch", tc.patch)})
			var e *ApplyError
			if !errors.As(err, &e) {
				t.Fatalf("Apply = %v, want an ApplyError", err)
			}
			if d := cmp.Diff(tc.want, *e); d != "" {
				t.Error(d)
			}
			if fault.Of(err) != fault.Input {
				t.Errorf("fault = %v, want input", fault.Of(err))
			}
			if after, _ := r.Run(ctx, "for-each-ref"); after != before {
				t.Errorf("left behind: %s", after)
			}
			if _, err := os.Stat(filepath.Join(r.Dir, "index")); err == nil {
				t.Error("left an index behind")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{first, second, misfit} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := Parse("p", body)
		if err == nil && (len(p.Files) == 0 || p.Message == "") {
			t.Errorf("accepted a patch without files or message: %+v", p)
		}
	})
}
