// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PerfEvent is the type of programs that are set off by a perf event.
const PerfEvent Type = 7

// InterruptedAt is where a PerfEvent program's context has the address of the
// instruction that was interrupted (struct bpf_perf_event_data), by packtest's word
// for the architecture.
func InterruptedAt(arch string) (int16, error) {
	switch arch {
	case "x86_64":
		return 128, nil // behind 16 registers of struct pt_regs
	case "s390x":
		return 16, nil // in the PSW, behind the first argument
	}
	return 0, fmt.Errorf("it is not known where %s has the address of an interrupted instruction", arch)
}

// AtClock has a PerfEvent program set off on a processor, every so many nanoseconds
// that this runs in the kernel. It needs no hardware, only the kernel's timers. It
// goes on until the returned descriptor is closed.
func AtClock(processor int, nanoseconds uint64, program int) (int, error) {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK,
		Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Sample: nanoseconds,
		Bits: unix.PerfBitExcludeUser | unix.PerfBitExcludeIdle,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, processor, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open the clock of processor %d: %w", processor, err)
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, program); err != nil {
		return -1, errors.Join(fmt.Errorf("attach a program to the clock of processor %d: %w", processor, err), unix.Close(fd))
	}
	return fd, nil
}
