// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// faultKernel is the files of a kernel with fault injection.
func faultKernel(t *testing.T) (Kernel, func(name string) string) {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		faultSlab + "/verbose": "", faultSlab + "/ignore-gfp-wait": "", faultSlab + "/cache-filter": "",
		faultPages + "/verbose": "", faultPages + "/ignore-gfp-wait": "", faultPages + "/ignore-gfp-highmem": "", faultPages + "/min-order": "",
		faultPages + "/probability": "", faultPages + "/task-filter": "", faultPages + "/interval": "", faultPages + "/space": "", faultPages + "/times": "",
		faultFunction + "/injectable": "bpf_arch_text_copy\tERRNO\nsome_page\tNULL\n", faultFunction + "/inject": "", faultFunction + "/verbose": "",
		faultFunction + "/bpf_arch_text_copy/retval": "", faultFunction + "/interval": "", faultFunction + "/space": "",
		faultFunction + "/times": "", faultFunction + "/probability": "",
		"/proc/self/fail-nth": "", "/proc/thread-self/fail-nth": "0\n", "/proc/thread-self/make-it-fail": "0\n",
	} {
		path := filepath.Join(root, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Kernel{Root: root}, func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
}

func TestFaults(t *testing.T) {
	if _, err := (Kernel{Root: t.TempDir()}).Faults(); !errors.Is(err, ErrNoFaults) {
		t.Errorf("a kernel without: %v", err)
	}
	k, file := faultKernel(t)
	f, err := k.Faults()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"bpf_arch_text_copy", "some_page"}, f.Functions); d != "" {
		t.Error(d)
	}
	selected := func(want string) {
		t.Helper()
		// The last byte counts: the files here are not cut off by a write.
		if got := file(faultSlab+"/cache-filter") + " " + file(faultPages+"/min-order"); got != want {
			t.Errorf("selected %q, want %q", got, want)
		}
	}
	selected("Y 64")
	check := func(err error, want string) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		selected(want)
	}
	check(f.Slab(), "N 64")
	check(f.Off(), "Y 64")
	check(f.Function("bpf_arch_text_copy", unix.ENOMEM, 1), "Y 64")
	if got := file(faultFunction + "/bpf_arch_text_copy/retval"); got != "18446744073709551604" {
		t.Errorf("returns %s", got)
	}
	check(f.Off(), "Y 64")
	if got := file(faultFunction + "/inject"); got != "!bpf_arch_text_copy" {
		t.Errorf("inject: %s", got)
	}
	check(f.NoLarge(), "Y 44") // the second digit is the one of before
	if got := file(faultPages + "/probability"); got != "100" {
		t.Errorf("probability %s", got)
	}
	check(f.Off(), "Y 64")
	if got := file(faultPages + "/probability"); got[0] != '0' {
		t.Errorf("probability %s", got)
	}
}

// When pages run out they do for one thread, and only meanwhile.
func TestShortage(t *testing.T) {
	k, file := faultKernel(t)
	f, err := k.Faults()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, err := f.Thread()
	if err != nil {
		t.Fatal(err)
	}
	defer thread.Close()
	if err := f.Shortage(); err != nil {
		t.Fatal(err)
	}
	for _, failed := range []bool{false, true} {
		hit, err := thread.During(7, func() {
			if got := file(faultPages+"/task-filter") + file(faultPages+"/space") + file("/proc/thread-self/make-it-fail")[:1]; got != "Y71" {
				t.Errorf("called with %q", got)
			}
			if failed {
				os.WriteFile(k.path(faultPages+"/times"), []byte("1048570"), 0o644)
			}
		})
		if err != nil || hit != failed {
			t.Errorf("failed %v: hit %v, %v", failed, hit, err)
		}
		if got := file("/proc/thread-self/make-it-fail"); got[0] != '0' {
			t.Errorf("after: %q", got)
		}
	}
}

func TestDuring(t *testing.T) {
	k, file := faultKernel(t)
	f, err := k.Faults()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, err := f.Thread()
	if err != nil {
		t.Fatal(err)
	}
	defer thread.Close()
	path := k.path("/proc/thread-self/fail-nth")
	for _, left := range []string{"0\n", "2\n"} {
		hit, err := thread.During(3, func() {
			if got := file("/proc/thread-self/fail-nth"); got[0] != '3' {
				t.Errorf("called with %q", got)
			}
			os.WriteFile(path, []byte(left), 0o644)
		})
		if err != nil || hit != (left == "0\n") {
			t.Errorf("%q was left: hit %v, %v", left, hit, err)
		}
		if got := file("/proc/thread-self/fail-nth"); got[0] != '0' {
			t.Errorf("after: %q", got)
		}
	}
}
