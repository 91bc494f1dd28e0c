// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"
	"testing"
)

func TestAtOnce(t *testing.T) {
	for _, tc := range []struct{ processors, availableMiB, memoryMiB, want int }{
		{2, 22532, 2048, 2},
		{16, 15000, 2048, 5},
		{16, 64000, 2048, 16},
		{16, 15000, 512, 14},
		{4, 1000, 2048, 1},
		{4, 0, 2048, 1},
	} {
		meminfo := fmt.Sprintf("MemTotal:       33000000 kB\nMemFree:          100 kB\nMemAvailable:   %d kB\nHugePages_Total:       0\n", tc.availableMiB<<10)
		if got := atOnce(tc.processors, meminfo, tc.memoryMiB); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
	if got := atOnce(4, "MemTotal: 1 kB\n", 2048); got != 4 {
		t.Errorf("nothing said: %d", got)
	}
	if got := AtOnce(1); got < 1 {
		t.Errorf("here: %d", got)
	}
}
