// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSlabs(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, slabDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cache := func(name, reclaim, size, objects string) {
		for file, text := range map[string]string{"reclaim_account": reclaim, "slab_size": size, "objects": objects, "shrink": ""} {
			write(name+"/"+file, text+"\n")
		}
	}
	cache(":0000064", "0", "64", "25 N0=17 N1=8")
	cache("dentry", "1", "192", "1")
	cache("kmemleak_object", "0", "100", "9")
	cache("task", "0", "1000", "0")
	for _, name := range []string{"another", "kmalloc-64"} {
		if err := os.Symlink(":0000064", filepath.Join(root, slabDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	k := Kernel{Root: root}
	s, err := k.Slabs()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Count()
	if d := cmp.Diff([]SlabCount{{"kmalloc-64", 25, 64}, {"task", 0, 1000}}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, name := range []string{":0000064/shrink", "task/shrink"} {
		if b, err := os.ReadFile(filepath.Join(root, slabDir, name)); err != nil || !strings.HasPrefix(string(b), "1") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	// What is said anew counts.
	write(":0000064/objects", "26")
	if got, err := s.Count(); err != nil || got[0].Objects != 26 {
		t.Errorf("%v, %v", got, err)
	}
	write("task/objects", "some")
	if _, err := s.Count(); err == nil {
		t.Error("no number, and no error")
	}
	// One cache that is about to go is left out; if none is counted that is an error.
	if err := os.Remove(filepath.Join(root, slabDir, "task/objects")); err != nil {
		t.Fatal(err)
	}
	some, err := k.Slabs()
	if err != nil || len(some.caches) != 1 {
		t.Errorf("without the objects of one: %+v, %v", some, err)
	}
	if err := errors.Join(some.Close(), os.Remove(filepath.Join(root, slabDir, ":0000064/objects"))); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Slabs(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without those of any: %v", err)
	}
	if _, err := (Kernel{Root: t.TempDir()}).Slabs(); !os.IsNotExist(err) {
		t.Errorf("no caches: %v", err)
	}
	write("new/reclaim_account", "?")
	if _, err := k.Slabs(); err == nil {
		t.Error("a cache that can't be read, and no error")
	}
}
