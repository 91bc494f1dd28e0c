// SPDX-License-Identifier: GPL-2.0-or-later

package console

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// render shows events as one block each, without their lines.
func render(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s: %s\n    in %s, line %d of the console, %d lines of report\n", e.Kind, e.Title, e.Function, e.Line, len(e.Lines))
		fmt.Fprintf(&b, "    %s\n    ... %s\n", strings.Join(e.Frames, " < "), e.Lines[len(e.Lines)-1])
	}
	return b.String()
}

// The texts are consoles of real boots of Debian's 6.1, with trouble made by
// testdata/trouble and by package vm's tests.
func TestTexts(t *testing.T) {
	texts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(texts) < 20 {
		t.Fatalf("%d texts, %v", len(texts), err)
	}
	for _, path := range texts {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := render(Scan(string(text)))
			golden := strings.TrimSuffix(path, ".txt") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
			for _, size := range []int{1, 7, 4096} {
				if d := cmp.Diff(got, render(inPieces(text, size))); d != "" {
					t.Errorf("read in pieces of %d bytes: %s", size, d)
				}
			}
		})
	}
}

func inPieces(text []byte, size int) []Event {
	var s Scanner
	for len(text) > 0 {
		n := min(size, len(text))
		_, _ = s.Write(text[:n])
		text = text[n:]
	}
	s.Flush()
	return s.Events()
}

// The kernel's formats for what the measuring kernels can't be made to print.
func TestHeaders(t *testing.T) {
	for _, tc := range []struct {
		line     string
		kind     Kind
		title    string
		function string
	}{
		{"BUG: KASAN: slab-out-of-bounds in bpf_jit_free+0x41/0x80", KASAN, "BUG: KASAN: slab-out-of-bounds in bpf_jit_free", "bpf_jit_free"},
		{"BUG: KASAN: use-after-free in __bpf_prog_put.isra.0+0x3c/0x120", KASAN, "BUG: KASAN: use-after-free in __bpf_prog_put.isra.0", "__bpf_prog_put.isra.0"},
		{"UBSAN: array-index-out-of-bounds in kernel/bpf/core.c:123:45", UBSAN, "UBSAN: array-index-out-of-bounds in kernel/bpf/core.c", ""},
		{"UBSAN: shift-out-of-bounds in /home/u/.cache/packtest/trees/source/linux-6.1/tree/lib/trouble.c:137:19", UBSAN, "UBSAN: shift-out-of-bounds in lib/trouble.c", ""},
		{"watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [init:1]", SoftLockup, "watchdog: BUG: soft lockup - stuck for too long! [init]", ""},
		{"NMI watchdog: Watchdog detected hard LOCKUP on cpu 3", HardLockup, "NMI watchdog: Watchdog detected hard LOCKUP on cpu", ""},
		{"rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", RCUStall, "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", ""},
		{"rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-...D } 2102 jiffies s: 41 root: 0x2/.", RCUStall, "", ""},
		{"INFO: task kworker/0:1:12 blocked for more than 120 seconds.", HungTask, "INFO: task kworker/0:1 blocked for too long.", ""},
		{"BUG: Bad page state in process init  pfn:01234", BadPage, "BUG: Bad page state in process init", ""},
		{"BUG: Bad page map in process init  pte:8000000001234867 pmd:01235067", BadPage, "", ""},
		{"BUG: Bad rss-counter state mm:000000001234abcd type:MM_ANONPAGES val:1", BadPage, "", ""},
		{"BUG: sleeping function called from invalid context at include/linux/sched/mm.h:274", Lockdep, "BUG: sleeping function called from invalid context at include/linux/sched/mm.h", ""},
		{"BUG: scheduling while atomic: init/1/0x00000002", Lockdep, "BUG: scheduling while atomic: init", ""},
		{"WARNING: possible circular locking dependency detected", Lockdep, "WARNING: possible circular locking dependency detected", ""},
		{"WARNING: possible recursive locking detected", Lockdep, "", ""},
		{"WARNING: inconsistent lock state", Lockdep, "", ""},
		{"WARNING: suspicious RCU usage", Lockdep, "", ""},
		{"WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected", Lockdep, "", ""},
		{"[ BUG: Invalid wait context ]", Lockdep, "", ""},
		{"WARNING: CPU: 1 PID: 7 at kernel/bpf/core.c:940 bpf_prog_pack_free+0xb2/0xd0", Warning, "WARNING: at kernel/bpf/core.c bpf_prog_pack_free", "bpf_prog_pack_free"},
		{"WARNING: kernel/bpf/core.c:940 at bpf_prog_pack_free+0xb2/0xd0, CPU#1: init/1", Warning, "", "bpf_prog_pack_free"},
		{"kernel BUG at arch/x86/mm/physaddr.c:28!", Bug, "kernel BUG at arch/x86/mm/physaddr.c!", ""},
		{"BUG: unable to handle page fault for address: ffffc90000000000", Oops, "BUG: unable to handle page fault for address: ADDR", ""},
		{"general protection fault: 0000 [#1] SMP NOPTI", Oops, "general protection fault", ""},
		{"specification exception: 0006 ilc:2 [#1] SMP", Oops, "specification exception", ""},
		{"traps: PANIC: double fault, error_code: 0x0", Oops, "", ""},
		{"BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 30s!", SoftLockup, "BUG: workqueue lockup", ""},
		{"BUG: MAX_LOCKDEP_CHAIN_HLOCKS too low!", Lockdep, "", ""},
		{"BUG kmalloc-64 (Not tainted): Poison overwritten", Bug, "BUG kmalloc-64: Poison overwritten", ""},
		{"BUG bpf_prog (Tainted: G    B   W         ): Objects remaining in bpf_prog on __kmem_cache_shutdown()", Bug,
			"BUG bpf_prog: Objects remaining in bpf_prog on __kmem_cache_shutdown()", ""},
		{"BUG: spinlock bad magic on CPU#0, init/1", Bug, "BUG: spinlock bad magic on , init/1", ""},
		{"unchecked MSR access error: RDMSR from 0x10a at rIP: 0xffffffff81012345 (native_read_msr+0x3/0x10)", Warning, "", "native_read_msr"},
		{"kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", Kmemleak, "kmemleak: new suspected memory leaks (see /sys/kernel/debug/kmemleak)", ""},
		{"init: page allocation failure: order:9, mode:0xcc0(GFP_KERNEL), nodemask=(null)", AllocFail, "", ""},
		{"vmap allocation for size 2101248 failed: use vmalloc=<size> to increase size", AllocFail, "", ""},
		{"Memory cgroup out of memory: Killed process 12 (init) total-vm:1kB", OOM, "Memory cgroup out of memory: Killed process (init)", ""},
		{"init[31]: segfault at 8 ip 00000000004bdcd3 sp 000026e4b2f0edd8 error 6 in init[400000+bf000]", Segfault, "init: segfault in init", ""},

		{"Kernel command line: console=ttyS0 oops=panic panic=-1 panic_on_warn=0", "", "", ""},
		{"packguest: the kernel said Kernel panic - not syncing", "", "", ""},
		{"Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible", "", "", ""},
		{"test_bpf: #12 BUG: none", "", "", ""},
		{"BUG (Not tainted) is what a process may print", "", "", ""},
		{"rcu: Adjusting geometry for rcu_fanout_leaf=16, nr_cpu_ids=2", "", "", ""},
	} {
		for _, stamp := range []string{"", "[    1.234567] ", "[   12.345678][    T1] ", "<4>[    1.234567] "} {
			events := Scan(stamp + tc.line + "\r\n")
			if tc.kind == "" {
				if len(events) > 0 {
					t.Errorf("%q is taken for %s", tc.line, events[0].Kind)
				}
				continue
			}
			if len(events) != 1 {
				t.Errorf("%q gives %d events", stamp+tc.line, len(events))
				continue
			}
			e := events[0]
			if e.Kind != tc.kind || (tc.title != "" && e.Title != tc.title) || (tc.function != "" && e.Function != tc.function) {
				t.Errorf("%q is %s: %q in %s; want %s: %q in %s", tc.line, e.Kind, e.Title, e.Function, tc.kind, tc.title, tc.function)
			}
		}
	}
}

func TestDedup(t *testing.T) {
	text, err := os.ReadFile("testdata/s390x-stall.txt")
	if err != nil {
		t.Fatal(err)
	}
	events := Scan(string(text))
	if len(events) < 2 {
		t.Fatalf("%d events", len(events))
	}
	if got := Dedup(events); len(got) != 1 || got[0].Line != events[0].Line {
		t.Errorf("the same stall, reported %d times, is %d events", len(events), len(got))
	}
	other, err := os.ReadFile("testdata/s390x-warn.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := Dedup(append(events, Scan(string(other))...)); len(got) != 2 {
		t.Errorf("two troubles are %d events", len(got))
	}
}

// What a process leaves on the line must not hide what the kernel says next.
func TestMessageInMidLine(t *testing.T) {
	events := Scan("$ [    2.631623] Kernel panic - not syncing: sysrq triggered crash\n")
	if len(events) != 1 || events[0].Kind != Panic || events[0].Line != 1 {
		t.Errorf("%+v", events)
	}
}

// A console that never ends a line must not take all memory, and a report in it
// is still found.
func TestEndlessLine(t *testing.T) {
	var s Scanner
	piece := []byte(strings.Repeat("x", 1<<16))
	for range 100 {
		_, _ = s.Write(piece)
	}
	if len(s.partial) > maxLineLen {
		t.Errorf("%d bytes are kept", len(s.partial))
	}
	_, _ = s.Write([]byte("\nKernel panic - not syncing: at last\n"))
	if !s.Panicked() {
		t.Error("the panic was not seen")
	}
}

// However the text is cut, the events are the same.
func FuzzScan(f *testing.F) {
	texts, _ := filepath.Glob("testdata/*.txt")
	for _, path := range texts {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 8000 {
			f.Add(text, 100)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		whole := Scan(string(text))
		if len(text) > 0 {
			cut = 1 + (cut%len(text)+len(text))%len(text)
			if d := cmp.Diff(whole, inPieces(text, cut)); d != "" {
				t.Errorf("in pieces of %d: %s", cut, d)
			}
		}
		for _, e := range whole {
			if e.Kind == "" || e.Title == "" || len(e.Lines) == 0 || len(e.Frames) > maxFrames {
				t.Errorf("%+v", e)
			}
		}
	})
}
