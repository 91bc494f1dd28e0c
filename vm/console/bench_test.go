// SPDX-License-Identifier: GPL-2.0-or-later

package console

import (
	"os"
	"testing"
)

// BenchmarkScan says how fast an ordinary console is read, in bytes a second.
func BenchmarkScan(b *testing.B) {
	text, err := os.ReadFile("testdata/x86_64-stall.txt")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Scan(string(text))
	}
}
