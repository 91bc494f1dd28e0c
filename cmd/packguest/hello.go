// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"runtime"

	"golang.org/x/sys/unix"

	"packtest/guest/probe"
	"packtest/guest/wire"
)

// program names this build; it is set when the guest is baked.
var program = ""

// hello tells what this machine is. What can't be read stays empty: the host
// says what it misses.
func hello() wire.Hello {
	k := probe.Kernel{}
	h := wire.Hello{Program: program, Arch: probe.ArchName(runtime.GOARCH), CPUs: runtime.NumCPU(), Mitigations: k.Mitigations()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Release = unix.ByteSliceToString(u.Release[:])
		h.Build = unix.ByteSliceToString(u.Version[:])
	}
	h.Cmdline, _ = k.Cmdline()
	h.Config, _ = k.Config()
	if m, err := k.Meminfo(); err == nil {
		h.MemoryBytes = m["MemTotal"]
	}
	return h
}
