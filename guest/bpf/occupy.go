// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Occupy is TestRun, on and on. It ends when the calling thread gets a signal
// and stop is set.
func Occupy(fd int, packet []byte, stop *atomic.Bool) error {
	for !stop.Load() {
		attr := testRunAttr{fd: uint32(fd), repeat: math.MaxInt32, dataInSize: uint32(len(packet)), dataIn: bytesPointer(packet)}
		_, _, errno := unix.Syscall(unix.SYS_BPF, cmdProgTestRun, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		if errno != 0 && errno != unix.EINTR {
			return fmt.Errorf("run program on and on: %w", errno)
		}
	}
	return nil
}
