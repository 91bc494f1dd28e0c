// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"packtest/internal/cache"
	"packtest/internal/need"
	"packtest/internal/proc"
	"packtest/kernel/series"
	"packtest/patches"
)

// What the ratios must not exceed.
const (
	maxColdOverBare    = 1.05
	maxRebuildOverCold = 0.25
	maxCheckOverBare   = 1.15
)

// BenchmarkBuild measures, for each architecture, a cold build against a bare
// make of the same configuration in a clean folder, and then what going from
// nopack to pack costs against that cold build. It takes a quarter of an hour
// and is skipped unless PACKTEST_BENCH=1. Each ratio is given for the time on
// the wall, which means something only on a machine that does nothing else, and
// for the processor time of all that was started, which must keep the limit.
func BenchmarkBuild(b *testing.B) {
	if os.Getenv("PACKTEST_BENCH") != "1" {
		b.Skip("builds kernels for a quarter of an hour; set PACKTEST_BENCH=1")
	}
	for _, arch := range Architectures() {
		b.Run(arch, func(b *testing.B) {
			need.KernelBuild(b, arch)
			for b.Loop() {
				benchmarkArch(b, arch)
			}
		})
	}
}

func benchmarkArch(b *testing.B, arch string) {
	ctx := context.Background()
	c, err := cache.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	nopack, pack := carried(b, "nopack"), carried(b, "bpf-prog-pack")
	cell := realCell(b, c, arch, nopack)
	// Files that lie in the page cache, for both.
	dir, _, err := cell.Base.Checkout(ctx, cell.Commit)
	if err != nil {
		b.Fatal(err)
	}

	begin := now(b)
	first, err := Build(ctx, c, cell, options(b))
	if err != nil {
		b.Fatal(err)
	}
	cold := begin.since(b)

	bare := bareMake(b, arch, dir, first.ConfigFile, b.TempDir())

	cell = realCell(b, c, arch, nopack, pack)
	begin = now(b)
	second, err := Build(ctx, c, cell, options(b))
	if err != nil {
		b.Fatal(err)
	}
	rebuild := begin.since(b)
	if first.SHA256 == second.SHA256 {
		b.Error("nopack and pack are the same kernel")
	}

	// Built before, elsewhere: the same input must have given the same image.
	if other, err := loadKernel(productCache(b), cell, first.Key); err == nil && other.SHA256 != first.SHA256 {
		b.Errorf("the image is %.12s here and %.12s in packtest's cache", first.SHA256, other.SHA256)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(cold.wall.Seconds(), "cold-s")
	b.ReportMetric(bare.wall.Seconds(), "bare-s")
	b.ReportMetric(rebuild.wall.Seconds(), "rebuild-s")
	b.ReportMetric(float64(first.Objects), "objects")
	b.ReportMetric(float64(second.Objects), "rebuilt-objects")
	ratio := func(name string, x, y spent, limit float64) {
		b.ReportMetric(x.wall.Seconds()/y.wall.Seconds(), name)
		r := x.cpu.Seconds() / y.cpu.Seconds()
		b.ReportMetric(r, name+"-cpu")
		if r > limit {
			b.Errorf("%s is %.2f in processor time, want at most %.2f", name, r, limit)
		}
	}
	ratio("cold/bare", cold, bare, maxColdOverBare)
	ratio("rebuild/cold", rebuild, cold, maxRebuildOverCold)
	if first.Objects > objectBudget[arch] {
		b.Errorf("%d objects, want at most %d", first.Objects, objectBudget[arch])
	}
}

func carried(b *testing.B, name string) series.Series {
	s, err := series.Load(patches.FS(), "linux-6.1/"+name)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkCheck measures building the carried series patch by patch with all
// warnings on, from an empty cache, against one bare cold make and a bare make
// after each patch. Sparse is left out of both: it reads every file once more.
func BenchmarkCheck(b *testing.B) {
	if os.Getenv("PACKTEST_BENCH") != "1" {
		b.Skip("builds kernels for half an hour; set PACKTEST_BENCH=1")
	}
	for _, arch := range Architectures() {
		b.Run(arch, func(b *testing.B) {
			need.KernelBuild(b, arch)
			for b.Loop() {
				benchmarkCheck(b, arch)
			}
		})
	}
}

func benchmarkCheck(b *testing.B, arch string) {
	ctx := context.Background()
	c, err := cache.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	nopack, pack := carried(b, "nopack"), carried(b, "bpf-prog-pack")
	cells := []Cell{realCell(b, c, arch, nopack)}
	for i := range pack.Patches {
		cells = append(cells, realCell(b, c, arch, nopack, pack.First(i+1)))
	}
	base := cells[0].Base
	// Files that lie in the page cache, for both.
	dir, _, err := base.Checkout(ctx, cells[0].Commit)
	if err != nil {
		b.Fatal(err)
	}
	config := ""
	objects := 0
	begin := now(b)
	for _, cell := range cells {
		k, _, err := build(ctx, c, cell, options(b), &inspector{})
		if err != nil {
			b.Fatal(err)
		}
		config = k.ConfigFile
		objects += k.Objects
	}
	check := begin.since(b)

	out := b.TempDir()
	var bare spent
	for i, cell := range cells {
		var since []string
		if i > 0 {
			since = []string{cells[i-1].Commit}
		}
		if _, _, err := base.Checkout(ctx, cell.Commit, since...); err != nil {
			b.Fatal(err)
		}
		t := bareMake(b, arch, dir, config, out)
		bare.wall, bare.cpu = bare.wall+t.wall, bare.cpu+t.cpu
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(check.wall.Seconds(), "check-s")
	b.ReportMetric(bare.wall.Seconds(), "bare-s")
	b.ReportMetric(float64(objects), "objects")
	b.ReportMetric(check.wall.Seconds()/bare.wall.Seconds(), "check/bare")
	r := check.cpu.Seconds() / bare.cpu.Seconds()
	b.ReportMetric(r, "check/bare-cpu")
	if r > maxCheckOverBare {
		b.Errorf("check/bare is %.2f in processor time, want at most %.2f", r, maxCheckOverBare)
	}
}

// bareMake times make alone in the folder out, with a finished .config, as a
// developer would.
func bareMake(b *testing.B, arch, dir, config, out string) spent {
	a, err := archOf(arch)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(out, ".config")); err != nil {
		if err := copyFile(config, filepath.Join(out, ".config")); err != nil {
			b.Fatal(err)
		}
	}
	begin := now(b)
	_, err = proc.Run(context.Background(), proc.Cmd{Argv: []string{"make", "-C", dir, "O=" + out, "ARCH=" + a.srcArch,
		"CROSS_COMPILE=" + a.prefix, "-j" + strconv.Itoa(runtime.NumCPU()), "bzImage", "modules"}})
	if err != nil {
		b.Fatal(err)
	}
	return begin.since(b)
}

// spent is time on the wall, and processor time of this process and of those it
// has started and waited for.
type spent struct{ wall, cpu time.Duration }

// mark is a moment to measure from.
type mark struct {
	at  time.Time
	cpu time.Duration
}

func now(b *testing.B) mark {
	b.Helper()
	m := mark{at: time.Now()}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		m.cpu += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return m
}

func (m mark) since(b *testing.B) spent {
	b.Helper()
	n := now(b)
	return spent{wall: n.at.Sub(m.at), cpu: n.cpu - m.cpu}
}
