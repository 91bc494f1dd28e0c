// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"packtest/internal/need"
)

// The shell's archive is part of what a run records, so it must not depend on
// when or in which folder it was compiled.
func TestShellIsReproducible(t *testing.T) {
	need.Long(t)
	need.Commands(t, "go")
	t.Chdir("../..")
	var got [2][]byte
	for i := range got {
		dir := t.TempDir()
		if err := bakeShell("s390x", dir, "key", io.Discard); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "shell.cpio"))
		if err != nil {
			t.Fatal(err)
		}
		got[i] = b
	}
	if !bytes.Equal(got[0], got[1]) {
		t.Error("compiling the shell twice gave two archives")
	}
}

// The guest carries the name that the host's side finds beside it, and is the
// same whenever it is made.
func TestGuestIsNamed(t *testing.T) {
	need.Long(t)
	need.Commands(t, "go")
	t.Chdir("../..")
	dir := t.TempDir()
	for _, said := range []io.Writer{io.Discard, failing{t}} {
		if err := bakeGuest(t.Context(), "s390x", "s390x", dir, said); err != nil {
			t.Fatal(err)
		}
	}
	id, err := os.ReadFile(filepath.Join(dir, "packguest.id"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(dir, "packguest"))
	if err != nil {
		t.Fatal(err)
	}
	if len(id) != 32 || bytes.Count(program, id) != 1 {
		t.Errorf("%q is in the program %d times", id, bytes.Count(program, id))
	}
}

// failing is told when a file is written again.
type failing struct{ t *testing.T }

func (f failing) Write(b []byte) (int, error) { f.t.Errorf("%s", b); return len(b), nil }

func TestUnchangedIsNotRewritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var said bytes.Buffer
	for _, tc := range []struct {
		content string
		written bool
	}{{"a", true}, {"a", false}, {"b", true}} {
		said.Reset()
		if err := writeIfChanged(path, []byte(tc.content), &said); err != nil {
			t.Fatal(err)
		}
		if got := said.Len() > 0; got != tc.written {
			t.Errorf("%q: written is %v, want %v", tc.content, got, tc.written)
		}
	}
}
