// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"packtest/guest/agent"
	"packtest/guest/probe"
	"packtest/guest/scenario"
	"packtest/guest/wire"
)

// shellWord on the kernel's command line asks for a shell.
const shellWord = "packtest.shell"

// boot is process 1. It does not return: if it did, the kernel would panic,
// and what is packtest's fault would look like the kernel's.
func boot(console io.Writer) {
	defer powerOff(console)
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(console, "packguest: panic: %v\n%s", v, debug.Stack())
		}
	}()
	if err := mountAll(needed); err != nil {
		fmt.Fprintf(console, "packguest: %v\n", err)
		return
	}
	cmdline, err := probe.Kernel{}.Cmdline()
	if err != nil {
		fmt.Fprintf(console, "packguest: %v\n", err)
		return
	}
	if slices.Contains(strings.Fields(cmdline), shellWord) {
		if err = mountAll(wanted); err == nil {
			err = shell(console)
		}
	} else {
		err = serve(console)
	}
	if err != nil {
		fmt.Fprintf(console, "packguest: %v\n", err)
	}
}

// serve has the conversation with packtest.
func serve(console io.Writer) error {
	a := agent.Agent{Hello: hello(), Scenarios: scenario.All(), Env: environment(console), Prepare: func() error { return mountAll(wanted) }}
	var p *port
	open := func() (_ io.ReadWriter, err error) {
		p, err = openPort(portLimit)
		return p, err
	}
	job, err := earlyJob()
	if err != nil {
		return err
	}
	limit := hangUpLimit
	if job != nil {
		// Where jobs come early an idle guest's clock runs ahead of the host's.
		limit = 0
		err = a.ServeEarly(context.Background(), *job, open)
	} else if _, err = open(); err == nil {
		err = a.Serve(context.Background(), p)
	}
	if p != nil {
		defer p.Close()
	}
	if err != nil {
		return err
	}
	// The host hangs up when it has read everything. Powering off earlier could
	// lose what is still on its way.
	p.awaitHangUp(limit)
	return nil
}

// earlyJob returns the job that is in the initramfs, if there is one.
func earlyJob() (*wire.Job, error) {
	b, err := os.ReadFile(wire.JobFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var job wire.Job
	if err == nil {
		err = json.Unmarshal(b, &job)
	}
	if err != nil {
		return nil, fmt.Errorf("read the job in the initramfs: %w", err)
	}
	return &job, nil
}

func environment(log io.Writer) scenario.Env {
	return scenario.Env{Arch: probe.ArchName(runtime.GOARCH), Log: log, Now: time.Now}
}

type mount struct{ fs, dir string }

// What process 1 needs to introduce itself, and what scenarios and shells want
// besides, in the order of dependence.
var (
	needed = []mount{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}}
	wanted = []mount{
		{"debugfs", "/sys/kernel/debug"},
		{"tracefs", "/sys/kernel/tracing"},
		{"bpf", "/sys/fs/bpf"},
		{"cgroup2", "/sys/fs/cgroup"},
		{"tmpfs", "/tmp"},
	}
)

func mountAll(list []mount) error {
	for _, m := range list {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			// A kernel without a file system doesn't have its directory either.
			if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.ENOENT) {
				continue
			}
			return fmt.Errorf("make %s: %w", m.dir, err)
		}
		err := unix.Mount(m.fs, m.dir, m.fs, 0, "")
		// Already mounted, or not in this kernel: whoever needs it will say so.
		if err != nil && err != unix.EBUSY && err != unix.ENODEV {
			return fmt.Errorf("mount %s on %s: %w", m.fs, m.dir, err)
		}
	}
	return nil
}

// powerOff ends the machine by whatever way it has.
func powerOff(console io.Writer) {
	unix.Sync()
	// A machine without ACPI cannot be switched off: the kernel would halt, and
	// QEMU stay. It can be reset, which ends QEMU under -no-reboot.
	how := unix.LINUX_REBOOT_CMD_POWER_OFF
	if runtime.GOARCH == "amd64" && !exists("/sys/firmware/acpi") {
		how = unix.LINUX_REBOOT_CMD_RESTART
	}
	err := unix.Reboot(how)
	fmt.Fprintf(console, "packguest: power off: %v\n", err)
	for {
		time.Sleep(time.Hour)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
