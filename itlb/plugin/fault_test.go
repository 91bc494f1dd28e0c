// SPDX-License-Identifier: GPL-2.0-or-later

package plugin

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packtest/internal/proc"
)

// What a guest can do wrong makes the whole file invalid, and its reader says
// what it was.
func TestMarksOutOfOrder(t *testing.T) {
	const next = "\n\tgoto 1f\n\t.balign 4096\n1:\n"
	for _, c := range []struct{ name, program, want string }{
		{"nested", "mark BEGIN" + next + "mark BEGIN" + next + "mark END", "window 1: a begin mark before its end mark"},
		{"no end", "mark BEGIN" + next, "window 1: no end mark before QEMU ended"},
		{"end alone", "mark END", "an end mark outside of a window, after window 0"},
		{"lap alone", "mark LAP", "a lap mark outside of a window, after window 0"},
		{
			"second end", "mark BEGIN" + next + "mark END" + next + "mark END",
			"an end mark outside of a window, after window 1",
		},
		{"no block", "mark BEGIN\n\tidle\n\tmark END", "window 1: no block was seen before its end mark"},
		{
			"begin in the block of an end", "mark BEGIN" + next + "mark END\n\tmark BEGIN" + next + "mark END",
			"window 2: a begin mark in the block of an end mark",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachMachine(t, func(t *testing.T, m machine) {
				path, said := m.trace(t, "\t"+c.program+"\n\tgoto finish\n")
				_, _, err := read(path)
				if err == nil || !strings.Contains(err.Error(), "the plugin says: "+c.want) {
					t.Errorf("the reader says: %v", err)
				}
				if !strings.Contains(said, "itlb plugin: "+c.want) {
					t.Errorf("QEMU said: %q", said)
				}
			})
		})
	}
}

// A guest without marks has a trace without windows: whoever expects some must
// count them.
func TestNoWindow(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) { expect(t, m, "\tgoto finish\n") })
}

// Where QEMU was killed nothing lies in the trace's place, and what lies beside
// it is no whole file.
func TestKilled(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		image := assemble(t, m.arch, "\tmark BEGIN\n1:\tgoto 2f\n\t.balign 4096\n2:\tgoto 1b\n")
		out := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(out, []byte("of an earlier run"), 0o644); err != nil {
			t.Fatal(err)
		}
		argv := append(m.argv(), "-kernel", image, "-plugin", m.plugin.Option(out, ""))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p, err := proc.Start(ctx, proc.Cmd{Argv: argv, Env: m.env()})
		if err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			if st, err := os.Stat(out + ".part"); err == nil && st.Size() > 1<<20 {
				break
			}
			if time.Since(start) > time.Minute {
				t.Fatal("no megabyte of trace in a minute")
			}
		}
		p.Signal(9)
		p.Wait()
		if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("there is a trace: %v", err)
		}
		if _, _, err := read(out + ".part"); err == nil || !strings.Contains(err.Error(), "window 1: at byte ") ||
			!strings.Contains(err.Error(), "cut off") {
			t.Errorf("the reader says: %v", err)
		}
	})
}

// A disk without space leaves no trace, and QEMU says why.
func TestFullDisk(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		out := filepath.Join(t.TempDir(), "out")
		if err := os.Symlink("/dev/full", out+".part"); err != nil {
			t.Fatal(err)
		}
		program, _ := ring(3, 10)
		said := boot(t, m, assemble(t, m.arch, program), "-plugin", m.plugin.Option(out, ""))
		if !strings.Contains(said, "write "+out+".part: No space left on device; there will be no trace") {
			t.Errorf("QEMU said: %q", said)
		}
		if files, err := os.ReadDir(filepath.Dir(out)); err != nil || len(files) > 0 {
			t.Errorf("left behind: %v, %v", files, err)
		}
	})
}

// What keeps the plugin from working keeps QEMU from starting.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, option, want string }{
		{"no file", "", "out=FILE is missing"},
		{"empty file", ",out=", "out=FILE is missing"},
		{"unwritable", ",out=/nonexistent/trace", "create /nonexistent/trace.part: No such file or directory"},
		{"unknown argument", ",out=x,colour=red", "unknown argument colour=red"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachMachine(t, func(t *testing.T, m machine) {
				argv := append(m.argv(), "-S", "-plugin", "file="+m.plugin.Path+c.option)
				_, err := proc.Run(t.Context(), proc.Cmd{Argv: argv, Env: m.env(), Dir: t.TempDir()})
				if err == nil || !strings.Contains(err.Error(), "itlb plugin: "+c.want) {
					t.Errorf("QEMU said: %v", err)
				}
			})
		})
	}
}
