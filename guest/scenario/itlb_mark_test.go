// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"packtest/internal/need"
	"packtest/itlb/trace"
)

// Each mark stands once in the guest's machine code, number included: nothing
// else is what a tracer looks for.
func TestMarks(t *testing.T) {
	need.Commands(t, "go")
	marks := map[string]func(number uint32) []byte{
		"amd64": func(n uint32) []byte { return binary.LittleEndian.AppendUint32([]byte{0x0f, 0x1f, 0x84, 0x00}, n) },
		"s390x": func(n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{0xc0, 0x04}, n) },
	}
	for arch, mark := range marks {
		t.Run(arch, func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), "guest")
			cmd := exec.Command("go", "build", "-o", bin, "packtest/cmd/packguest")
			cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			f, err := elf.Open(bin)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			text, err := f.Section(".text").Data()
			if err != nil {
				t.Fatal(err)
			}
			for _, number := range []uint32{trace.MarkBegin, trace.MarkLap, trace.MarkEnd} {
				if n := bytes.Count(text, mark(number)); n != 1 {
					t.Errorf("the mark %#x stands %d times", number, n)
				}
			}
		})
	}
}

// Where nobody traces, a mark does nothing.
func TestMarksAreHarmless(t *testing.T) {
	markBegin()
	markLap()
	markEnd()
}
