// SPDX-License-Identifier: GPL-2.0-or-later

package initramfs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"

	"packtest/internal/fault"
)

// fakeBlobs is what bake makes, small.
func fakeBlobs(t *testing.T) fstest.MapFS {
	t.Helper()
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	for _, r := range []cpio.Record{
		cpio.Directory("bbin", 0o755), cpio.StaticFile("bbin/bb", "busybox", 0o755),
		cpio.Symlink("bbin/ls", "bb"), cpio.Symlink("bin/sh", "../bbin/gosh"),
	} {
		r.MTime, r.Ino = 12345, 99
		if err := w.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"blobs/s390x/packguest":  {Data: []byte("guest")},
		"blobs/s390x/shell.cpio": {Data: b.Bytes()},
	}
}

func TestGuestID(t *testing.T) {
	blobs := fakeBlobs(t)
	if id, err := guestID(blobs, "s390x"); id != "" || err != nil {
		t.Errorf("of a build without a name: %q, %v", id, err)
	}
	blobs["blobs/s390x/packguest.id"] = &fstest.MapFile{Data: []byte("0123")}
	if id, err := guestID(blobs, "s390x"); id != "0123" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	if _, err := guestID(blobs, "x86_64"); err == nil || fault.HintOf(err) == "" {
		t.Errorf("without a guest: %v", err)
	}
}

func hostFile(t *testing.T, content string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// listing renders an archive as one line per record.
func listing(t *testing.T, archive []byte) []string {
	t.Helper()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range records {
		b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		if r.UID != 0 || r.GID != 0 || r.MTime != 0 || r.NLink != 1 {
			t.Errorf("%s: uid %d gid %d mtime %d nlink %d", r.Name, r.UID, r.GID, r.MTime, r.NLink)
		}
		lines = append(lines, strings.TrimRight(r.Name+" "+modeOf(r)+" "+string(b), " "))
	}
	return lines
}

func modeOf(r cpio.Record) string {
	kind := map[uint64]string{cpio.S_IFREG: "-", cpio.S_IFDIR: "d", cpio.S_IFLNK: "l", cpio.S_IFCHR: "c"}[r.Mode&cpio.S_IFMT]
	return kind + string([]byte{'0' + byte(r.Mode>>9&7), '0' + byte(r.Mode>>6&7), '0' + byte(r.Mode>>3&7), '0' + byte(r.Mode&7)})
}

func TestFlavours(t *testing.T) {
	skeleton := []string{"dev d0755", "dev/console c0600", "dev/null c0666", "etc d0755", "proc d0755", "root d0755", "run d0755", "sys d0755", "tmp d1777"}
	module := File{Path: "/lib/modules/test_bpf.ko", Source: hostFile(t, "module"), Mode: 0o644}
	for _, tc := range []struct {
		name  string
		fl    Flavour
		files []File
		extra []string
	}{
		{"bare", Bare, nil, nil},
		{"bare with init", Bare, []File{{Path: "init", Source: hostFile(t, "mine"), Mode: 0o755}}, []string{"init -0755 mine"}},
		{"measure", Measure, []File{module}, []string{"init -0755 guest", "lib d0755", "lib/modules d0755", "lib/modules/test_bpf.ko -0644 module"}},
		{"shell", Shell, nil, []string{"bbin d0755", "bbin/bb -0755 busybox", "bbin/ls l0777 bb", "bin d0755",
			"bin/packguest l0777 ../init", "bin/sh l0777 ../bbin/gosh", "init -0755 guest"}},
		{"a file takes a blob's place", Measure, []File{{Path: "/init", Source: hostFile(t, "mine"), Mode: 0o700}}, []string{"init -0700 mine"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := build(fakeBlobs(t), "s390x", tc.fl, tc.files, &b); err != nil {
				t.Fatal(err)
			}
			want := append(append([]string{}, skeleton...), tc.extra...)
			got := listing(t, b.Bytes())
			slices.SortFunc(want, func(a, b string) int { return strings.Compare(firstWord(a), firstWord(b)) })
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func firstWord(s string) string { return strings.Fields(s)[0] }

// The same parts give the same bytes, in whatever order, with whatever times.
func TestReproducible(t *testing.T) {
	a := File{Path: "a", Source: hostFile(t, "a"), Mode: 0o644}
	b := File{Path: "b", Source: hostFile(t, "b"), Mode: 0o644}
	a2 := File{Path: "/a", Source: hostFile(t, "a"), Mode: 0o644}
	var one, two bytes.Buffer
	if err := build(fakeBlobs(t), "s390x", Shell, []File{a, b}, &one); err != nil {
		t.Fatal(err)
	}
	if err := build(fakeBlobs(t), "s390x", Shell, []File{b, a2}, &two); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two builds from the same parts differ")
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name, arch string
		fl         Flavour
		files      []File
		want       string
		kind       fault.Kind
	}{
		{"unknown architecture", "arm64", Measure, nil, `unknown architecture "arm64"`, fault.Input},
		{"unknown flavour", "s390x", "tasty", nil, "unknown flavour", fault.Input},
		{"never baked", "x86_64", Measure, nil, "built without its guest", fault.Harness},
		{"shell never baked", "x86_64", Shell, nil, "built without its guest", fault.Harness},
		{"no such file", "s390x", Bare, []File{{Path: "m", Source: "/no/such/file"}}, "add m: ", fault.Harness},
		{"a folder", "s390x", Bare, []File{{Path: "m", Source: t.TempDir()}}, "is not a file", fault.Input},
		{"outside the guest", "s390x", Bare, []File{{Path: "../m", Source: hostFile(t, "")}}, "not a path inside", fault.Input},
		{"the root itself", "s390x", Bare, []File{{Path: "/", Source: hostFile(t, "")}}, "not a path inside", fault.Input},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := build(fakeBlobs(t), tc.arch, tc.fl, tc.files, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tc.want) || fault.Of(err) != tc.kind {
				t.Errorf("%s fault: %v; want %s fault: %s", fault.Of(err), err, tc.kind, tc.want)
			}
		})
	}
	err := build(fstest.MapFS{}, "s390x", Measure, nil, io.Discard)
	if hint := fault.HintOf(err); hint != "build it with make" {
		t.Errorf("hint %q", hint)
	}
}
