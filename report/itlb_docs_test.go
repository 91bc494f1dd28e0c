// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"packtest/results"
)

// TestITLBPage holds the figures in docs/itlb.md against the reference run, whose they
// are said to be.
func TestITLBPage(t *testing.T) {
	page, err := os.ReadFile("../docs/itlb.md")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := results.NewStore("../results").Load("reference")
	if err != nil {
		t.Fatal(err)
	}
	b := builder{rec: rec, used: map[string]bool{}}
	b.gather()
	all := b.itlbValues()
	figure := func(arch, variant, metric, hot, loaded string, labels ...string) float64 {
		t.Helper()
		want := append([]string{"hot", hot, "loaded", loaded, "form", byTestRun, "part", "bpf"}, labels...)
		for _, v := range pick(all, metric, want...) {
			if v.arch == arch && v.variant == variant {
				return v.value
			}
		}
		t.Fatalf("the record has no %s of %s on %s with %q", metric, variant, arch, want)
		return 0
	}

	row := regexp.MustCompile("(?m)^\\| (x86_64|s390x), (?:`([a-z0-9-]+)`[^,]*|(\\d+) entries), (\\d+) hot of (\\d+) \\| ([^|]*)\\| ([^|]*)\\| ([^|]*)\\|$")
	rows := row.FindAllStringSubmatch(string(page), -1)
	if len(rows) != 5 {
		t.Errorf("the page has %d rows of figures", len(rows))
	}
	for _, m := range rows {
		arch, geometry, entries, hot, loaded := m[1], m[2], m[3], m[4], m[5]
		cell := func(variant, mapping string) string {
			labels := []string{"bound", "ignored", "mapping", mapping}
			metric := modelCapacity
			if geometry != "" {
				metric = modelMisses
				labels = append(labels, "lap", "warm", "geometry", geometry, "policy", map[bool]string{true: "tree-plru", false: "lru"}[geometry == "skylake-sp"])
			} else {
				labels = append(labels, "entries", entries)
			}
			return misses(figure(arch, variant, metric, hot, loaded, labels...))
		}
		want := []string{cell("nopack", asIs), cell("pack", asIs), ""}
		if arch == "x86_64" {
			want = []string{cell("nopack", asIs), cell("pack", "what-if-4k") + ", what-if", cell("pack", asIs)}
		}
		for i, w := range want {
			if got := strings.TrimSpace(m[6+i]); got != w {
				t.Errorf("%s: %q in the page, %q in the reference run", m[0], got, w)
			}
		}
	}

	pages := func(arch, variant, hot, loaded string) string {
		return number(figure(arch, variant, tracePages, hot, loaded))
	}
	for _, want := range []string{
		fmt.Sprintf("Packing alone makes %s pages %s (on s390x %s pages %s).", pages("x86_64", "nopack", "100", "160"), pages("x86_64", "pack", "100", "160"),
			pages("s390x", "nopack", "100", "160"), pages("s390x", "pack", "100", "160")),
		fmt.Sprintf("512 hot programs drawn from 2048 lie on %s pages without packs and on %s with them", pages("x86_64", "nopack", "512", "2048"), pages("x86_64", "pack", "512", "2048")),
		fmt.Sprintf("`skylake-sp` missed %s times a run on BPF pages, and on Linux 6.1's own packs, which are mapped by 4 KiB leaves, %s times.",
			misses(figure("x86_64", "pack", modelMisses, "512", "2048", "geometry", "skylake-sp", "policy", "tree-plru", "bound", "ignored", "mapping", "what-if-4k", "lap", "warm")),
			misses(figure("x86_64", "upstream", modelMisses, "512", "2048", "geometry", "skylake-sp", "policy", "tree-plru", "bound", "ignored", "mapping", asIs, "lap", "warm"))),
	} {
		if !strings.Contains(strings.Join(strings.Fields(string(page)), " "), want) {
			t.Errorf("the page doesn't say: %s", want)
		}
	}
	for _, v := range pick(all, traceFlushes) {
		if v.value != 0 {
			t.Errorf("the page says that no window has a flush, and %s %s with %v has %g", v.arch, v.variant, v.labels, v.value)
		}
	}
}
