// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import "time"

// tsc reads the processor's time stamp counter.
func tsc() uint64

// tscKHz measures how fast the time stamp counter goes, to about a tenth of a
// per mille. QEMU hands it through to the guest, and a guest without ACPI would
// otherwise have to find out against an emulated timer, which fails on a busy
// machine and leaves it with a clock of 10 ms steps.
func tscKHz() int {
	const long = 10 * time.Millisecond
	t0, c0 := time.Now(), tsc()
	time.Sleep(long)
	t1, c1 := time.Now(), tsc()
	return int(float64(c1-c0) / float64(t1.Sub(t0).Nanoseconds()) * 1e6)
}
