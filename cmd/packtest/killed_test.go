// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packtest/internal/cache"
	"packtest/internal/need"
	"packtest/results"
)

// packtest is killed at random moments of a run, from its first steps to its
// last. Nothing it started may live on, no record may say that all is well, and
// the next run clears away, says so, says what it uses again, and is right.
func TestKilled(t *testing.T) {
	need.Long(t)
	need.KernelBuild(t, "s390x")
	need.QEMU(t, "s390x")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root, err := cache.DefaultRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// By this name the test's own program is packtest.
	bin, tmp := filepath.Join(dir, "bin", "packtest"), filepath.Join(dir, "tmp")
	for _, d := range []string{filepath.Dir(bin), tmp} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(self, bin); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	start := func() *exec.Cmd {
		t.Helper()
		said.Reset()
		cmd := exec.Command(bin, "run", "--cache", root, "--arch", "s390x", "--variant", "nopack", "--scenario", "load", "--programs", "20", "--boots", "2")
		cmd.Dir, cmd.Stderr = dir, &said
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	began := time.Now()
	if err := start().Wait(); err != nil {
		t.Fatalf("undisturbed: %v\n%s", err, &said)
	}
	whole := time.Since(began)

	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		cmd := start()
		moment := time.Duration(random.Float64() * float64(whole))
		time.Sleep(moment)
		_ = cmd.Process.Kill()
		killed := cmd.Wait() != nil
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			left := mentioning(t, dir)
			if len(left) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("killed after %v; still running: %q", moment, left)
			}
		}
		if rec := newest(t, filepath.Join(dir, "results")); killed && rec.Finished.IsZero() && rec.Verdict != results.Interrupted {
			t.Errorf("killed after %v; its record says %s: %s", moment, rec.Verdict, rec.Why)
		}
	}
	pattern := filepath.Join(dir, "results", "*", ".*")
	left, _ := filepath.Glob(pattern)
	t.Logf("left by what was killed: %q", left)
	if err := start().Wait(); err != nil {
		t.Fatalf("after the kills: %v\n%s", err, &said)
	}
	if !strings.Contains(said.String(), "build s390x nopack: from the cache") {
		t.Errorf("the next run did not say what it uses again:\n%s", &said)
	}
	if told := strings.Contains(said.String(), "was killed: "); told != (len(left) > 0) {
		t.Errorf("%q was left behind; the next run said\n%s", left, &said)
	}
	if still, _ := filepath.Glob(pattern); len(still) > 0 {
		t.Errorf("left behind: %q", still)
	}
	if still, _ := filepath.Glob(filepath.Join(tmp, "*")); len(still) > 0 {
		t.Errorf("left behind: %q", still)
	}
	if rec := newest(t, filepath.Join(dir, "results")); rec.Verdict != results.Pass || len(rec.Boots) != 2 {
		t.Errorf("the next run: %s: %s, %d boots", rec.Verdict, rec.Why, len(rec.Boots))
	}
}

// mentioning lists the processes whose arguments or working folder lie in dir.
func mentioning(t *testing.T, dir string) []string {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range procs {
		cmdline, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))
		if bytes.Contains(cmdline, []byte(dir)) || strings.HasPrefix(cwd, dir) {
			out = append(out, filepath.Base(p)+" "+string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		}
	}
	return out
}

// newest returns the record of the newest run.
func newest(t *testing.T, dir string) *results.Record {
	t.Helper()
	s := results.NewStore(dir)
	ids, err := s.IDs()
	if err != nil || len(ids) == 0 {
		t.Fatalf("no runs: %v", err)
	}
	rec, err := s.Load(ids[len(ids)-1])
	if err != nil {
		t.Fatal(err)
	}
	return rec
}
