// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packtest/internal/need"
	"packtest/vm/vmtest"
)

// Even if packtest is killed, no QEMU runs on and no socket stays behind.
func TestKilledItself(t *testing.T) {
	if dir := os.Getenv("PACKTEST_VM_VICTIM"); dir != "" {
		victim(t, dir)
		return
	}
	need.Long(t)
	const arch = "s390x"
	need.QEMU(t, arch)
	dir, initrd := t.TempDir(), vmtest.Init(t, arch, "./testdata/provoke")
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledItself$")
	cmd.Env = append(os.Environ(), "PACKTEST_VM_VICTIM="+dir, "TMPDIR="+dir, "PACKTEST_VM_KERNEL="+vmtest.Kernel(t, arch),
		"PACKTEST_VM_INITRD="+initrd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "it runs" {
	}
	running := qemusBooting(t, initrd)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if running != 1 {
		t.Fatalf("%d QEMU ran", running)
	}
	for deadline := time.Now().Add(10 * time.Second); qemusBooting(t, initrd) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("QEMU runs on")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "packtest-tmp-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func qemusBooting(t *testing.T, initrd string) int {
	n := 0
	for _, cmdline := range processes(t) {
		if strings.HasPrefix(cmdline, "qemu-system-") && strings.Contains(cmdline, initrd) {
			n++
		}
	}
	return n
}

// victim runs a machine until it is killed.
func victim(t *testing.T, dir string) {
	_, err := Run(t.Context(), Machine{Arch: "s390x", Kernel: os.Getenv("PACKTEST_VM_KERNEL"), Initrd: os.Getenv("PACKTEST_VM_INITRD"),
		Dir: filepath.Join(dir, "logs"), Cmdline: []string{"provoke=hello,talk"}},
		func(ctx context.Context, port io.ReadWriter) error {
			if _, err := io.ReadFull(port, make([]byte, len("hello\n"))); err != nil {
				return err
			}
			fmt.Println("it runs")
			return listen(ctx, port)
		})
	t.Fatal("it ended: ", err)
}
