// SPDX-License-Identifier: GPL-2.0-or-later

package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/internal/proc"
	"packtest/kernel/git"
)

const makefile = "# SPDX-License-Identifier: GPL-2.0\nVERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 9\nEXTRAVERSION = -rc1\nNAME = x\n"

var files = map[string]string{
	"Makefile":   makefile,
	"a.c":        "int a;\n",
	"dir/b.h":    "int b;\n",
	"odd \"n\"":  "quoted\n",
	"script.sh!": "#!/bin/sh\n",
}

// archive makes a tar archive of files below linux-6.1/, with a symlink.
func archive(t *testing.T, files map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"Makefile", "a.c", "dir/b.h", "odd \"n\"", "script.sh!"} {
		text, ok := files[name]
		if !ok {
			continue
		}
		mode := int64(0o644)
		if strings.HasSuffix(name, "!") {
			mode = 0o755
		}
		if err := w.WriteHeader(&tar.Header{Name: "linux-6.1/" + name, Mode: mode, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: "linux-6.1/link", Linkname: "dir/b.h", Typeflag: tar.TypeSymlink}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func xz(t *testing.T, b []byte) []byte {
	need.Commands(t, "xz")
	r, err := proc.Run(context.Background(), proc.Cmd{Argv: []string{"xz", "--stdout"}, Stdin: bytes.NewReader(b)})
	if err != nil {
		t.Fatal(err)
	}
	return r.Stdout
}

func open(t *testing.T) *cache.Cache {
	need.Commands(t, "git")
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// lines collects what a call says.
type lines []string

func (l *lines) say(s string) { *l = append(*l, s) }

func (l *lines) has(s string) bool { return strings.Contains(strings.Join(*l, "\n"), s) }

func TestTarball(t *testing.T) {
	ctx := context.Background()
	plain := archive(t, files)
	var commits []string
	for ext, b := range map[string][]byte{".tar": plain, ".tar.gz": gz(plain), ".tar.xz": xz(t, plain)} {
		c := open(t)
		path := write(t, filepath.Join(t.TempDir(), "linux-6.1"+ext), b)
		var said lines
		base, err := Resolve(ctx, c, path, said.say)
		if err != nil {
			t.Fatalf("%s: %v", ext, err)
		}
		if base.Version != "6.1.9-rc1" || !strings.HasPrefix(base.Name, "linux-6.1-6.1.9-rc1-") || !said.has("unpacking") {
			t.Errorf("%s: %+v, said %q", ext, base, said)
		}
		commits = append(commits, base.Commit)
		dir, _, err := base.Checkout(ctx, base.Commit)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range files {
			p := filepath.Join(dir, name)
			got, err := os.ReadFile(p)
			if err != nil || string(got) != want {
				t.Errorf("%s: %s holds %q, %v", ext, name, got, err)
			}
			if st, err := os.Stat(p); err == nil && (st.Mode()&0o100 != 0) != strings.HasSuffix(name, "!") {
				t.Errorf("%s: %s has mode %v", ext, name, st.Mode())
			}
		}
		if l, err := os.Readlink(filepath.Join(dir, "link")); err != nil || l != "dir/b.h" {
			t.Errorf("%s: link = %q, %v", ext, l, err)
		}
		said = nil
		again, err := Resolve(ctx, c, path, said.say)
		if err != nil || again.Commit != base.Commit || len(said) != 0 {
			t.Errorf("%s, again: %v, said %q", ext, err, said)
		}
	}
	if commits[0] != commits[1] || commits[1] != commits[2] {
		t.Errorf("the same files gave different commits: %v", commits)
	}
}

func TestCorruptEntryIsRebuilt(t *testing.T) {
	ctx := context.Background()
	c := open(t)
	path := write(t, filepath.Join(t.TempDir(), "l.tar"), archive(t, files))
	base, err := Resolve(ctx, c, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	packs, err := filepath.Glob(filepath.Join(c.Root(), "entries/source", base.Hash, "objects/pack/*.pack"))
	if err != nil || len(packs) != 1 {
		t.Fatalf("packs: %v, %v", packs, err)
	}
	if err := os.Chmod(packs[0], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(packs[0], 100); err != nil {
		t.Fatal(err)
	}
	var said lines
	again, err := Resolve(ctx, c, path, said.say)
	if err != nil || again.Commit != base.Commit || !said.has("corrupt") {
		t.Errorf("Resolve = %v, said %q", err, said)
	}
	if _, _, err := again.Checkout(ctx, again.Commit); err != nil {
		t.Error(err)
	}
}

func TestBadInput(t *testing.T) {
	ctx := context.Background()
	need.Commands(t, "git", "xz")
	dir := t.TempDir()
	plain := archive(t, files)
	zx := xz(t, plain)
	noKernel := archive(t, map[string]string{"a.c": "x"})
	for _, tc := range []struct{ name, spec, want string }{
		{"nothing", "", "no base is named"},
		{"missing", filepath.Join(dir, "gone.tar"), "no such file"},
		{"a folder", dir, "is a folder"},
		{"empty", write(t, filepath.Join(dir, "empty.tar.xz"), nil), "is empty"},
		{"no archive", write(t, filepath.Join(dir, "text.tar"), []byte(strings.Repeat("hello ", 999))), "truncated or no tar archive"},
		{"cut tar", write(t, filepath.Join(dir, "cut.tar"), plain[:1600]), "truncated"},
		{"cut tar between files", write(t, filepath.Join(dir, "cut2.tar"), plain[:1024]), "the end of the archive is missing"},
		{"cut gz", write(t, filepath.Join(dir, "cut.tar.gz"), gz(plain)[:150]), "truncated"},
		{"cut xz", write(t, filepath.Join(dir, "cut.tar.xz"), zx[:len(zx)-20]), "truncated"},
		{"no kernel", write(t, filepath.Join(dir, "other.tar"), noKernel), "holds no kernel tree"},
		{"no package", "debian:bash", "no Debian kernel source package"},
		{"no suite", "debian:../x/linux-source-6.1", "no Debian suite"},
		{"no tree", "tree:" + filepath.Join(dir, "gone"), "there is no folder"},
		{"no git tree", "tree:" + dir, "no git tree"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := open(t)
			_, err := Resolve(ctx, c, tc.spec, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Resolve = %v, want %q", err, tc.want)
			}
			if fault.Of(err) != fault.Input {
				t.Errorf("fault = %v, want input", fault.Of(err))
			}
			left, _ := filepath.Glob(filepath.Join(c.Root(), "entries/source/*"))
			if len(left) != 0 {
				t.Errorf("left in the cache: %v", left)
			}
		})
	}
}

func TestPackageNotInstalled(t *testing.T) {
	c := open(t)
	_, err := resolveInstalled(context.Background(), c, "linux-source-6.1", t.TempDir(), nil)
	if fault.Of(err) != fault.Harness || !strings.Contains(fault.HintOf(err), "apt-get install --no-install-recommends linux-source-6.1") {
		t.Errorf("err = %v, hint %q", err, fault.HintOf(err))
	}
}

func TestDownloaded(t *testing.T) {
	a := apt{dir: t.TempDir(), suite: "s"}
	if _, _, ok := a.downloaded("linux-source-6.12"); ok || a.fresh() {
		t.Error("an empty folder holds a package")
	}
	write(t, filepath.Join(a.dir, "packages/linux-source-6.12.version"), []byte("6.12.1-1~bpo12+1\n"))
	if _, _, ok := a.downloaded("linux-source-6.12"); ok {
		t.Error("a version without its tarball counts as downloaded")
	}
	want := write(t, filepath.Join(a.dir, "packages/linux-source-6.12_6.12.1-1~bpo12+1.tar.xz"), nil)
	write(t, a.stamp(), nil)
	tarball, version, ok := a.downloaded("linux-source-6.12")
	if tarball != want || version != "6.12.1-1~bpo12+1" || !ok || !a.fresh() {
		t.Errorf("downloaded = %s, %s, %v, fresh %v", tarball, version, ok, a.fresh())
	}
	old := time.Now().Add(-listsAge - time.Minute)
	if err := os.Chtimes(a.stamp(), old, old); err != nil {
		t.Fatal(err)
	}
	if a.fresh() {
		t.Error("lists of yesterday count as new")
	}
}

func TestInterruptedUnpack(t *testing.T) {
	c := open(t)
	path := write(t, filepath.Join(t.TempDir(), "l.tar"), archive(t, files))
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Resolve(ctx, c, path, func(string) { cancel() })
	if fault.Of(err) != fault.Interrupted {
		t.Errorf("Resolve = %v", err)
	}
	if _, err := Resolve(context.Background(), c, path, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// userTree makes a git tree such as a developer has.
func userTree(t *testing.T) string {
	need.Commands(t, "git")
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		c := proc.Cmd{Argv: append([]string{"git", "-C", dir, "-c", "user.name=x", "-c", "user.email=x@y"}, args...), Env: git.Env()}
		if _, err := proc.Run(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	run("init", "--quiet", "--initial-branch=main")
	write(t, filepath.Join(dir, "Makefile"), []byte(makefile))
	write(t, filepath.Join(dir, "a.c"), []byte("one\n"))
	write(t, filepath.Join(dir, "b.c"), []byte("same\n"))
	run("add", ".")
	run("commit", "--quiet", "-m", "one")
	run("tag", "first")
	write(t, filepath.Join(dir, "a.c"), []byte("two\n"))
	write(t, filepath.Join(dir, "new.c"), []byte("new\n"))
	run("add", ".")
	run("commit", "--quiet", "-m", "two")
	write(t, filepath.Join(dir, "a.c"), []byte("not committed\n"))
	return dir
}

func snapshot(t *testing.T, dir string) string {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(p + " " + st.ModTime().String() + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestUserTree(t *testing.T) {
	ctx := context.Background()
	c := open(t)
	dir := userTree(t)
	before := snapshot(t, dir)
	head, err := Resolve(ctx, c, "tree:"+dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	tagged, err := Resolve(ctx, c, "tree:"+dir+"@first", nil)
	if err != nil {
		t.Fatal(err)
	}
	if head.Commit == tagged.Commit || head.Repo != tagged.Repo || head.Version != "6.1.9-rc1" || head.Hash != head.Commit {
		t.Errorf("head %+v, tagged %+v", head, tagged)
	}
	for b, want := range map[*Base]string{head: "two\n", tagged: "one\n"} {
		files, _, err := b.Checkout(ctx, b.Commit)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(files, "a.c")); err != nil || string(got) != want {
			t.Errorf("a.c = %q, %v, want %q", got, err, want)
		}
	}
	if after := snapshot(t, dir); after != before {
		t.Errorf("the user's tree was changed:\n%s\nbefore:\n%s", after, before)
	}
	_, err = Resolve(ctx, c, "tree:"+dir+"@nope", nil)
	if fault.Of(err) != fault.Input || !strings.Contains(err.Error(), `no revision "nope"`) {
		t.Errorf("Resolve = %v", err)
	}
}

// The times that Checkout sets are what make compares: they must be new where
// a build tree has seen other text, and old everywhere else.
func TestCheckoutTimes(t *testing.T) {
	ctx := context.Background()
	c := open(t)
	b, err := Resolve(ctx, c, "tree:"+userTree(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	one, err := b.Git().Run(ctx, "rev-parse", b.Commit+"~")
	if err != nil {
		t.Fatal(err)
	}
	two := b.Commit
	var dir string
	check := func(when, commit string, fresh string, since ...string) {
		t.Helper()
		var changed []string
		if dir, changed, err = b.Checkout(ctx, commit, since...); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		changed = slices.DeleteFunc(changed, func(f string) bool {
			_, err := os.Stat(filepath.Join(dir, f))
			return err != nil // it is told of files that went, too
		})
		if s := strings.Join(changed, " "); s != fresh {
			t.Errorf("%s: it says %q has changed, want %q", when, s, fresh)
		}
		var got []string
		for _, f := range []string{"Makefile", "a.c", "b.c", "new.c"} {
			st, err := os.Stat(filepath.Join(dir, f))
			if err == nil && !st.ModTime().Equal(longAgo) {
				if time.Since(st.ModTime()) > time.Hour {
					t.Errorf("%s: %s has a time that is neither old nor new: %v", when, f, st.ModTime())
				}
				got = append(got, f)
			}
		}
		if s := strings.Join(got, " "); s != fresh {
			t.Errorf("%s: new are %q, want %q", when, s, fresh)
		}
	}
	check("first", one, "")
	check("another build tree, nothing built yet", two, "")
	check("built one before", two, "a.c new.c", one)
	check("the same again", two, "", two)
	check("back, for a tree that has one", one, "", one)
	check("back, for a tree that broke off in two", one, "a.c", one, two)
	check("forward, for a tree that broke off in two", two, "a.c new.c", one, two)

	write(t, filepath.Join(dir, "b.c"), []byte("meddled\n"))
	write(t, filepath.Join(dir, "extra.o"), []byte("x"))
	write(t, filepath.Join(b.Repo, "index.lock"), nil)
	check("meddled with", two, "", two)
	if got, err := os.ReadFile(filepath.Join(dir, "b.c")); err != nil || string(got) != "same\n" {
		t.Errorf("b.c = %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "extra.o")); err == nil {
		t.Error("a foreign file is still there")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	check("files gone", one, "", one)
	write(t, filepath.Join(filepath.Dir(dir), "worktree.json"), []byte("{"))
	check("state lost", two, "", two)
}

func TestNoSpace(t *testing.T) {
	err := NeedSpace(t.TempDir(), 1<<60)
	var s *SpaceError
	if !errors.As(err, &s) || s.Need != 1<<60 || fault.HintOf(err) == "" || !strings.Contains(err.Error(), "1.0 EiB") {
		t.Errorf("NeedSpace = %v", err)
	}
	if err := NeedSpace(t.TempDir(), 1); err != nil {
		t.Errorf("NeedSpace = %v", err)
	}
	said := errors.New("cc1: fatal error: x.s: No space left on device")
	if err := NoSpace(said, t.TempDir()); !errors.As(err, &s) || !errors.Is(err, said) {
		t.Errorf("NoSpace = %v", err)
	}
	other := errors.New("syntax error")
	if err := NoSpace(other, t.TempDir()); err != other {
		t.Errorf("NoSpace = %v", err)
	}
}

func TestBelowTop(t *testing.T) {
	for name, want := range map[string]string{
		"linux/a": "a", "./linux/a/b": "a/b", "linux/": "", "linux": "", "/etc/passwd": "", "../x/y": "", "l/../../x/y": "",
		"l/.git/config": "", "l/.gitignore": ".gitignore",
	} {
		got, ok := belowTop(name)
		if got != want || ok != (want != "") {
			t.Errorf("belowTop(%q) = %q, %v, want %q", name, got, ok, want)
		}
	}
}

func FuzzBelowTop(f *testing.F) {
	f.Add("linux-6.1/a/../b")
	f.Fuzz(func(t *testing.T, name string) {
		p, ok := belowTop(name)
		if ok && (p == "" || strings.HasPrefix(p, "/") || p == ".." || strings.HasPrefix(p, "../") || strings.Contains(p, "/../")) {
			t.Errorf("belowTop(%q) = %q", name, p)
		}
	})
}

func FuzzFeedTree(f *testing.F) {
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tmp := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(tmp, b, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := feedAll(tmp)
		if err != nil && fault.Of(err) != fault.Input {
			t.Errorf("a bad archive is not called bad input: %v", err)
		}
	})
}

func feedAll(path string) (stream string, err error) {
	var out bytes.Buffer
	err = withTar(context.Background(), path, func(r io.Reader) error {
		_, err := feedTree(bufio.NewWriter(&out), r, path)
		return err
	})
	return out.String(), err
}
