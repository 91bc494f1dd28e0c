// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"packtest/initramfs"
	"packtest/vm/vmtest"
)

// TestMakeTexts writes console/testdata/ARCH-TROUBLE.txt from real boots. It
// runs only when it is told where trouble.ko is: PACKTEST_TROUBLE/ARCH/trouble.ko,
// made from console/testdata/trouble for the kernel under test.
func TestMakeTexts(t *testing.T) {
	root := os.Getenv("PACKTEST_TROUBLE")
	if root == "" {
		t.Skip("makes test data, when PACKTEST_TROUBLE says where the module is")
	}
	for _, arch := range vmtest.Arches() {
		kernel := vmtest.Kernel(t, arch)
		initrd := vmtest.Init(t, arch, "./testdata/provoke", initramfs.File{
			Path: "trouble.ko", Source: filepath.Join(root, arch, "trouble.ko"), Mode: 0o644})
		for _, what := range []string{"warn", "warnmsg", "bug", "null", "wild", "illegal", "exec", "vmalloc",
			"stall", "panic", "segfault", "oom"} {
			t.Run(arch+"/"+what, func(t *testing.T) {
				b := newBench(t, arch, kernel, initrd, "hello,trouble:"+what+",done")
				b.m.Cmdline = append(b.m.Cmdline, "rcupdate.rcu_cpu_stall_timeout=5")
				b.m.Limits = Limits{Total: 8 * time.Second}
				o := b.run(t, t.Context(), listen)
				text, err := os.ReadFile(o.ConsolePath)
				if err != nil {
					t.Fatal(err)
				}
				// What comes before is the same for all.
				_, trouble, ok := strings.Cut(string(text), "as init process")
				if !ok {
					t.Fatalf("%s: %s", o.Ending, o.Detail)
				}
				path := filepath.Join("console", "testdata", arch+"-"+what+".txt")
				// Where the module was compiled is nobody's business.
				trouble = regexp.MustCompile(`/\S*/trouble\.c`).ReplaceAllString(trouble, "trouble.c")
				if err := os.WriteFile(path, []byte(strings.TrimLeft(trouble, "\r\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
