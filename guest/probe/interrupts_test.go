// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"os"
	"path/filepath"
	"testing"
)

const interruptionsS390 = `           CPU0       CPU1       
EXT:      10234        733 
I/O:       1041          0 
AIO:         12          1 
CLK:        873        512   [EXT] Clock Comparator
EXC:         26         40   [EXT] External Call
`

const interruptionsX86 = `           CPU0       CPU1       
  4:        213          7   IO-APIC   4-edge      ttyS0
LOC:       4001       5002   Local timer interrupts
ERR:          0
MIS:          0
`

func TestInterruptions(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		processor  int
		want       uint64
		fails      bool
	}{
		{name: "s390x", text: interruptionsS390, processor: 1, want: 733 + 0 + 1 + 512 + 40},
		{name: "s390x, the first", text: interruptionsS390, processor: 0, want: 10234 + 1041 + 12 + 873 + 26},
		{name: "x86_64", text: interruptionsX86, processor: 1, want: 7 + 5002},
		{name: "no such processor", text: interruptionsX86, processor: 2, fails: true},
		{name: "cut off in a line", text: "  CPU0 CPU1\nEXT: 1 2\nI/O: 4", processor: 1, want: 2},
		{name: "nothing", fails: true},
		{name: "a head alone", text: "  CPU0\n", fails: true},
		{name: "no number", text: "  CPU0\nEXT: x\n", fails: true},
	} {
		got, err := parseInterruptions(tc.text, tc.processor)
		if (err != nil) != tc.fails || got != tc.want {
			t.Errorf("%s: %d, %v; want %d", tc.name, got, err, tc.want)
		}
	}
}

func TestOpenInterruptions(t *testing.T) {
	root := t.TempDir()
	if _, err := (Kernel{Root: root}).OpenInterruptions(); err == nil {
		t.Error("opened what isn't there")
	}
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/interrupts"), []byte(interruptionsS390), 0o644); err != nil {
		t.Fatal(err)
	}
	i, err := Kernel{Root: root}.OpenInterruptions()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := i.Of(1); err != nil || n != 1286 {
			t.Errorf("%d, %v", n, err)
		}
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
}
