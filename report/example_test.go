// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"math/rand/v2"
	"time"

	"packtest/guest/wire"
	"packtest/metric"
	"packtest/results"
)

// exampleRecord makes a record for the tests, of the size and shape of a real
// one. Its figures are invented: it is not a measurement of any kernel, and its
// ID says so.
func exampleRecord() *results.Record {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rec := &results.Record{
		Schema: results.Schema, ID: "example", Started: at, Finished: at.Add(107 * time.Second),
		Command: []string{"packtest", "run"}, Seed: 1, Baseline: "nopack", Candidate: "pack",
		Provenance: results.Provenance{
			Packtest: "v0.0.0-example",
			Base:     results.Base{Spec: "debian:linux-source-6.1", Version: "6.1.0-0", SHA256: sum('b'), Commit: sum('c')[:40]},
			Series: []results.Series{
				{Name: "nopack", SHA256: sum('1'), Patches: []string{"0001-example-one.patch"}},
				{Name: "bpf-prog-pack", SHA256: sum('2'), Patches: []string{"0001-example-two.patch", "0002-example-three.patch"}},
			},
			Host: results.Host{CPU: "Example CPU @ 2.50GHz", CPUs: 2, Memory: 24 << 30, Kernel: "6.1.0-0-example", OS: "Debian GNU/Linux 12 (bookworm)"},
			Tools: map[string]string{"gcc-x86_64": "gcc (Debian 12.2.0-14) 12.2.0", "gcc-s390x": "s390x-linux-gnu-gcc (Debian 12.2.0-14) 12.2.0",
				"qemu-x86_64": "QEMU emulator version 7.2.0 (example)", "qemu-s390x": "QEMU emulator version 7.2.0 (example)"},
			Accelerator: map[string]string{"x86_64": "tcg", "s390x": "tcg"},
		},
	}
	for _, arch := range []string{"x86_64", "s390x"} {
		for i, variant := range []string{"nopack", "pack", "upstream"} {
			exampleCell(rec, at, arch, variant, i)
		}
	}
	rec.Normalise()
	return rec
}

func sum(c rune) string {
	b := make([]rune, 64)
	for i := range b {
		b[i] = c
	}
	return string(b)
}

func exampleCell(rec *results.Record, at time.Time, arch, variant string, n int) {
	const boots = 5
	image := sum(rune('a' + n))
	rec.Cells = append(rec.Cells, results.Cell{Arch: arch, Variant: variant, Config: "measure", Image: image,
		Stack: [][]string{{"nopack"}, {"nopack", "bpf-prog-pack"}, {}}[n], Objects: 900 - 430*n, BuildSeconds: 241.5, Cached: true, Incremental: n > 0,
		Commit: sum('d')[:40], ConfigSHA256: sum('e'), ConfigFile: "config-" + arch})
	for _, s := range []string{"load", "drain"} {
		rec.Planned = append(rec.Planned, results.Planned{Arch: arch, Variant: variant, Scenario: s, Boots: boots})
	}
	for _, s := range []string{"directmap", "test_bpf"} {
		rec.Planned = append(rec.Planned, results.Planned{Arch: arch, Variant: variant, Scenario: s, Boots: 1})
	}
	for b := 1; b <= boots+2; b++ {
		boot := results.Boot{Arch: arch, Variant: variant, Number: b, Scenarios: []string{"load", "drain"},
			Started: at.Add(time.Duration(b) * 9 * time.Second), Seconds: 8.25, Ending: results.EndingDone, Accelerator: "tcg",
			QEMU: "7.2.0", Cmdline: "console=ttyS0", CPUs: 2, MemoryMiB: 2048, Console: fmt.Sprintf("console-%s-%s-%d.log", arch, variant, b),
			Release: "6.1.0", Mitigations: map[string]string{"meltdown": "Not affected", "spectre_v2": "Mitigation: Retpolines"}}
		switch b {
		case 1:
			boot.Scenarios = []string{"directmap"}
		case boots + 2:
			boot.Scenarios, boot.Kept, boot.Started = []string{"test_bpf"}, true, at.AddDate(0, 0, -3)
		}
		rec.Boots = append(rec.Boots, boot)
	}
	regions := exampleRegions(arch, variant)
	e := measure(regions)
	rec.Layouts = append(rec.Layouts, results.Layout{Arch: arch, Variant: variant, Scenario: "load", Layout: wire.Layout{Step: "loaded", Regions: regions}})
	exampleSamples(rec, arch, variant, regions, e)
}

// exampleRegions puts programs of seeded sizes on pages of their own, or
// one behind the other into packs.
func exampleRegions(arch, variant string) []wire.Region {
	r, holes := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(3, 4))
	types := []string{"cgroup_skb", "kprobe", "sched_cls", "socket_filter", "xdp"}
	pack := variant == "pack" || (variant == "upstream" && arch == "x86_64")
	size := uint64(2 << 20)
	if arch == "s390x" {
		size = 1 << 20
	}
	var regions []wire.Region
	at := size
	for id := uint32(1); id <= uint32(examplePrograms); id++ {
		n := uint64(100 + r.IntN(400))
		switch r.IntN(8) {
		case 0, 1:
			n = uint64(500 + r.IntN(1500))
		case 2:
			n = uint64(2000 + r.IntN(12000))
		}
		n = (n + chunkBytes - 1) / chunkBytes * chunkBytes
		im := wire.Image{Bytes: n, Type: types[r.IntN(len(types))], ID: id}
		if !pack {
			regions = append(regions, wire.Region{Start: 0xffffffffc0000000 + uint64(id)<<16, PageBytes: pageBytes, Bytes: (n + 64 + pageBytes - 1) / pageBytes * pageBytes,
				Images: []wire.Image{{Offset: 64, Bytes: n, Type: im.Type, ID: id}}})
			continue
		}
		if at+n > size {
			regions = append(regions, wire.Region{Start: 0xffffffffc0000000 + uint64(id)<<24, PageBytes: pageBytes, Bytes: size})
			at = 0
		}
		im.Offset = at
		at += n
		if holes.IntN(9) == 0 {
			at += 192 // a hole
		}
		last := &regions[len(regions)-1]
		last.Images = append(last.Images, im)
	}
	return regions
}

func exampleSamples(rec *results.Record, arch, variant string, regions []wire.Region, e extent) {
	add := func(scenario, name string, labels map[string]string, values ...float64) {
		rec.Samples = append(rec.Samples, results.Sample{Arch: arch, Variant: variant, Scenario: scenario, Sample: metric.New(name, labels, values...)})
	}
	// every boot gives the same value
	same := func(scenario, name string, labels map[string]string, x float64) {
		add(scenario, name, labels, x, x, x, x, x)
	}
	none := func(scenario, name, why string) {
		rec.Unmeasured = append(rec.Unmeasured, results.Unmeasured{Arch: arch, Variant: variant, Scenario: scenario, Metric: name, Why: why})
	}
	pages := map[uint64]bool{}
	var used float64
	for _, r := range regions {
		for _, im := range r.Images {
			used += float64(im.Bytes)
			for p := (r.Start + im.Offset) / pageBytes; p <= (r.Start+im.Offset+im.Bytes-1)/pageBytes; p++ {
				pages[p] = true
			}
		}
	}
	mapped, shared := float64(e.pages)*pageBytes, len(regions) < 100
	same("load", "programs", nil, float64(e.programs))
	same("load", "jit_pages", nil, float64(len(pages)))
	same("load", "jit_bytes_used", nil, used)
	same("load", "jit_bytes_mapped", nil, mapped)
	same("load", "jit_utilisation", nil, 100*used/mapped)
	same("load", "programs_per_page", nil, float64(e.programs)/float64(len(pages)))
	same("load", "programs_mapped_4k", nil, float64(e.programs))
	same("load", "programs_mapped_2m", nil, 0)
	same("load", "text_mappings", nil, float64(len(pages)))
	if shared {
		same("load", "packs", nil, float64(len(regions)))
	} else {
		same("load", "packs", nil, 0)
	}
	add("load", "vmalloc_used", nil, mapped+8192, mapped+12288, mapped+8192, mapped+8192, mapped+12288)
	none("load", "jit_charged", "/proc/kcore does not show bpf_jit_current")
	steps := []string{"0", "512", "1024", "2048"}
	for i, s := range steps {
		labels := map[string]string{"programs": s}
		if arch == "s390x" {
			add("directmap", "directmap_4k", labels, 2048<<20)
			continue
		}
		small := 40.0
		if !shared {
			small += 180 * float64(i)
		}
		add("directmap", "directmap_4k", labels, small*mib)
		add("directmap", "directmap_2m", labels, (2048-small)*mib)
		add("directmap", "directmap_1g", labels, 0)
	}
	if arch == "s390x" {
		none("directmap", "directmap_2m", "this machine maps all memory in 4 KiB entries from the start")
		none("directmap", "directmap_1g", "this machine maps all memory in 4 KiB entries from the start")
	}
	for _, f := range []string{"bpf_jit_current", "jit_areas"} {
		same("drain", "drain_residue", map[string]string{"figure": f}, 0)
	}
	add("drain", "vmalloc_residue", nil, 0, 4096, 0, 0, 0)
	t := 1.1e6
	if shared {
		t = 0.9e6
	}
	add("load", "load_time_per_program", nil, t, t*1.04, t*0.97, t*1.01, t*0.99)
	add("drain", "free_time_per_program", nil, t/4, t/4*1.2, t/4*0.9, t/4*1.1, t/4*1.3)
	add("boot", "boot_time", nil, 1.31e9, 1.29e9, 1.36e9, 1.32e9, 1.3e9, 1.33e9, 1.28e9)
	for suite, n := range map[string]float64{"test_bpf": 1026, "test_tail_calls": 10, "test_skb_segment": 2} {
		labels := map[string]string{"suite": suite}
		add("test_bpf", "test_bpf_passed", labels, n)
		add("test_bpf", "test_bpf_failed", labels, 0)
		if suite == "test_bpf" {
			add("test_bpf", "test_bpf_jited", labels, 1014)
		}
	}
}

const mib = 1 << 20

// examplePrograms is small, to keep the golden page small; TestLook takes more.
var examplePrograms = 150
