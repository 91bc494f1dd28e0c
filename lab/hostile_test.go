// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packtest/initramfs"
	"packtest/internal/need"
	"packtest/results"
	"packtest/vm"
	"packtest/vm/vmtest"
)

// Guests that don't keep to the conversation, in real machines: whatever they
// do, the run ends, says whose fault it was, proves nothing right by it and leaves
// nothing behind.
func TestHostileGuests(t *testing.T) {
	need.Long(t)
	const arch = "s390x"
	need.QEMU(t, arch)
	kernel, initrd := vmtest.Kernel(t, arch), vmtest.Init(t, arch, "./testdata/hostile")
	program, err := initramfs.GuestID(arch)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		how     string
		ending  vm.Ending
		detail  string
		verdict results.Verdict
		limits  vm.Limits
	}{
		// All is well, but for the figures that a real guest sends.
		{how: "well", ending: vm.Done, verdict: results.HarnessFailed},
		// Done was said, with counts that are right: what comes after it is not read.
		{how: "twice", ending: vm.Done, verdict: results.HarnessFailed},
		{how: "silent", ending: vm.NoBoot, detail: "did not say a word", verdict: results.KernelFailed, limits: vm.Limits{Boot: 300 * time.Millisecond}},
		{how: "mute", ending: vm.Hang, detail: "no sign of life", verdict: results.KernelFailed, limits: vm.Limits{Silence: 300 * time.Millisecond}},
		{how: "half", ending: vm.Hang, detail: "no sign of life", verdict: results.KernelFailed, limits: vm.Limits{Silence: 300 * time.Millisecond}},
		{how: "garbage", ending: vm.BadTalk, detail: "bad frame", verdict: results.HarnessFailed},
		{how: "results-twice", ending: vm.BadTalk, detail: "out of turn", verdict: results.KernelFailed},
		{how: "replay", ending: vm.BadTalk, detail: "came after message", verdict: results.KernelFailed},
		{how: "miscount", ending: vm.BadTalk, detail: "2 findings", verdict: results.KernelFailed},
		{how: "other", ending: vm.BadTalk, detail: "which nobody asked for", verdict: results.KernelFailed},
		{how: "backwards", ending: vm.BadTalk, detail: "clock went back", verdict: results.KernelFailed},
		{how: "console", ending: vm.Timeout, detail: "not done", verdict: results.KernelFailed, limits: vm.Limits{Total: 300 * time.Millisecond, ConsoleBytes: 1 << 20}},
	} {
		t.Run(tc.how, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			r, _ := testRun(t, openCache(t))
			boots := 0
			r.Boot = func(ctx context.Context, m vm.Machine, g vm.Guest) (*vm.Outcome, error) {
				boots++
				m.Kernel, m.Initrd, m.Limits, m.CPUs, m.MemoryMiB = kernel, initrd, tc.limits, 1, 512
				m.Limits.LastWords = 20 * time.Millisecond
				// However little of the host there is for it, it is the guest's time that
				// counts.
				m.Limits.Grace, m.Limits.Starved = 5*time.Minute, 1_000_000
				m.Cmdline = append(m.Cmdline, "hostile="+tc.how, "program="+program)
				return vm.Run(ctx, m, g)
			}
			r.rec.Planned = []results.Planned{{Arch: arch, Variant: "pack", Scenario: "load", Boots: 1}}
			r.rec.Baseline = "pack" // nothing to compare with
			r.rec.Cells = []results.Cell{{Arch: arch, Variant: "pack", Image: "aa"}}
			o := r.carryOutOne(t, testBoot(false), initrd)
			if o.Boot.Ending != string(tc.ending) || !strings.Contains(o.Boot.Detail, tc.detail) {
				t.Errorf("ended with %s: %s; want %s: %s", o.Boot.Ending, o.Boot.Detail, tc.ending, tc.detail)
			}
			samples := 2 // the guest's, and how long the boot took
			if tc.ending != vm.Done {
				samples = 0
			}
			if len(r.rec.Samples) != samples {
				t.Errorf("%d samples in the record: %v", len(r.rec.Samples), r.rec.Samples)
			}
			// The harness's failures are tried again, once, and the record says so.
			if again := tc.ending == vm.BadTalk; (boots == 2) != again || len(r.rec.Notes) != boots-1 {
				t.Errorf("%d boots, notes %q", boots, r.rec.Notes)
			}
			// What is spoilt once is not made good by the second try.
			if tc.ending == vm.BadTalk && tc.verdict == results.KernelFailed && (len(r.rec.Findings) == 0 || r.rec.Findings[0].Kind != "bad-talk" || !strings.Contains(r.rec.Findings[0].Evidence, tc.detail)) {
				t.Errorf("findings %+v", r.rec.Findings)
			}
			// The finding of a hang tells where the CPUs were.
			if tc.ending == vm.Hang && (len(r.rec.Findings) != 1 || !strings.Contains(r.rec.Findings[0].Evidence, "CPU 0:")) {
				t.Errorf("findings %+v", r.rec.Findings)
			}
			rec, err := r.finish(nil)
			if err != nil || rec.Verdict != tc.verdict {
				t.Errorf("verdict %s (%s), %v; want %s", rec.Verdict, rec.Why, err, tc.verdict)
			}
			if tc.ending == vm.Done && !strings.Contains(rec.Why, "programs is missing") {
				t.Errorf("the verdict's reason: %s", rec.Why)
			}
			left, _ := filepath.Glob(filepath.Join(r.dir, ".*"))
			more, _ := filepath.Glob(filepath.Join(tmp, "*"))
			if left = append(left, more...); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if pids := booting(t, initrd); len(pids) > 0 {
				t.Errorf("QEMU still runs: %v", pids)
			}
		})
	}
}

// booting lists the QEMUs that boot an initramfs.
func booting(t *testing.T, initrd string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.HasPrefix(string(b), "qemu-system-") && strings.Contains(string(b), initrd) {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}
