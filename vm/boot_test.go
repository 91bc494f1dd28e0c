// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/vm/console"
	"packtest/vm/vmtest"
)

// bench is where one machine is tried: it has temporary folders of its own, so
// that whatever is left over shows.
type bench struct {
	m   Machine
	tmp string
}

// newBench prepares a machine that boots testdata/provoke with the given words.
func newBench(t *testing.T, arch, kernel, initrd, words string) *bench {
	t.Helper()
	b := &bench{tmp: t.TempDir()}
	t.Setenv("TMPDIR", b.tmp)
	b.m = Machine{
		Arch: arch, Kernel: kernel, Initrd: initrd, Dir: t.TempDir(),
		CPUs: 2, MemoryMiB: 512, Cmdline: []string{"provoke=" + words},
	}
	return b
}

// run runs the machine and checks that nothing is left of it but its logs.
func (b *bench) run(t *testing.T, ctx context.Context, g Guest) *Outcome {
	t.Helper()
	o, err := Run(ctx, b.m, g)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.tmp, "*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if pids := qemusOf(t, o); len(pids) > 0 {
		t.Errorf("QEMU still runs: %v", pids)
	}
	// /dev/full, to which one test sends its console, can be read for ever.
	if st, err := os.Stat(o.ConsolePath); err == nil && st.Mode().IsRegular() && testing.Verbose() {
		text, _ := os.ReadFile(o.ConsolePath)
		t.Logf("%s: %s (talk: %v; ready %v, elapsed %v)\n%s", o.Ending, o.Detail, o.TalkErr, o.Ready, o.Elapsed, tail(text, 3000))
	}
	return o
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// qemusOf returns the processes that were started with o's arguments.
func qemusOf(t *testing.T, o *Outcome) []int {
	t.Helper()
	var pids []int
	for pid, cmdline := range processes(t) {
		if cmdline == strings.Join(o.Args, "\x00")+"\x00" {
			pids = append(pids, pid)
		}
	}
	return pids
}

func processes(t *testing.T) map[int]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err == nil && len(b) > 0 {
			found[pid] = string(b)
		}
	}
	return found
}

// signalQEMU sends a signal to the QEMU that boots this initramfs.
func signalQEMU(t *testing.T, m Machine, sig syscall.Signal) {
	for pid, cmdline := range processes(t) {
		if strings.HasPrefix(cmdline, "qemu-system-") && strings.Contains(cmdline, m.Initrd) {
			_ = syscall.Kill(pid, sig)
		}
	}
}

// listen is a Guest that reads lines until done.
func listen(ctx context.Context, port io.ReadWriter) error {
	r := bufio.NewScanner(port)
	for r.Scan() {
		switch r.Text() {
		case "done":
			return nil
		case "hello", "still here":
		default:
			return fmt.Errorf("no such word: %q", r.Text())
		}
	}
	if err := r.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// Each way in which a run can end is told apart, soon, on real kernels.
func TestEndings(t *testing.T) {
	need.Long(t)
	for _, arch := range vmtest.Arches() {
		t.Run(arch, func(t *testing.T) {
			need.QEMU(t, arch)
			kernel := vmtest.Kernel(t, arch)
			initrd := vmtest.Init(t, arch, "./testdata/provoke")
			for _, tc := range []struct {
				words  string
				limits Limits
				want   Ending
				detail string
				events []console.Kind
				traces string // a function that a CPU was in
			}{
				{words: "hello,done,hang", want: Done},
				{words: "hello,done,reset", want: Done},
				{words: "hello,exit", want: Panic, detail: "Attempted to kill init", events: []console.Kind{console.Panic}},
				{words: "hello,crash", want: Panic, detail: "sysrq triggered crash", events: []console.Kind{console.Panic}},
				{words: "hello,done,crash", want: Panic, detail: "sysrq triggered crash", events: []console.Kind{console.Panic}},
				{words: "hello,warn,done,hang", want: Done, events: []console.Kind{console.Warning}},
				{words: "hello,oops,done,hang", want: Panic, detail: "bpf_prog_pack_free", events: []console.Kind{console.Oops}},
				{words: "hello,garbage,hang", want: BadTalk, detail: "no such word"},
				{words: "hello,busy", limits: Limits{Silence: 300 * time.Millisecond}, want: Hang, detail: "the CPUs were at", traces: "_read"},
				{words: "hello,hang", limits: Limits{Silence: 300 * time.Millisecond}, want: Hang, detail: "the CPUs were at", traces: "do_idle"},
				{words: "hang", limits: Limits{Boot: 500 * time.Millisecond}, want: NoBoot, detail: "did not say a word"},
				{words: "hello,reset", want: GuestExit, detail: "guest-reset"},
				{words: "hello,talk", limits: Limits{Total: 500 * time.Millisecond}, want: Timeout, detail: "not done within 5s"},
				{words: "hello,flood", limits: Limits{Total: 500 * time.Millisecond, ConsoleBytes: 1 << 20}, want: Timeout},
			} {
				t.Run(tc.words, func(t *testing.T) {
					b := newBench(t, arch, kernel, initrd, tc.words)
					b.m.Limits, b.m.SystemMap = tc.limits, vmtest.SystemMap(t, arch)
					o := b.run(t, t.Context(), listen)
					if o.Ending != tc.want || !strings.Contains(o.Detail, tc.detail) {
						t.Errorf("ended with %s: %s; want %s: %s", o.Ending, o.Detail, tc.want, tc.detail)
					}
					for _, k := range tc.events {
						if !has(o.Events, k) {
							t.Errorf("no %s among the events %v", k, o.Events)
						}
					}
					if tc.traces != "" && (!strings.Contains(o.Backtraces, tc.traces) || strings.Count(o.Backtraces, "CPU ") != b.m.CPUs) {
						t.Errorf("no %s in the backtraces:\n%s", tc.traces, o.Backtraces)
					}
					text, err := os.ReadFile(o.ConsolePath)
					if err != nil || !bytes.Contains(text, []byte("Linux version")) {
						t.Errorf("the console was not kept: %v", err)
					}
					if limit := tc.limits.ConsoleBytes; limit > 0 && int64(len(text)) > limit+200 {
						t.Errorf("the console has %d bytes, more than %d", len(text), limit)
					}
				})
			}
		})
	}
}

// A limit that passes before the kernel has started its second processor is the
// kernel's failure too: QEMU can be asked, and has less to say.
func TestNoBootEarly(t *testing.T) {
	need.Long(t)
	const arch = "x86_64"
	need.QEMU(t, arch)
	b := newBench(t, arch, vmtest.Kernel(t, arch), vmtest.Init(t, arch, "./testdata/provoke"), "hang")
	b.m.SystemMap = vmtest.SystemMap(t, arch)
	b.m.Cmdline = append(b.m.Cmdline, "maxcpus=1")
	b.m.Limits = Limits{Boot: 50 * time.Millisecond, LastWords: time.Millisecond}
	o := b.run(t, t.Context(), listen)
	if o.Ending != NoBoot || !strings.Contains(o.Detail, "the CPUs were at ") || !strings.Contains(o.Backtraces, "CPU 1: waiting for an interrupt\n  0x") {
		t.Errorf("%s: %s\n%s", o.Ending, o.Detail, o.Backtraces)
	}
}

func has(events []console.Event, k console.Kind) bool {
	for _, e := range events {
		if e.Kind == k {
			return true
		}
	}
	return false
}

// What happens to QEMU and to the host, not to the guest. One architecture is
// enough for these.
func TestHostEndings(t *testing.T) {
	need.Long(t)
	const arch = "s390x"
	need.QEMU(t, arch)
	kernel := vmtest.Kernel(t, arch)
	initrd := vmtest.Init(t, arch, "./testdata/provoke")
	afterHello := func(do func()) Guest {
		return func(ctx context.Context, port io.ReadWriter) error {
			if _, err := io.ReadFull(port, make([]byte, len("hello\n"))); err != nil {
				return err
			}
			do()
			return listen(ctx, port)
		}
	}
	t.Run("killed", func(t *testing.T) {
		b := newBench(t, arch, kernel, initrd, "hello,talk")
		o := b.run(t, t.Context(), afterHello(func() { signalQEMU(t, b.m, syscall.SIGKILL) }))
		if o.Ending != QEMUDied || !strings.Contains(o.Detail, "killed") {
			t.Errorf("%s: %s", o.Ending, o.Detail)
		}
	})
	t.Run("terminated", func(t *testing.T) {
		b := newBench(t, arch, kernel, initrd, "hello,talk")
		o := b.run(t, t.Context(), afterHello(func() { signalQEMU(t, b.m, syscall.SIGTERM) }))
		if o.Ending != QEMUDied || !strings.Contains(o.Detail, "signal 15") {
			t.Errorf("%s: %s", o.Ending, o.Detail)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		b := newBench(t, arch, kernel, initrd, "hello,talk")
		b.m.Limits = Limits{Silence: 50 * time.Millisecond, Grace: time.Second}
		o := b.run(t, t.Context(), afterHello(func() { signalQEMU(t, b.m, syscall.SIGSTOP) }))
		// It is not the guest that doesn't answer.
		if o.Ending != QEMUDied {
			t.Errorf("%s: %s", o.Ending, o.Detail)
		}
	})
	t.Run("stopped for a while", func(t *testing.T) {
		b := newBench(t, arch, kernel, initrd, "hello,nap,done")
		b.m.Limits = Limits{Silence: 200 * time.Millisecond}
		o := b.run(t, t.Context(), afterHello(func() {
			signalQEMU(t, b.m, syscall.SIGSTOP)
			time.Sleep(4 * time.Second)
			signalQEMU(t, b.m, syscall.SIGCONT)
		}))
		// Twice the limit, and no hang.
		if o.Ending != Done {
			t.Errorf("%s: %s", o.Ending, o.Detail)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		b := newBench(t, arch, kernel, initrd, "hello,talk")
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		o := b.run(t, ctx, afterHello(cancel))
		if o.Ending != Interrupted || fault.Of(o.Err()) != fault.Interrupted {
			t.Errorf("%s: %s", o.Ending, o.Detail)
		}
		if took := time.Since(began) - o.Ready; took > 5*time.Second {
			t.Errorf("it took %v to end", took)
		}
	})
	t.Run("disk full", func(t *testing.T) {
		need.File(t, "/dev/full")
		b := newBench(t, arch, kernel, initrd, "hello,talk")
		if err := os.Symlink("/dev/full", b.m.consolePath()); err != nil {
			t.Fatal(err)
		}
		o := b.run(t, t.Context(), listen)
		if o.Ending != DiskFull || !strings.Contains(o.Detail, "no space left") || fault.Of(o.Err()) != fault.Harness {
			t.Errorf("%s: %s", o.Ending, o.Detail)
		}
	})
	t.Run("the talk can't write", func(t *testing.T) {
		b := newBench(t, arch, kernel, initrd, "hello,talk")
		o := b.run(t, t.Context(), func(context.Context, io.ReadWriter) error {
			return fmt.Errorf("write layout: %w", syscall.ENOSPC)
		})
		if o.Ending != DiskFull {
			t.Errorf("%s: %s", o.Ending, o.Detail)
		}
	})
	t.Run("a host's side that never ends", func(t *testing.T) {
		b := newBench(t, arch, kernel, initrd, "hello,reset")
		b.m.Limits = Limits{Grace: 500 * time.Millisecond}
		release := make(chan struct{})
		defer close(release)
		o := b.run(t, t.Context(), func(context.Context, io.ReadWriter) error { <-release; return errors.New("at last") })
		if o.Ending != GuestExit {
			t.Errorf("%s: %s", o.Ending, o.Detail)
		}
	})
}

// Two deterministic boots print the same, times included, up to the moment the
// guest meets the host, whose time is its own.
func TestDeterministic(t *testing.T) {
	need.Long(t)
	for _, arch := range vmtest.Arches() {
		t.Run(arch, func(t *testing.T) {
			need.QEMU(t, arch)
			kernel, initrd := vmtest.Kernel(t, arch), vmtest.Init(t, arch, "./testdata/provoke")
			var boots [2]string
			for i := range boots {
				b := newBench(t, arch, kernel, initrd, "hello,done")
				b.m.Deterministic = true
				o := b.run(t, t.Context(), listen)
				text, err := os.ReadFile(o.ConsolePath)
				if err != nil || o.Ready == 0 {
					t.Fatalf("%s: %s, %v", o.Ending, o.Detail, err)
				}
				before, _, ok := strings.Cut(string(text), "as init process")
				if !ok {
					t.Fatalf("the console ends early:\n%s", text)
				}
				boots[i] = before
			}
			if d := cmp.Diff(boots[0], boots[1]); d != "" {
				t.Error(d)
			}
		})
	}
}
