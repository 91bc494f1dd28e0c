// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"packtest/internal/cache"
	"packtest/kconfigs"
	"packtest/kernel/build"
	"packtest/kernel/kconfig"
	"packtest/kernel/series"
	"packtest/kernel/source"
	"packtest/vm/console"
	"packtest/vm/vmtest"
)

// The troubles that any kernel can be made to print, and those for which it
// takes the kernel that checks itself. Those that a kernel survives are made in
// one boot, with a + between them; of those of locks it reports but the first.
const (
	plainTroubles  = "warn+warnmsg+refcount+vmalloc+segfault+stall bug null wild rodata illegal exec panic oom"
	corpusTroubles = "shift+index+sleep+freed+beyond+vbeyond+twice+list+badpage+leak+hung order irq null rodata stack recursive rcu unlock held atomic stall"
)

// TestMakeTexts writes console/testdata/ARCH-TROUBLE.txt and
// ARCH-corpus-TROUBLE.txt from real boots of kernels with
// console/testdata/trouble built in. It runs only when PACKTEST_TEXTS says for
// which of the two, which architectures and which boots, separated by spaces:
// "s390x corpus", "x86_64 corpus null stack". The kernels are built in the user's own cache, two for each architecture.
func TestMakeTexts(t *testing.T) {
	asked := strings.Fields(os.Getenv("PACKTEST_TEXTS"))
	if len(asked) == 0 {
		t.Skip("makes test data, when PACKTEST_TEXTS says which")
	}
	wanted := func(list ...string) []string {
		some := slices.DeleteFunc(slices.Clone(list), func(w string) bool { return !slices.Contains(asked, w) })
		if len(some) == 0 {
			return list
		}
		return some
	}
	for _, config := range wanted("measure", "corpus") {
		boots, stem := plainTroubles, ""
		if config == "corpus" {
			boots, stem = corpusTroubles, "corpus-"
		}
		for _, arch := range wanted(vmtest.Arches()...) {
			kernel := troubled(t, arch, config)
			initrd := vmtest.Init(t, arch, "./testdata/provoke")
			for _, what := range wanted(strings.Fields(boots)...) {
				t.Run(arch+"/"+stem+what, func(t *testing.T) {
					makeTexts(t, arch, kernel, initrd, what, filepath.Join("console", "testdata", arch+"-"+stem))
				})
			}
		}
	}
}

var cachePath = regexp.MustCompile(`/\S*/(trees/source/\S+?/tree/)`)

var troubleMark = regexp.MustCompile(`(?m)^\[ *[0-9.]+\] trouble: (\w+)\r?\n`)

func makeTexts(t *testing.T, arch, kernel, initrd, what, stem string) {
	b := newBench(t, arch, kernel, initrd, "hello,trouble:"+what+",done")
	b.m.MemoryMiB = 512
	b.m.Cmdline = append(b.m.Cmdline, "nokaslr", "rcupdate.rcu_cpu_stall_timeout=5", "sysctl.kernel.hung_task_timeout_secs=2",
		"kasan_multi_shot", "kmemleak.verbose=1")
	b.m.Limits = Limits{Boot: time.Minute, Silence: time.Minute, Total: 2 * time.Minute}
	o := b.run(t, t.Context(), listen)
	text, err := os.ReadFile(o.ConsolePath)
	if err != nil {
		t.Fatal(err)
	}
	marks := troubleMark.FindAllSubmatchIndex(text, -1)
	for i, m := range marks {
		name, end := string(text[m[2]:m[3]]), len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		// Where the cache is, is nobody's business.
		trouble := cachePath.ReplaceAll(text[m[1]:end], []byte("/cache/$1"))
		if len(console.Scan(string(trouble))) == 0 {
			t.Errorf("%s: the kernel has said nothing that is known:\n%s", name, trouble)
		}
		if err := os.WriteFile(stem+name+".txt", trouble, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := strings.Count(what, "+") + 1; len(marks) != want {
		t.Errorf("%s: %s: %d of %d troubles were made", o.Ending, o.Detail, len(marks), want)
	}
}

// troubled returns a kernel with console/testdata/trouble in it.
func troubled(t *testing.T, arch, config string) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := cache.DefaultRoot()
	must(err)
	c, err := cache.Open(root)
	must(err)
	say := func(msg string) { t.Log(msg) }
	release, err := c.Use(t.Context(), say)
	must(err)
	t.Cleanup(release)
	base, err := source.Resolve(t.Context(), c, "debian:linux-source-6.1", say)
	must(err)
	stack := []series.Series{troubleSeries(t)}
	commit, err := series.Apply(t.Context(), base.Git(), base.Commit, stack)
	must(err)
	names, from := []string{config + ".config"}, fs.FS(kconfigs.FS())
	if config == "corpus" {
		from = os.DirFS("console/testdata/trouble")
		if arch == "x86_64" {
			names = append(names, "corpus-x86_64.config")
		}
	}
	fragments, err := kconfig.Load(kconfigs.FS(), "base.config", arch+".config")
	must(err)
	more, err := kconfig.Load(from, names...)
	must(err)
	fragments = append(fragments, more...)
	k, err := build.Build(t.Context(), c, build.Cell{Arch: arch, Variant: "trouble", Config: config,
		Base: base, Commit: commit, Stack: stack, Fragments: fragments}, build.Options{Jobs: runtime.NumCPU(), Say: say})
	must(err)
	return k.Boot
}

// troubleSeries makes a series of the source: one patch that adds it to lib/.
func troubleSeries(t *testing.T) series.Series {
	t.Helper()
	c, err := os.ReadFile("console/testdata/trouble/trouble.c")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(c), "\n"), "\n")
	const before, after = "obj-$(CONFIG_TEST_BPF) += test_bpf.o", "obj-$(CONFIG_TEST_FIRMWARE) += test_firmware.o"
	patch := fmt.Sprintf("From: packtest developers <packtest@localhost>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nSubject: [PATCH] lib: Make trouble on request\n\n---\n"+
		"diff --git a/lib/Makefile b/lib/Makefile\n--- a/lib/Makefile\n+++ b/lib/Makefile\n@@ -59,2 +59,3 @@\n %s\n+obj-y += trouble.o\n %s\n"+
		"diff --git a/lib/trouble.c b/lib/trouble.c\nnew file mode 100644\n--- /dev/null\n+++ b/lib/trouble.c\n@@ -0,0 +1,%d @@\n+%s\n",
		before, after, len(lines), strings.Join(lines, "+"))
	s, err := series.LoadFolder(fstest.MapFS{"trouble/series": {Data: []byte("0001-trouble.patch\n")},
		"trouble/0001-trouble.patch": {Data: []byte(patch)}}, "trouble")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
