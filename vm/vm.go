// SPDX-License-Identifier: GPL-2.0-or-later

// Package vm runs one kernel in QEMU and says how it ended: a panic, a hang, a
// guest that leaves, a QEMU that dies are told apart, each soon, and the console
// stays behind. QEMU gets its sockets as open files, so none is ever left over.
// What the guest measures, and what its messages mean, is not this package's
// business: it carries bytes between the guest's port and a Guest.
//
// QEMU's exit code is never trusted. A run is good if the guest's side of the
// talk said done and the console shows no oops, before or after.
package vm

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"packtest/internal/fault"
	"packtest/vm/console"
)

// The accelerators that QEMU is asked for.
const (
	TCG = "tcg"
	KVM = "kvm"
)

// Machine describes a machine and what it boots. Arch, Kernel, Initrd and Dir
// are needed.
type Machine struct {
	Arch   string // x86_64 or s390x
	Kernel string // path of the bootable image
	Initrd string // path of the initramfs
	// SystemMap is the path of the kernel's symbol table, for backtraces; "" leaves
	// addresses in them.
	SystemMap string
	// Cmdline is added to what the machine itself needs on the kernel's command
	// line (the console, and what an oops leads to).
	Cmdline   []string
	CPUs      int // default 1
	MemoryMiB int // default 1024
	// Nodes is how many nodes processors and memory are divided among; default 1.
	// More take x86_64, and a kernel that knows ACPI and PCI.
	Nodes int
	Accel string // TCG (the default) or KVM; see DetectAccel
	// Dir is where console.log and qemu.log are left; it is made if need be.
	Dir string
	// Deterministic makes two boots alike: one CPU, a clock that counts its
	// instructions, a fixed seed, and no device that answers when the host comes
	// to it. What remains is the port: when the host's words arrive is up to the
	// host. An idle guest's clock jumps to its next timer, so its limits pass at
	// once. Only with TCG.
	Deterministic bool
	Limits        Limits
	// Plugin is the value of QEMU's -plugin, if one is to be loaded. Only with TCG:
	// under KVM plugins load and see nothing.
	Plugin string
	// ExtraArgs are added to QEMU's arguments.
	ExtraArgs []string

	tscKHz int
}

// Guest is the host's side of the talk over the guest's port. It returns nil
// only if the guest said done. It must return when the port is closed or ctx is
// done.
type Guest func(ctx context.Context, port io.ReadWriter) error

// Outcome is how a run ended and what it left behind.
type Outcome struct {
	Ending Ending
	Detail string // one line on why, for people
	// Events are the reports of trouble on the console, in order, repeated
	// ones included. Done with warnings among them is still Done.
	Events []console.Event
	// Backtraces is where each CPU was when a limit passed, and how it came there,
	// as QEMU knows it; "" at any other end.
	Backtraces  string
	ConsolePath string
	Ready       time.Duration // from QEMU's start to the guest's first word; 0 if it said none
	Elapsed     time.Duration // from QEMU's start to its end
	CPU         time.Duration // processor time that QEMU used
	QEMU        string        // version, as QEMU says
	Accelerator string
	Args        []string // QEMU's, the program included
	TalkErr     error    // what the Guest returned
}

// Err returns nil for Done, and an *EndError otherwise.
func (o *Outcome) Err() error {
	if o.Ending == Done {
		return nil
	}
	return &EndError{Ending: o.Ending, Detail: o.Detail}
}

// Run boots m, lets g talk to the guest, and returns when QEMU is gone. The
// error is not nil only if the machine could not be started: what happened after
// that, whoever's fault it is, is in the outcome.
func Run(ctx context.Context, m Machine, g Guest) (*Outcome, error) {
	if err := m.prepare(); err != nil {
		return nil, fmt.Errorf("run %s machine: %w", m.Arch, err)
	}
	r, err := start(ctx, &m, nil)
	if err != nil {
		return nil, fmt.Errorf("run %s machine: %w", m.Arch, err)
	}
	t := startTalk(ctx, g, r.port)
	r.watch(ctx, t)
	r.finish(t)
	return r.outcome(t), nil
}

// prepare checks the machine and fills in its defaults.
func (m *Machine) prepare() error {
	switch {
	case m.Arch != "x86_64" && m.Arch != "s390x":
		return fault.Inputf("unknown architecture %q (x86_64, s390x)", m.Arch)
	case m.Dir == "":
		return fault.Inputf("no folder for the console given")
	case m.Accel == "":
		m.Accel = TCG
	case m.Accel != TCG && m.Accel != KVM:
		return fault.Inputf("unknown accelerator %q (kvm, tcg)", m.Accel)
	}
	if m.Accel == KVM {
		if host := hostArch(); host != m.Arch {
			return fault.Inputf("KVM can't run %s on %s", m.Arch, host)
		}
		if m.Deterministic {
			return fault.Inputf("a deterministic run needs TCG, not KVM")
		}
		if m.Plugin != "" {
			return fault.Inputf("a plugin that traces instructions needs TCG: KVM shows it none")
		}
	}
	if m.Nodes > 1 && m.Arch != "x86_64" {
		return fault.Inputf("QEMU's machine for %s has one node, not %d", m.Arch, m.Nodes)
	}
	for what, path := range map[string]string{"kernel": m.Kernel, "initramfs": m.Initrd} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if _, err := exec.LookPath("qemu-system-" + m.Arch); err != nil {
		pkg := map[string]string{"x86_64": "qemu-system-x86", "s390x": "qemu-system-misc"}[m.Arch]
		return fault.WithHint(fmt.Errorf("QEMU is missing: %w", err), "apt-get install %s", pkg)
	}
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return err
	}
	if m.CPUs == 0 || m.Deterministic {
		m.CPUs = 1
	}
	if m.MemoryMiB == 0 {
		m.MemoryMiB = 1024
	}
	m.Limits = m.Limits.effective(m.Accel)
	switch {
	case m.Arch != "x86_64":
	case m.Deterministic:
		m.tscKHz = 1_000_000 // -icount shift=0: an instruction a nanosecond
	default:
		m.tscKHz = tscKHz()
	}
	return nil
}

// hostArch is packtest's word for the architecture it runs on.
func hostArch() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

func (m *Machine) consolePath() string { return filepath.Join(m.Dir, "console.log") }
func (m *Machine) qemuLogPath() string { return filepath.Join(m.Dir, "qemu.log") }
