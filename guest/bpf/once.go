// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// LoadOnce is BPF_PROG_LOAD made ready beforehand, so that nothing but the call
// itself happens on its thread while allocations are made to fail.
type LoadOnce struct {
	attr loadAttr
	code []byte
}

// NewLoadOnce prepares the load of a program.
func NewLoadOnce(t Type, name string, code []byte) *LoadOnce {
	return &LoadOnce{attr: newLoadAttr(t, name, code), code: code}
}

// Call loads the program, without asking again and without a log. The error is
// the kernel's number.
func (l *LoadOnce) Call() (int, unix.Errno) {
	fd, _, errno := unix.RawSyscall(unix.SYS_BPF, cmdProgLoad, uintptr(unsafe.Pointer(&l.attr)), unsafe.Sizeof(l.attr))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), 0
}

// RunOnce is BPF_PROG_TEST_RUN made ready beforehand, likewise.
type RunOnce struct {
	attr   testRunAttr
	packet []byte
}

// NewRunOnce prepares to run a program of a networking type on packet, repeat
// times.
func NewRunOnce(fd int, packet []byte, repeat int) *RunOnce {
	return &RunOnce{testRunAttr{fd: uint32(fd), repeat: uint32(repeat), dataInSize: uint32(len(packet)), dataIn: bytesPointer(packet)}, packet}
}

// Call runs the program and returns what it returned.
func (r *RunOnce) Call() (uint32, unix.Errno) {
	_, _, errno := unix.RawSyscall(unix.SYS_BPF, cmdProgTestRun, uintptr(unsafe.Pointer(&r.attr)), unsafe.Sizeof(r.attr))
	return r.attr.retval, errno
}
