// SPDX-License-Identifier: GPL-2.0-or-later

package proc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// If packtest is killed, what it started ends, and what that started: a make
// that went on would write into a build tree that the next packtest works in.
func TestOrphans(t *testing.T) {
	if dir := os.Getenv("PACKTEST_PROC_VICTIM"); dir != "" {
		_, err := Run(t.Context(), Cmd{Argv: []string{"make", "-C", dir, "outer"}, Orphaned: syscall.SIGTERM})
		t.Fatal("it ended: ", err)
	}
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	dir := t.TempDir()
	makefile := "outer:\n\t@+$(MAKE) inner\ninner:\n\t@touch begun\n\t@sleep 1000\n"
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(makefile), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOrphans$")
	cmd.Env = append(os.Environ(), "PACKTEST_PROC_VICTIM="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun := false
	for deadline := time.Now().Add(20 * time.Second); !begun && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		_, err := os.Stat(filepath.Join(dir, "begun"))
		begun = err == nil
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !begun {
		t.Fatal("make never came to its recipe")
	}
	for deadline := time.Now().Add(10 * time.Second); len(workingIn(dir)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still at work: %q", workingIn(dir))
		}
	}
}

// workingIn lists the processes whose working folder is dir.
func workingIn(dir string) []string {
	var out []string
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, l := range links {
		if at, err := os.Readlink(l); err == nil && at == dir {
			b, _ := os.ReadFile(filepath.Join(filepath.Dir(l), "cmdline"))
			out = append(out, fmt.Sprintf("%s %q", filepath.Base(filepath.Dir(l)), b))
		}
	}
	return out
}
