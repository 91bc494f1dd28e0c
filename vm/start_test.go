// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packtest/internal/fault"
)

// fakeQEMU puts a shell script into PATH as qemu-system-s390x and returns a
// machine that would run it.
func fakeQEMU(t *testing.T, script string) Machine {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "qemu-system-s390x"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("TMPDIR", t.TempDir())
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return Machine{Arch: "s390x", Kernel: file, Initrd: file, Dir: t.TempDir()}
}

func never(context.Context, io.ReadWriter) error { return errors.New("nobody called") }

// A QEMU that does not come as far as running the guest is an error that says
// what it said, soon, and leaves nothing behind.
func TestStartErrors(t *testing.T) {
	for _, tc := range []struct{ name, script, want string }{
		{"complains", "echo 'qemu: could not load kernel' >&2; exit 1", "could not load kernel"},
		{"says nothing", "exit 7", "exit status 7"},
		{"never answers", "exec sleep 1000", "did not answer within 300ms"},
		{"never answers nor listens", "trap '' INT TERM; while :; do sleep 1; done", "did not answer within 300ms"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := fakeQEMU(t, tc.script)
			m.Limits.Grace = 300 * time.Millisecond
			began := time.Now()
			o, err := Run(t.Context(), m, never)
			if err == nil || !strings.Contains(err.Error(), tc.want) || fault.Of(err) != fault.Harness {
				t.Errorf("%v, %v; want %s", o, err, tc.want)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestInterruptedStart(t *testing.T) {
	m := fakeQEMU(t, "exec sleep 1000")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, context.Canceled)
	defer cancel()
	_, err := Run(ctx, m, never)
	if fault.Of(err) != fault.Interrupted {
		t.Errorf("%v", err)
	}
}

func TestPrepareErrors(t *testing.T) {
	good := fakeQEMU(t, "exit 0")
	for _, tc := range []struct {
		name   string
		change func(*Machine)
		want   string
		kind   fault.Kind
	}{
		{"architecture", func(m *Machine) { m.Arch = "arm64" }, `unknown architecture "arm64"`, fault.Input},
		{"accelerator", func(m *Machine) { m.Accel = "xen" }, `unknown accelerator "xen"`, fault.Input},
		{"nodes", func(m *Machine) { m.Nodes = 2 }, "QEMU's machine for s390x has one node, not 2", fault.Input},
		{"no folder", func(m *Machine) { m.Dir = "" }, "no folder", fault.Input},
		{"KVM for another architecture", func(m *Machine) { m.Accel = KVM }, "KVM can't run s390x", fault.Input},
		{"KVM and a trace", func(m *Machine) { m.Arch, m.Accel, m.Plugin = hostArch(), KVM, "file=itlb.so" }, "a plugin that traces instructions needs TCG", fault.Input},
		{"KVM and the same each time", func(m *Machine) { m.Arch, m.Accel, m.Deterministic = hostArch(), KVM, true }, "a deterministic run needs TCG", fault.Input},
		{"no kernel", func(m *Machine) { m.Kernel = "/no/kernel" }, "kernel: stat /no/kernel", fault.Harness},
		{"no initramfs", func(m *Machine) { m.Initrd = "/no/initrd" }, "initramfs: stat /no/initrd", fault.Harness},
		{"no QEMU", func(m *Machine) { t.Setenv("PATH", "/nowhere") }, "QEMU is missing", fault.Harness},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := good
			tc.change(&m)
			_, err := Run(t.Context(), m, never)
			if err == nil || !strings.Contains(err.Error(), tc.want) || fault.Of(err) != tc.kind {
				t.Errorf("%v (%s); want %s (%s)", err, fault.Of(err), tc.want, tc.kind)
			}
			if tc.name == "no QEMU" && fault.HintOf(err) != "apt-get install qemu-system-misc" {
				t.Errorf("hint %q", fault.HintOf(err))
			}
		})
	}
}

func TestNodes(t *testing.T) {
	m := Machine{Arch: "x86_64", CPUs: 3, MemoryMiB: 1025, Nodes: 2}
	got := strings.Join(m.args(false), " ")
	for _, want := range []string{"-machine q35 ", "-smp 3,sockets=3 ", "-device virtio-serial-pci ", "-object memory-backend-ram,id=mem0,size=513M",
		"-numa node,nodeid=0,memdev=mem0,cpus=0,cpus=2", "-object memory-backend-ram,id=mem1,size=512M", "-numa node,nodeid=1,memdev=mem1,cpus=1"} {
		if !strings.Contains(got+" ", want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	m.Nodes = 1
	if got := strings.Join(m.args(false), " "); strings.Contains(got, "numa") || !strings.Contains(got, "microvm") {
		t.Error(got)
	}
}

// What a machine is does not hang on where its files lie, or on the host's clock.
func TestSetup(t *testing.T) {
	m := Machine{Arch: "x86_64", Accel: TCG, CPUs: 2, MemoryMiB: 1024, Kernel: "/a/bzImage", Initrd: "/a/initrd"}
	same, setup := m, m.Setup()
	same.Kernel, same.Initrd, same.Dir, same.tscKHz = "/b/bzImage", "/b/initrd", "/b", 2_000_000
	if got := same.Setup(); got != setup || m.Kernel == "" {
		t.Errorf("%q, and elsewhere %q", setup, got)
	}
	for what, change := range map[string]func(*Machine){
		"architecture": func(m *Machine) { m.Arch = "s390x" }, "accelerator": func(m *Machine) { m.Accel = KVM },
		"processors": func(m *Machine) { m.CPUs++ }, "memory": func(m *Machine) { m.MemoryMiB++ }, "nodes": func(m *Machine) { m.Nodes = 2 },
		"parameters": func(m *Machine) { m.Cmdline = []string{"nosmap"} }, "arguments": func(m *Machine) { m.ExtraArgs = []string{"-cpu", "qemu64"} },
		"clock": func(m *Machine) { m.Deterministic = true },
	} {
		other := m
		if change(&other); other.Setup() == setup {
			t.Errorf("another %s makes no difference", what)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		m    Machine
		want string
	}{
		{Machine{Arch: "s390x", Cmdline: []string{"oops=continue", "x=1"}},
			"console=ttysclp0 sclp_con_drop=0 oops=panic panic=-1 panic_on_warn=0 no_hash_pointers oops=continue x=1"},
		{Machine{Arch: "x86_64", tscKHz: 2000000},
			"console=ttyS0 reboot=t tsc=reliable no_timer_check tsc_early_khz=2000000 lpj=20000000 unknown_nmi_panic " +
				"sysctl.kernel.panic_on_unrecovered_nmi=1 oops=panic panic=-1 panic_on_warn=0 no_hash_pointers"},
	} {
		if got := tc.m.CommandLine(); got != tc.want {
			t.Errorf("%s\nwant %s", got, tc.want)
		}
	}
}

func TestSlowdown(t *testing.T) {
	l := Limits{Boot: time.Second, Slowdown: 3}
	if got := l.effective(TCG); got.Boot != 3*time.Second || got.Silence != 45*time.Second || got.Grace != 30*time.Second {
		t.Errorf("under TCG: %+v", got)
	}
	if got := l.effective(KVM); got.Boot != time.Second || got.Silence != 15*time.Second {
		t.Errorf("under KVM: %+v", got)
	}
}

func TestTSC(t *testing.T) {
	if hostArch() != "x86_64" {
		t.Skip("this host has no time stamp counter")
	}
	if khz := tscKHz(); khz < 100_000 || khz > 10_000_000 {
		t.Errorf("the time stamp counter goes at %d kHz?", khz)
	}
}
