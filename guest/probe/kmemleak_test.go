// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const leaks = `unreferenced object 0xffff8880012ab000 (size 512):
  comm "init", pid 1, jiffies 4294937296 (age 15.400s)
  backtrace:
    [<ffffffff81154460>] bpf_jit_binary_pack_alloc+0x69/0x100
unreferenced object 0xffff8880012ac000 (size 64):
  comm "kworker/0:1", pid 9, jiffies 4294937300 (age 15.000s)
`

func TestKmemleak(t *testing.T) {
	root := t.TempDir()
	k := Kernel{Root: root}
	if err := k.KmemleakClear(); !errors.Is(err, ErrNoKmemleak) {
		t.Errorf("a kernel without: %v", err)
	}
	if _, err := k.KmemleakScan(); !errors.Is(err, ErrNoKmemleak) {
		t.Errorf("a kernel without: %v", err)
	}
	path := filepath.Join(root, kmemleak)
	os.MkdirAll(filepath.Dir(path), 0o755)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := k.KmemleakClear(); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "clear" {
		t.Errorf("wrote %q", b)
	}
	if list, err := k.KmemleakScan(); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	list := ParseKmemleak(leaks)
	if len(list) != 2 || !strings.Contains(list[0], "bpf_jit_binary_pack_alloc") || strings.Contains(list[0], "kworker") {
		t.Errorf("%q", list)
	}
}

func FuzzKmemleak(f *testing.F) {
	f.Add(leaks)
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range ParseKmemleak(s) {
			if !strings.HasPrefix(r, "unreferenced object") {
				t.Errorf("%q", r)
			}
		}
	})
}
