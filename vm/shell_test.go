// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"packtest/initramfs"
	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/vm/vmtest"
)

func TestEscape(t *testing.T) {
	for _, tc := range []struct {
		in   []string
		rest string
		quit bool
	}{
		{[]string{"ls\n"}, "ls\n", false},
		{[]string{"\x01x"}, "", true},
		{[]string{"ab\x01", "x more"}, "ab", true},
		{[]string{"\x01\x01x"}, "\x01x", false},
		{[]string{"\x01", "b"}, "\x01b", false},
		{[]string{"\x03\x04"}, "\x03\x04", false},
	} {
		var e escape
		var rest []byte
		var quit bool
		for _, in := range tc.in {
			var r []byte
			r, quit = e.filter([]byte(in))
			rest = append(rest, r...)
		}
		if string(rest) != tc.rest || quit != tc.quit {
			t.Errorf("%q: %q, %v; want %q, %v", tc.in, rest, quit, tc.rest, tc.quit)
		}
	}
}

// Nothing is typed before the guest can read it, and the end of the input is
// typed as Ctrl-D, twice if the last line was not ended.
func TestKeyboardWaits(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"echo\n", "echo\n\x04"},
		{"echo", "echo\x04\x04"},
		{"", "\x04"},
	} {
		var screen, console bytes.Buffer
		g := newGate(&screen)
		k := &keyboard{quit: make(chan struct{}), ended: make(chan struct{})}
		go k.pump(strings.NewReader(tc.in), &console, g.open)
		select {
		case <-k.ended:
			t.Fatal("it was typed before the guest could read")
		case <-time.After(20 * time.Millisecond):
		}
		// In pieces, as it may come.
		for _, piece := range []string{"[ 1.0] Run /init\npack", "gue", "st: programs\n"} {
			if _, err := g.Write([]byte(piece)); err != nil {
				t.Fatal(err)
			}
		}
		<-k.ended
		if console.String() != tc.want {
			t.Errorf("%q: typed %q, want %q", tc.in, console.String(), tc.want)
		}
	}
}

func TestShell(t *testing.T) {
	need.Long(t)
	for _, arch := range vmtest.Arches() {
		t.Run(arch, func(t *testing.T) {
			need.QEMU(t, arch)
			m := Machine{Arch: arch, Kernel: vmtest.Kernel(t, arch), Initrd: vmtest.Archive(t, arch, initramfs.Shell), Dir: t.TempDir()}
			t.Run("commands from a pipe", func(t *testing.T) {
				out, err := shell(t, t.Context(), m, "echo the answer is $((40+2))\nuname -m\nls /sys/kernel/debug | grep -c .\n", nil)
				if err != nil {
					t.Error(err)
				}
				for _, want := range []string{"the answer is 42", arch + "\r\n"} {
					if !strings.Contains(out, want) {
						t.Errorf("no %q", want)
					}
				}
			})
			t.Run("Ctrl-A x", func(t *testing.T) {
				if _, err := shell(t, t.Context(), m, "sleep 1000\n\x01x", nil); err != nil {
					t.Error(err)
				}
			})
			t.Run("panic", func(t *testing.T) {
				_, err := shell(t, t.Context(), m, "echo c > /proc/sysrq-trigger\n", nil)
				var end *EndError
				if !errors.As(err, &end) || end.Ending != Panic {
					t.Errorf("err = %v", err)
				}
			})
			t.Run("interrupted", func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(500*time.Millisecond, cancel)
				if _, err := shell(t, ctx, m, "", cancel); fault.Of(err) != fault.Interrupted {
					t.Errorf("err = %v", err)
				}
			})
		})
	}
}

// shell runs a shell with the given input, which stays open if hold is not nil,
// and returns what it showed.
func shell(t *testing.T, ctx context.Context, m Machine, input string, hold func()) (string, error) {
	t.Helper()
	in, keys, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer keys.Close()
	if _, err := io.WriteString(keys, input); err != nil {
		t.Fatal(err)
	}
	if hold == nil {
		keys.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var out bytes.Buffer
	err = Shell(ctx, m, in, &out)
	if t.Failed() || testing.Verbose() {
		t.Logf("%v\n%s", err, out.String())
	}
	return out.String(), err
}
