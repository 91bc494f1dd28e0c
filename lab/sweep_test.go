// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"packtest/results"
)

func TestSweep(t *testing.T) {
	r, _ := testRun(t, openCache(t))
	if err := r.Store.Save(r.rec); err != nil {
		t.Fatal(err)
	}
	file := func(text string, path ...string) {
		t.Helper()
		p := filepath.Join(append([]string{r.dir}, path...)...)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	boot, err := os.MkdirTemp(r.dir, bootFolder(testBoot(false)))
	if err != nil {
		t.Fatal(err)
	}
	file("Linux version\n", filepath.Base(boot), "console.log")
	file("cpio", ".initrd-1", "s390x-pack.cpio")
	file("{", ".record.json.new-2")
	file("Linux version\n", "consoles", "s390x-nopack-1.log")
	sweep := func() string {
		var told []string
		r.Events = func(e Event) { told = append(told, e.Text) }
		stop := r.listen()
		r.sweep()
		stop()
		return strings.Join(told, "\n")
	}

	release, err := r.Store.Hold(r.rec.ID)
	if err != nil {
		t.Fatal(err)
	}
	if told := sweep(); told != "" {
		t.Errorf("a run at work was swept: %s", told)
	}
	if left, _ := leftBehind(r.dir); len(left) != 3 {
		t.Errorf("left of a run at work: %q", left)
	}
	release()
	if told := sweep(); !strings.Contains(told, "the run "+r.rec.ID+" was killed: 1 MiB") {
		t.Errorf("told %q", told)
	}
	if left, _ := leftBehind(r.dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	for _, name := range []string{"s390x-nopack-1.log", "s390x-pack-1.log.cut-short"} {
		if _, err := os.Stat(filepath.Join(r.dir, "consoles", name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(r.dir, results.RecordName)); err != nil {
		t.Error(err)
	}
	if told := sweep(); told != "" {
		t.Errorf("told again: %s", told)
	}
}
