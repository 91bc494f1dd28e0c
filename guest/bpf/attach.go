// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of bpf(2) that attach programs, and what they take.
const (
	cmdProgAttach        = 8
	cmdRawTracepointOpen = 17
	cmdLinkCreate        = 28

	attachEgress = 1 // BPF_CGROUP_INET_EGRESS
	allowMulti   = 2 // BPF_F_ALLOW_MULTI

	attachXDP  = 37 // BPF_XDP
	genericXDP = 2  // XDP_FLAGS_SKB_MODE
)

// MaxPerCgroup is how many programs one cgroup takes (BPF_CGROUP_MAX_PROGS);
// those of the cgroups above it run as well.
const MaxPerCgroup = 64

// AttachEgress puts a cgroup_skb program after those that see the packets sent
// from the cgroup, whose folder is open as cgroup. It stays until the cgroup goes.
func AttachEgress(cgroup, program int) error {
	attr := struct{ target, program, kind, flags, replace uint32 }{uint32(cgroup), uint32(program), attachEgress, allowMulti, 0}
	if _, err := call(cmdProgAttach, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return fmt.Errorf("attach a program to a cgroup: %w", err)
	}
	return nil
}

// AttachXDP has an XDP program see the packets that come to a network interface,
// given by its number, in the generic way that needs no driver. It stays until
// the returned descriptor is closed.
func AttachXDP(device, program int) (int, error) {
	attr := struct{ program, device, kind, flags uint32 }{uint32(program), uint32(device), attachXDP, genericXDP}
	fd, err := call(cmdLinkCreate, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return -1, fmt.Errorf("attach a program to network interface %d: %w", device, err)
	}
	return fd, nil
}

// OpenRawTracepoint puts a program after those that run at the kernel's
// tracepoint called name. It stays until the returned descriptor is closed.
func OpenRawTracepoint(name string, program int) (int, error) {
	text, err := unix.BytePtrFromString(name)
	if err != nil {
		return -1, fmt.Errorf("attach a program to tracepoint %q: %w", name, err)
	}
	attr := struct {
		name       unsafe.Pointer
		program, _ uint32
	}{unsafe.Pointer(text), uint32(program), 0}
	fd, err := call(cmdRawTracepointOpen, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return -1, fmt.Errorf("attach a program to tracepoint %s: %w", name, err)
	}
	return fd, nil
}

// TestRunCall is one BPF_PROG_TEST_RUN, made ready beforehand: for a loop that
// shall do nothing else. What it points to must not be garbage-collected, and
// it must not be copied after its first use.
type TestRunCall struct {
	attr   testRunAttr
	packet []byte
}

// NewTestRunCall makes the call that runs program once, on packet if it is of a
// networking type.
func NewTestRunCall(t Type, program int, packet []byte) *TestRunCall {
	c := &TestRunCall{packet: packet, attr: testRunAttr{fd: uint32(program)}}
	// The kernel runs a raw tracepoint's program once and refuses any number.
	if t != RawTracepoint {
		c.attr.repeat, c.attr.dataInSize, c.attr.dataIn = 1, uint32(len(packet)), bytesPointer(packet)
	}
	return c
}

// Args are the system call's number and arguments.
func (c *TestRunCall) Args() [4]uintptr {
	return [4]uintptr{unix.SYS_BPF, cmdProgTestRun, uintptr(unsafe.Pointer(&c.attr)), unsafe.Sizeof(c.attr)}
}
