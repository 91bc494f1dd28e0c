// SPDX-License-Identifier: GPL-2.0-or-later

package cache

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// What a process that was killed left half made goes; what another one is
// making stays.
func TestSweep(t *testing.T) {
	if root := os.Getenv("PACKTEST_CACHE_VICTIM"); root != "" {
		if _, _, err := TempDir("", "victim"); err != nil {
			t.Fatal(err)
		}
		c, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Put("k", "1", func(dir string) error {
			fmt.Println("it fills", fill("f", "half")(dir))
			time.Sleep(time.Hour)
			return nil
		})
		t.Fatal("it ended: ", err)
	}
	c, tmp := open(t), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	// Nobody knows of these whose they are, or they are not ours to remove.
	for _, name := range []string{"packtest-shell-1", "packtest-tmp", "other"} {
		if err := os.Mkdir(filepath.Join(tmp, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("other", filepath.Join(tmp, tempPrefix+"link")); err != nil {
		t.Fatal(err)
	}
	mine, remove, err := TempDir("", "mine")
	if err != nil {
		t.Fatal(err)
	}
	temps := func() int {
		names, _ := filepath.Glob(filepath.Join(tmp, "*"))
		return len(names)
	}
	victim := exec.Command(os.Args[0], "-test.run=^TestSweep$")
	victim.Env = append(os.Environ(), "PACKTEST_CACHE_VICTIM="+c.Root())
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "it fills <nil>"; {
	}
	left := func() int {
		names, _ := filepath.Glob(filepath.Join(c.Root(), "entries", "k", "*"))
		return len(names)
	}
	// How many it removes is not asked: there may be others in /tmp.
	if _, err := SweepTemp(); err != nil || temps() != 6 {
		t.Errorf("while it lived: %v; %d temporary folders left", err, temps())
	}
	if n, err := c.Sweep(); n != 0 || err != nil || left() != 1 {
		t.Errorf("while it was made: %d removed, %v; %d left", n, err, left())
	}
	_ = victim.Process.Kill()
	_ = victim.Wait()
	if n, err := SweepTemp(); n < 1 || err != nil || temps() != 5 {
		t.Errorf("after it was killed: %d temporary folders removed, %v; %d left", n, err, temps())
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
	if remove(); temps() != 4 {
		t.Errorf("%d left", temps())
	}
	if n, err := c.Sweep(); n != 1 || err != nil || left() != 0 {
		t.Errorf("after it was killed: %d removed, %v; %d left", n, err, left())
	}
	if _, err := c.Put("k", "1", fill("f", "whole")); err != nil {
		t.Error(err)
	}
	if _, err := c.Get("k", "1"); err != nil {
		t.Error(err)
	}
}
