// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"packtest/initramfs"
	"packtest/internal/need"
	"packtest/vm/vmtest"
)

// BenchmarkBootToReady compares how long a guest takes to its first word with a
// PID 1 that only says hello, on the same kernel. It boots them in turn, and
// reports the ratio of the medians, which is to be at most 1.10, for the time on
// the wall and for the processor time of QEMU, which a busy machine disturbs
// less. The latter includes the short wait before the end.
func BenchmarkBootToReady(b *testing.B) {
	if os.Getenv("PACKTEST_BENCH") != "1" {
		b.Skip("boots for a minute; run with PACKTEST_BENCH=1")
	}
	const boots = 9
	for _, arch := range vmtest.Arches() {
		b.Run(arch, func(b *testing.B) {
			need.QEMU(b, arch)
			initrds := []string{
				vmtest.Archive(b, arch, initramfs.Measure),
				vmtest.Init(b, arch, "./testdata/hello"),
			}
			kernel := vmtest.Kernel(b, arch)
			for b.Loop() {
				var wall, cpu [2][]time.Duration
				for range boots {
					for i, initrd := range initrds {
						o, err := Run(b.Context(), Machine{Arch: arch, Kernel: kernel, Initrd: initrd, Dir: b.TempDir(), CPUs: 2}, firstWord)
						if err != nil {
							b.Fatal(err)
						}
						if o.Ready == 0 {
							b.Fatalf("%s: %s", o.Ending, o.Detail)
						}
						wall[i], cpu[i] = append(wall[i], o.Ready), append(cpu[i], o.CPU)
					}
				}
				guest, hello := median(wall[0]), median(wall[1])
				b.ReportMetric(guest.Seconds(), "guest-s")
				b.ReportMetric(hello.Seconds(), "hello-s")
				b.ReportMetric(guest.Seconds()/hello.Seconds(), "ratio")
				b.ReportMetric(median(cpu[0]).Seconds()/median(cpu[1]).Seconds(), "cpu-ratio")
			}
		})
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// firstWord is a Guest to whom the first byte is enough.
func firstWord(ctx context.Context, port io.ReadWriter) error {
	_, err := port.Read(make([]byte, 1))
	return err
}
