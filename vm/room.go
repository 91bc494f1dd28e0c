// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// overheadMiB is what QEMU takes beside its guest's memory: its own, and what it
// translates.
const overheadMiB = 512

// AtOnce returns how many machines of so much memory are to run at once on this
// host: one for each processor, since a VM's second one is idle most of the time,
// but no more than the memory that is free has room for, and at least one.
func AtOnce(memoryMiB int) int {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return runtime.NumCPU()
	}
	return atOnce(runtime.NumCPU(), string(text), memoryMiB)
}

// atOnce is AtOnce on a host with so many processors and that /proc/meminfo. One
// that doesn't say what is available says nothing against any.
func atOnce(processors int, meminfo string, memoryMiB int) int {
	for line := range strings.Lines(meminfo) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "MemAvailable:" || f[2] != "kB" {
			continue
		}
		if kib, err := strconv.Atoi(f[1]); err == nil {
			return max(1, min(processors, kib>>10/(memoryMiB+overheadMiB)))
		}
	}
	return processors
}
