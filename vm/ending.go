// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"

	"packtest/internal/fault"
)

// Ending is how a machine's life ended.
type Ending string

const (
	// Done: the guest said done and the kernel said nothing fatal. Warnings may
	// be among the events.
	Done Ending = "done"
	// Panic: the kernel gave up, or printed something after which its word is
	// worth nothing, whatever the guest said.
	Panic Ending = "panic"
	// Hang: no console output and no message for longer than the limit.
	Hang Ending = "hang"
	// NoBoot: the guest's program never said a word within the limit.
	NoBoot Ending = "no-boot"
	// GuestExit: the machine was switched off or reset, without a panic and
	// without done.
	GuestExit Ending = "guest-exit"
	// BadTalk: what the guest said made no sense to the host's side of the
	// talk, while the kernel was fine.
	BadTalk Ending = "bad-talk"
	// Timeout: the guest lived, but was not done within the limit.
	Timeout Ending = "timeout"
	// QEMUDied: QEMU ended by itself or was killed.
	QEMUDied Ending = "qemu-died"
	// HostBusy: the guest was not done within a limit, or its kernel spoke of a
	// stall, but the host had hardly a processor for it.
	HostBusy Ending = "host-busy"
	// DiskFull: the console could not be written.
	DiskFull Ending = "disk-full"
	// Interrupted: somebody asked for the end.
	Interrupted Ending = "interrupted"
)

// Fault says whose fault an ending is. It makes no sense for Done.
func (e Ending) Fault() fault.Kind {
	switch e {
	case Panic, Hang, NoBoot, GuestExit, Timeout:
		return fault.Kernel
	case Interrupted:
		return fault.Interrupted
	}
	return fault.Harness
}

// EndError is an outcome as an error.
type EndError struct {
	Ending Ending
	Detail string
}

// Error says how it ended and why.
func (e *EndError) Error() string {
	if e.Detail == "" {
		return string(e.Ending)
	}
	return fmt.Sprintf("%s: %s", e.Ending, e.Detail)
}

// Fault implements fault.Faulter.
func (e *EndError) Fault() fault.Kind { return e.Ending.Fault() }
