// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/vm/vmtest"
)

func TestDetectAccel(t *testing.T) {
	dev := filepath.Join(t.TempDir(), "kvm")
	if err := os.WriteFile(dev, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const (
		works = ""
		crawl = "no-boot: not a word within 2s"
		busy  = "host-busy: not a word within 2s"
	)
	type step struct {
		want, arch string
		trouble    string // what the boot would show
		unsure     bool   // and whether it would be the host's
		err        error  // what the boot would fail with
		accel, why string
		fails      string
		kind       fault.Kind
		boots      int // so far
	}
	for _, tc := range []struct {
		name  string
		dev   string
		steps []step
	}{
		{"tcg asked for", dev, []step{{want: "tcg", arch: "x86_64", accel: "tcg", why: "asked for"}}},
		{"another architecture", dev, []step{
			{want: "auto", arch: "s390x", accel: "tcg", why: "KVM can't run s390x on x86_64"},
			{want: "kvm", arch: "s390x", fails: "KVM can't run s390x on x86_64", kind: fault.Input},
		}},
		{"no device", "/no/such/kvm", []step{
			{want: "auto", arch: "x86_64", accel: "tcg", why: "no such file"},
			{want: "kvm", arch: "x86_64", fails: "no such file", kind: fault.Input},
		}},
		{"it works, and is remembered", dev, []step{
			{want: "auto", arch: "x86_64", trouble: works, accel: "kvm", why: "booted", boots: 1},
			{want: "auto", arch: "x86_64", trouble: crawl, accel: "kvm", why: "remembered", boots: 1},
			{want: "kvm", arch: "x86_64", trouble: crawl, accel: "kvm", why: "remembered", boots: 1},
		}},
		{"it crawls, and is remembered unless insisted on", dev, []step{
			{want: "auto", arch: "x86_64", trouble: crawl, accel: "tcg", why: "of no use: no-boot", boots: 1},
			{want: "", arch: "x86_64", trouble: crawl, accel: "tcg", why: "remembered", boots: 1},
			{want: "kvm", arch: "x86_64", trouble: crawl, fails: "KVM does not work for x86_64 here", kind: fault.Input, boots: 2},
			{want: "kvm", arch: "x86_64", trouble: works, accel: "kvm", why: "booted", boots: 3},
			{want: "auto", arch: "x86_64", trouble: crawl, accel: "kvm", why: "remembered", boots: 3},
		}},
		{"a busy host is asked twice, and its no is not remembered", dev, []step{
			{want: "auto", arch: "x86_64", trouble: busy, unsure: true, accel: "tcg", why: "of no use: host-busy", boots: 2},
			{want: "kvm", arch: "x86_64", trouble: busy, unsure: true, fails: "can't be told", kind: fault.Harness, boots: 4},
			{want: "auto", arch: "x86_64", trouble: works, accel: "kvm", why: "booted", boots: 5},
			{want: "auto", arch: "x86_64", trouble: busy, unsure: true, accel: "kvm", why: "remembered", boots: 5},
		}},
		{"an interruption is no answer", dev, []step{
			{want: "auto", arch: "x86_64", err: context.Canceled, fails: "canceled", kind: fault.Interrupted, boots: 1},
			{want: "auto", arch: "x86_64", trouble: works, accel: "kvm", why: "booted", boots: 2},
		}},
		{"a word that is none", dev, []step{{want: "xen", arch: "x86_64", fails: `unknown accelerator "xen"`, kind: fault.Input}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := cache.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			boots := 0
			for i, s := range tc.steps {
				d := detector{cache: c, devKVM: tc.dev, hostArch: "x86_64",
					identity: func(context.Context, string) (string, error) { return "this host", nil },
					boot:     func(context.Context, Machine) (string, bool, error) { boots++; return s.trouble, !s.unsure, s.err },
				}
				accel, why, err := d.detect(t.Context(), s.want, s.arch, Machine{})
				if s.fails != "" {
					if err == nil || !strings.Contains(err.Error(), s.fails) || fault.Of(err) != s.kind {
						t.Errorf("step %d: err = %v (%s), want %s (%s)", i, err, fault.Of(err), s.fails, s.kind)
					}
				} else if err != nil || accel != s.accel || !strings.Contains(why, s.why) {
					t.Errorf("step %d: %s, %s, %v; want %s, %s", i, accel, why, err, s.accel, s.why)
				}
				if boots != s.boots {
					t.Errorf("step %d: %d boots, want %d", i, boots, s.boots)
				}
			}
		})
	}
}

// Only what the next boot would come to as well says anything of KVM.
func TestVerdictOnKVM(t *testing.T) {
	for ending, want := range map[Ending]struct{ works, sure bool }{
		Done: {true, true}, Panic: {true, true}, GuestExit: {true, true},
		NoBoot: {false, true}, Hang: {false, true}, Timeout: {false, true},
		HostBusy: {}, QEMUDied: {}, DiskFull: {}, BadTalk: {},
	} {
		trouble, sure, err := verdictOnKVM(&Outcome{Ending: ending})
		if err != nil || (trouble == "") != want.works || sure != want.sure {
			t.Errorf("%s: %q, sure %v, %v; want %+v", ending, trouble, sure, err, want)
		}
	}
	for why, want := range map[string]bool{
		"start QEMU: cannot set up guest memory 'pc.ram': Cannot allocate memory":    true,
		"start QEMU: ioctl(KVM_CREATE_VM) failed: 16 Device or resource busy":        true,
		"run x86_64 machine: start QEMU: greet QEMU: QEMU did not answer within 10s": true,
		"start QEMU: qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69":     false,
		"start QEMU: Could not access KVM kernel module: Permission denied":          false,
		"start QEMU: qemu-system-x86_64: -accel kvm: invalid accelerator kvm":        false,
	} {
		if passing(why) != want {
			t.Errorf("%s: passing %v", why, !want)
		}
	}
}

// Whatever this machine's KVM is worth, the answer comes soon, and a machine
// then boots with it.
func TestDetectAccelForReal(t *testing.T) {
	need.Long(t)
	arch := hostArch()
	need.QEMU(t, arch)
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := Machine{Arch: arch, Kernel: vmtest.Kernel(t, arch), Initrd: vmtest.Init(t, arch, "./testdata/hello"), Dir: t.TempDir()}
	accel, why, err := DetectAccel(t.Context(), c, Auto, arch, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %s", accel, why)
	m.Accel = accel
	o, err := Run(t.Context(), m, firstWord)
	if err != nil || o.Ending != Done {
		t.Errorf("with %s: %v, %v", accel, o, err)
	}
	if accel == TCG {
		_, _, err := DetectAccel(t.Context(), c, KVM, arch, m)
		if err == nil || errors.Is(err, errStart) || fault.HintOf(err) == "" {
			t.Errorf("asked for KVM where it does not work: %v", err)
		}
	}
}
