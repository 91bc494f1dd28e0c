// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"packtest/internal/need"
	"packtest/vm/vmtest"
)

// machine returns one that boots testdata/provoke with the given words.
func machine(t *testing.T, arch, words string) Machine {
	t.Helper()
	need.Long(t)
	need.QEMU(t, arch)
	return Machine{
		Arch: arch, Kernel: filepath.Join(vmtest.KernelDir(t, arch), "bzImage"),
		Initrd: vmtest.Init(t, arch, "./testdata/provoke"), Dir: t.TempDir(), CPUs: 2, MemoryMiB: 512,
		Cmdline: []string{"provoke=" + words},
	}
}

// listen is a Guest that reads lines until done.
func listen(ctx context.Context, port io.ReadWriter) error {
	r := bufio.NewScanner(port)
	for r.Scan() {
		switch r.Text() {
		case "done":
			return nil
		case "hello", "still here":
		default:
			return fmt.Errorf("no such word: %q", r.Text())
		}
	}
	if err := r.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func TestDone(t *testing.T) {
	for _, arch := range vmtest.Arches() {
		t.Run(arch, func(t *testing.T) {
			o, err := Run(t.Context(), machine(t, arch, "hello,done,off"), listen)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", o)
			if o.Ending != Done || o.Ready == 0 || len(o.Events) != 0 {
				t.Errorf("%s: %s; ready %v; events %v", o.Ending, o.Detail, o.Ready, o.Events)
				b, _ := os.ReadFile(o.ConsolePath)
				t.Logf("%s", b)
			}
		})
	}
}

var _ = strings.TrimSpace
var _ sync.Mutex
