// SPDX-License-Identifier: GPL-2.0-or-later

// Package doctor says what this machine lacks for packtest and the command that
// mends it. It changes nothing.
package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"packtest/internal/cache"
	"packtest/internal/proc"
	"packtest/plan"
	"packtest/vm"
)

// Status is what a check came to.
type Status string

const (
	// OK: there is nothing to do.
	OK Status = "ok"
	// Warn: packtest works, with less.
	Warn Status = "warn"
	// Missing: packtest won't work until this is mended.
	Missing Status = "missing"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	// Fix is the command that mends it, or "".
	Fix string `json:"fix,omitempty"`
	// Package is the Debian package that Fix installs, or "".
	Package string `json:"-"`
}

// Tool is a program packtest runs, and the Debian package that has it.
type Tool struct {
	Command, Package, For string
	// Arch is set if only kernels for that architecture need the tool.
	Arch string
	// Mute is set if it has no version to tell.
	Mute bool
}

// Tools returns every program packtest runs.
func Tools() []Tool {
	return []Tool{
		{Command: "make", Package: "make", For: "building kernels"},
		{Command: "gcc", Package: "gcc", For: "building x86_64 kernels"},
		{Command: "s390x-linux-gnu-gcc", Package: "gcc-s390x-linux-gnu", For: "building s390x kernels", Arch: "s390x"},
		{Command: "flex", Package: "flex", For: "building kernels"},
		{Command: "bison", Package: "bison", For: "building kernels"},
		{Command: "bc", Package: "bc", For: "building kernels"},
		{Command: "perl", Package: "perl", For: "building kernels", Mute: true},
		{Command: "xz", Package: "xz-utils", For: "unpacking kernel sources"},
		{Command: "git", Package: "git", For: "applying patches"},
		{Command: "qemu-system-x86_64", Package: "qemu-system-x86", For: "booting x86_64 kernels", Arch: "x86_64"},
		{Command: "qemu-system-s390x", Package: "qemu-system-misc", For: "booting s390x kernels", Arch: "s390x"},
	}
}

// files returns the needed things that are no programs: path, package, purpose.
func files() [][3]string {
	return [][3]string{
		{"/usr/src/linux-source-6.1.tar.xz", "linux-source-6.1", "the default kernel source"},
		{"/usr/include/libelf.h", "libelf-dev", "building kernels (objtool)"},
		{"/usr/include/openssl/bio.h", "libssl-dev", "building kernels"},
	}
}

// What packtest takes, with some air: two build trees, the sources and the
// images came to 4 GiB, and a build with two VMs beside it to 4 GiB of memory.
const (
	wantDisk   = 10 << 30
	wantMemory = 4 << 30
)

// Examine looks at the machine for the given architectures; cacheRoot is where
// the cache is or would be.
func Examine(ctx context.Context, arches []string, cacheRoot string) []Check {
	var checks []Check
	for _, t := range Tools() {
		if t.Arch != "" && !slices.Contains(arches, t.Arch) {
			continue
		}
		checks = append(checks, examineTool(ctx, t))
	}
	for _, f := range files() {
		c := Check{Name: f[0], Status: OK, Detail: f[2], Package: f[1]}
		if _, err := os.Stat(f[0]); err != nil {
			c.Status, c.Detail, c.Fix = Missing, "needed for "+f[2], install(f[1])
		}
		checks = append(checks, c)
	}
	checks = append(checks, examinePlugin(ctx, arches)...)
	return append(checks, examineKVM(), examineDisk(cacheRoot), examineMemory())
}

func examineTool(ctx context.Context, t Tool) Check {
	c := Check{Name: t.Command, Status: OK, Package: t.Package}
	path, err := exec.LookPath(t.Command)
	if err != nil {
		c.Status, c.Detail, c.Fix = Missing, "needed for "+t.For, install(t.Package)
		return c
	}
	c.Detail = path
	if t.Mute {
		return c
	}
	version, err := proc.Version(ctx, t.Command)
	if err != nil {
		c.Status, c.Detail, c.Fix = Missing, "does not run: "+err.Error(), "apt-get install --reinstall "+t.Package
		return c
	}
	c.Detail = version
	return c
}

func examineKVM() Check {
	c := Check{Name: "/dev/kvm", Status: OK, Detail: "can be opened; whether it works is decided by a boot"}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		c.Status, c.Detail = Warn, fmt.Sprintf("not usable (%v): x86_64 kernels run under TCG, which is slower", err)
		if os.IsPermission(err) {
			c.Fix = "adduser $USER kvm"
		}
		return c
	}
	f.Close()
	return c
}

func examineDisk(root string) Check {
	c := Check{Name: "disk", Status: OK}
	dir := root
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" || dir == "." {
			break
		}
		dir = filepath.Dir(dir)
	}
	free, err := cache.Free(dir)
	if err != nil {
		c.Status, c.Detail = Missing, err.Error()
		return c
	}
	c.Detail = fmt.Sprintf("%s free for %s", humanize.IBytes(uint64(free)), root)
	if free < wantDisk {
		c.Status, c.Fix = Warn, "packtest gc, or set XDG_CACHE_HOME to a larger disk"
		c.Detail += fmt.Sprintf("; a first run takes up to %s", humanize.IBytes(wantDisk))
	}
	return c
}

func examineMemory() Check {
	c := Check{Name: "memory", Status: OK}
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		c.Status, c.Detail = Warn, err.Error()
		return c
	}
	total := uint64(si.Totalram) * uint64(si.Unit)
	c.Detail = fmt.Sprintf("%s; with what is free now, %d VMs run at once", humanize.IBytes(total), vm.AtOnce(plan.Default().VM.MemoryMiB))
	if total < wantMemory {
		c.Status = Warn
		c.Detail += fmt.Sprintf("; two VMs beside a build take %s", humanize.IBytes(wantMemory))
		c.Fix = "packtest run --parallel 1"
	}
	return c
}

// Cure returns the one command that installs every missing package, or "".
func Cure(checks []Check) string {
	var pkgs []string
	for _, c := range checks {
		if c.Status == Missing && c.Package != "" && !slices.Contains(pkgs, c.Package) {
			pkgs = append(pkgs, c.Package)
		}
	}
	if len(pkgs) == 0 {
		return ""
	}
	sort.Strings(pkgs)
	return install(pkgs...)
}

// Healthy tells whether nothing needed is missing.
func Healthy(checks []Check) bool {
	for _, c := range checks {
		if c.Status == Missing {
			return false
		}
	}
	return true
}

func install(pkgs ...string) string {
	return "apt-get update && apt-get install -y --no-install-recommends " + strings.Join(pkgs, " ")
}
