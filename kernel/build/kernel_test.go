// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/kconfigs"
	"packtest/kernel/kconfig"
	"packtest/kernel/series"
	"packtest/kernel/source"
)

// The most objects that a measuring kernel may cost.
var objectBudget = map[string]int{"x86_64": 950, "s390x": 850}

// realCell returns the measuring cell of Debian's 6.1 with the stack applied,
// in the cache that packtest itself uses, so that no kernel is built twice.
func realCell(t testing.TB, c *cache.Cache, arch string, stack ...series.Series) Cell {
	t.Helper()
	ctx := context.Background()
	base, err := source.Resolve(ctx, c, "debian:linux-source-6.1", func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	fragments, err := kconfig.Load(kconfigs.FS(), "base.config", arch+".config", "measure.config")
	if err != nil {
		t.Fatal(err)
	}
	commit, err := series.Apply(ctx, base.Git(), base.Commit, stack)
	if err != nil {
		t.Fatal(err)
	}
	return Cell{Arch: arch, Variant: "upstream", Config: "measure", Base: base, Commit: commit, Stack: stack, Fragments: fragments}
}

func productCache(t testing.TB) *cache.Cache {
	t.Helper()
	root, err := cache.DefaultRoot()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	done, err := c.Use(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return c
}

func options(t testing.TB) Options {
	return Options{Jobs: runtime.NumCPU(), Say: func(s string) { t.Log(s) }}
}

// replace makes a series of one patch that replaces a line of a file which
// stands between two others; new may be several.
func replace(name, file string, line int, before, old, new, after string) series.Series {
	lines := strings.Split(new, "\n")
	hunk := fmt.Sprintf("--- a/%s\n+++ b/%s\n@@ -%d,3 +%d,%d @@\n %s\n-%s\n+%s\n %s\n", file, file, line, line, 2+len(lines), before, old, strings.Join(lines, "\n+"), after)
	s, err := series.Load(fstest.MapFS{
		name + "/series":  {Data: []byte("1.patch\n")},
		name + "/1.patch": {Data: []byte("diff --git a/" + file + " b/" + file + "\n" + hunk)},
	}, name)
	if err != nil {
		panic(err)
	}
	return s
}

func TestKernels(t *testing.T) {
	need.Long(t)
	for _, arch := range Architectures() {
		t.Run(arch, func(t *testing.T) {
			need.KernelBuild(t, arch)
			ctx := context.Background()
			c := productCache(t)
			cell := realCell(t, c, arch)
			var seen []Progress
			o := options(t)
			o.Progress = func(p Progress) { seen = append(seen, p) }
			k, err := Build(ctx, c, cell, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d objects in %.0f s, incremental %v, cached %v", k.Objects, k.Seconds, k.Incremental, k.Cached)
			if !k.Incremental && (k.Objects > objectBudget[arch] || k.Objects < 300) {
				t.Errorf("%d objects, want at most %d", k.Objects, objectBudget[arch])
			}
			if !k.Cached && !k.Incremental {
				last := seen[len(seen)-1]
				if last.Done != k.Objects || last.Total > k.Objects+k.Objects/20 {
					t.Errorf("progress ended with %+v, %d objects were built", last, k.Objects)
				}
			}
			for _, f := range append([]string{k.Image, k.Boot, k.SystemMap, k.ConfigFile}, k.Modules...) {
				if st, err := os.Stat(f); err != nil || st.Size() == 0 {
					t.Errorf("%s: %v", f, err)
				}
			}
			again, err := Build(ctx, c, cell, options(t))
			if err != nil || !again.Cached || again.SHA256 != k.SHA256 {
				t.Errorf("a second time: %+v, %v", again, err)
			}
		})
	}
}

// Whatever happens to a build tree, the kernel that comes out of it next must be
// the one that a fresh tree gives.
func TestTreeSurvives(t *testing.T) {
	need.Long(t)
	const arch = "s390x" // the smaller one
	need.KernelBuild(t, arch)
	ctx := context.Background()
	c := productCache(t)
	// A kernel that nobody else uses: its entry is removed and spoilt here.
	own := replace("own", "init/main.c", 1395, "\targv_init[0] = init_filename;",
		`	pr_info("Run %s as init process\n", init_filename);`, `	pr_info("Run %s as its init process\n", init_filename);`, `	pr_debug("  with arguments:\n");`)
	cell := realCell(t, c, arch, own)
	clean, err := Build(ctx, c, cell, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if clean.Cached {
		// An earlier run built it, and the build tree has held others since:
		// what is compiled next is counted from here.
		if err := c.Remove(entryKind, clean.Key); err != nil {
			t.Fatal(err)
		}
		if clean, err = Build(ctx, c, cell, options(t)); err != nil {
			t.Fatal(err)
		}
	}
	rebuild := func(t *testing.T) *Kernel {
		t.Helper()
		if err := c.Remove(entryKind, clean.Key); err != nil {
			t.Fatal(err)
		}
		k, err := Build(ctx, c, cell, options(t))
		if err != nil {
			t.Fatal(err)
		}
		if k.Cached || k.SHA256 != clean.SHA256 {
			t.Errorf("cached %v, image %.12s, want a new build of %.12s", k.Cached, k.SHA256, clean.SHA256)
		}
		t.Logf("%d objects in %.0f s", k.Objects, k.Seconds)
		return k
	}

	t.Run("compile error", func(t *testing.T) {
		bad := replace("bad", "lib/sort.c", 1, "// SPDX-License-Identifier: GPL-2.0", "/*", "this is no C /*", " * A fast, small, non-recursive O(n log n) sort for the Linux kernel")
		_, err := Build(ctx, c, realCell(t, c, arch, own, bad), options(t))
		var e *CompileError
		if !errors.As(err, &e) || e.File != "lib/sort.c" || len(e.Patches) != 1 || e.Patches[0] != "bad/1.patch" || !strings.Contains(e.Output, "this is no C") {
			t.Fatalf("Build = %v", err)
		}
		if k := rebuild(t); k.Objects > 100 {
			t.Errorf("%d objects were compiled for one changed file", k.Objects)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		// A header that a dozen files read.
		wide := replace("wide", "include/linux/sort.h", 1, "/* SPDX-License-Identifier: GPL-2.0 */", "#ifndef _LINUX_SORT_H", "#ifndef  _LINUX_SORT_H", "#define _LINUX_SORT_H")
		o := options(t)
		o.Progress = func(p Progress) {
			if p.Done >= 4 {
				cancel()
			}
		}
		_, err := Build(ctx, c, realCell(t, c, arch, own, wide), o)
		if fault.Of(err) != fault.Interrupted {
			t.Fatalf("Build = %v", err)
		}
		rebuild(t)
	})
	t.Run("corrupt entry", func(t *testing.T) {
		k, err := Build(ctx, c, cell, options(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(k.Image, []byte("junk"), 0o644); err != nil {
			t.Fatal(err)
		}
		var said []string
		o := options(t)
		o.Say = func(s string) { said = append(said, s) }
		again, err := Build(ctx, c, cell, o)
		if err != nil || again.Cached || again.SHA256 != clean.SHA256 || !strings.Contains(strings.Join(said, "\n"), "corrupt") {
			t.Errorf("Build = %+v, %v, said %q", again, err, said)
		}
	})
}

func TestUnmetOption(t *testing.T) {
	need.Long(t)
	need.KernelBuild(t, "x86_64")
	c := productCache(t)
	cell := realCell(t, c, "x86_64")
	cell.Config = "test-unmet"
	t.Cleanup(func() {
		if tree, err := openTree(c, cell, ""); err == nil {
			os.RemoveAll(tree.top)
		}
	})
	f, err := kconfig.Parse("wish.config", "CONFIG_NET=y\nCONFIG_FAULT_INJECTION_STACKTRACE_FILTER=y\nCONFIG_NO_SUCH_THING=y\n")
	if err != nil {
		t.Fatal(err)
	}
	cell.Fragments = append(cell.Fragments, f)
	_, err = Build(context.Background(), c, cell, options(t))
	var e *kconfig.UnmetError
	if !errors.As(err, &e) || len(e.Options) != 2 || fault.Of(err) != fault.Input {
		t.Fatalf("Build = %v", err)
	}
	for _, want := range []string{
		"CONFIG_FAULT_INJECTION_STACKTRACE_FILTER: wish.config:2 wants y, got n: depends on FAULT_INJECTION_DEBUG_FS && STACKTRACE_SUPPORT [FAULT_INJECTION_DEBUG_FS=n STACKTRACE_SUPPORT=y] (lib/Kconfig.debug:",
		"CONFIG_NO_SUCH_THING: wish.config:3 wants y, got n: this kernel has no such option",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it says %v\nwant %q", err, want)
		}
	}
}

// A second build waits for the first and says for whom.
func TestWaits(t *testing.T) {
	need.Long(t)
	need.KernelBuild(t, "s390x")
	c := productCache(t)
	cell := realCell(t, c, "s390x")
	cell.Fragments = append(cell.Fragments, kconfig.Fragment{Name: "new", Settings: []kconfig.Setting{{Name: "NEVER_BUILT", Value: "y", Line: 1}}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	unlock, err := c.Lock(ctx, cell.Base.LockName(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	said := ""
	o := options(t)
	o.Say = func(s string) { said += s; cancel() }
	_, err = Build(ctx, c, cell, o)
	if fault.Of(err) != fault.Interrupted || !strings.Contains(said, fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("Build = %v, said %q", err, said)
	}
}
