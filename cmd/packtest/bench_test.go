// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"packtest/internal/need"
	"packtest/plan"
	"packtest/results"
)

func wantBench(b *testing.B) {
	b.Helper()
	if os.Getenv("PACKTEST_BENCH") != "1" {
		b.Skip("boots kernels for minutes; run with PACKTEST_BENCH=1")
	}
	for _, arch := range plan.Architectures() {
		need.KernelBuild(b, arch)
		need.QEMU(b, arch)
	}
}

// BenchmarkLoad boots each architecture's pack kernel and has the guest time its
// loader against the bare bpf(2) calls, in turns, within one boot. Target: 1.20.
func BenchmarkLoad(b *testing.B) {
	wantBench(b)
	ratio := regexp.MustCompile(`bench-load: .* ratio ([0-9.]+)`)
	for _, arch := range plan.Architectures() {
		b.Run(arch, func(b *testing.B) {
			for range b.N {
				script := filepath.Join(b.TempDir(), "script")
				if err := os.WriteFile(script, []byte("packguest bench-load 1000\n"), 0o644); err != nil {
					b.Fatal(err)
				}
				in, err := os.Open(script)
				if err != nil {
					b.Fatal(err)
				}
				defer in.Close()
				var out, diag bytes.Buffer
				if code := run(b.Context(), []string{"shell", "--arch", arch, "--variant", "pack"}, in, &out, &diag); code != 0 {
					b.Fatalf("exit code %d\n%s%s", code, out.Bytes(), diag.Bytes())
				}
				m := ratio.FindSubmatch(out.Bytes())
				if m == nil {
					b.Fatalf("the guest said no ratio:\n%s", out.Bytes())
				}
				r, err := strconv.ParseFloat(string(m[1]), 64)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(r, "loader/bare")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// BenchmarkCachedRun times the default run with every kernel and every kept
// outcome in the cache; the first run, which fills it, is not counted. Target:
// two minutes on two cores.
func BenchmarkCachedRun(b *testing.B) {
	wantBench(b)
	once := func() (time.Duration, *results.Record) {
		dir := b.TempDir()
		var out, diag bytes.Buffer
		start := time.Now()
		code := run(b.Context(), []string{"run", "--results", dir}, nil, &out, &diag)
		took := time.Since(start)
		if code != 0 {
			b.Fatalf("exit code %d\n%s", code, diag.Bytes())
		}
		rec, err := results.NewStore(dir).Load("latest")
		if err != nil {
			b.Fatal(err)
		}
		return took, rec
	}
	once()
	for range b.N {
		took, rec := once()
		for _, c := range rec.Cells {
			if !c.Cached {
				b.Errorf("%s %s was built again", c.Arch, c.Variant)
			}
		}
		b.ReportMetric(took.Seconds(), "s/run")
		b.ReportMetric(0, "ns/op")
	}
}
