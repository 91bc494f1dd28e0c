// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bufio"
	"context"
	"os"
	"runtime"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"packtest/internal/proc"
	"packtest/kernel/series"
	"packtest/results"
)

// provenance tells what a run is made with, as far as it is known before the
// kernels are built.
func provenance(ctx context.Context, version string, prep *prepared, req Request) results.Provenance {
	p := results.Provenance{
		Packtest: version,
		Base:     results.Base{Spec: req.Plan.Base, Version: prep.base.Version, SHA256: prep.base.Hash, Commit: prep.base.Commit},
		Host:     host(),
		Tools:    map[string]string{},
		Plan:     req.PlanText, Geometries: prep.geometries.text,
	}
	if strings.HasPrefix(req.Plan.Base, "tree:") {
		p.Base.SHA256 = "" // a user's tree is named by its commit
	}
	seen := map[string]bool{}
	for _, v := range req.Plan.Variants {
		for _, s := range prep.stacks[v.Name] {
			if seen[s.Hash] {
				continue
			}
			seen[s.Hash] = true
			p.Series = append(p.Series, seriesRecord(s))
		}
	}
	sort.Slice(p.Series, func(i, j int) bool { return p.Series[i].Name < p.Series[j].Name })
	for _, arch := range req.Plan.Arches {
		if version, err := proc.Version(ctx, "qemu-system-"+arch); err == nil {
			p.Tools["qemu-"+arch] = version
		}
	}
	return p
}

func seriesRecord(s series.Series) results.Series {
	rs := results.Series{Name: s.Name, Title: s.Title, SHA256: s.Hash, BaseCommit: s.BaseCommit}
	for _, patch := range s.Patches {
		rs.Patches = append(rs.Patches, patch.Name)
	}
	return rs
}

func host() results.Host {
	h := results.Host{CPU: cpuModel(), CPUs: runtime.NumCPU(), OS: osName()}
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) == nil {
		h.Memory = int64(si.Totalram) * int64(si.Unit)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return h
}

// cpuModel returns the host processor's name: "model name" on x86, "processor
// 0" on s390x, else the architecture.
func cpuModel() string {
	return firstValue("/proc/cpuinfo", ":", []string{"model name", "processor 0"}, runtime.GOARCH)
}

func osName() string {
	return strings.Trim(firstValue("/etc/os-release", "=", []string{"PRETTY_NAME"}, runtime.GOOS), `"`)
}

func firstValue(file, sep string, keys []string, otherwise string) string {
	f, err := os.Open(file)
	if err != nil {
		return otherwise
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		k, v, ok := strings.Cut(sc.Text(), sep)
		for _, want := range keys {
			if ok && strings.TrimSpace(k) == want {
				return strings.TrimSpace(v)
			}
		}
	}
	return otherwise
}
