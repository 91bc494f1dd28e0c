// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"packtest/internal/proc"
)

// arch is what the kernel's makefiles need to know of an architecture.
type arch struct {
	name string
	// srcArch is its folder below arch/ and make's ARCH.
	srcArch string
	// triplet is the prefix of Debian's cross tools, and debian their packages'
	// suffix; prefix is "" when the host can do without them.
	triplet, debian, prefix string
	// bootsELF says that QEMU boots vmlinux itself, if nothing in its
	// configuration keeps it from that.
	bootsELF bool
}

func architectures() []arch {
	list := []arch{
		{name: "x86_64", srcArch: "x86", triplet: "x86_64-linux-gnu", debian: "x86-64-linux-gnu", bootsELF: true},
		{name: "s390x", srcArch: "s390", triplet: "s390x-linux-gnu", debian: "s390x-linux-gnu"},
	}
	native := map[string]string{"amd64": "x86_64", "s390x": "s390x"}[runtime.GOARCH]
	for i := range list {
		if list[i].name != native {
			list[i].prefix = list[i].triplet + "-"
		}
	}
	return list
}

// toolchain checks that every tool is there and names compiler and linker, and
// pahole if the kernel is to know its own types. The error is a *ToolError.
func (a arch) toolchain(ctx context.Context, types bool) (string, error) {
	cross := func(native, pkg string) string {
		if a.prefix == "" {
			return native
		}
		return pkg + "-" + a.debian
	}
	missing := &ToolError{Arch: a.name}
	for _, tool := range []struct{ command, pkg string }{
		{"make", "make"}, {"gcc", "gcc"}, {"ld", "binutils"}, {"flex", "flex"}, {"bison", "bison"}, {"bc", "bc"}, {"perl", "perl"},
		{a.prefix + "gcc", cross("gcc", "gcc")}, {a.prefix + "ld", cross("binutils", "binutils")},
	} {
		if _, err := exec.LookPath(tool.command); err != nil {
			missing.add(tool.command, tool.pkg)
		}
	}
	// objtool reads objects with libelf; finding out by its compiler error
	// would take a minute.
	if a.srcArch == "x86" {
		if _, err := os.Stat("/usr/include/gelf.h"); err != nil {
			missing.add("gelf.h", "libelf-dev")
		}
	}
	if _, err := exec.LookPath("pahole"); types && err != nil {
		missing.add("pahole", "dwarves")
	}
	if len(missing.Tools) > 0 {
		return "", missing
	}
	var out []string
	for _, tool := range []string{"gcc", "ld"} {
		v, err := a.binutil(ctx, tool, "--version")
		if err != nil {
			return "", err
		}
		line, _, _ := strings.Cut(v, "\n")
		out = append(out, line)
	}
	if types {
		v, err := proc.Output(ctx, "", "pahole", "--version")
		if err != nil {
			return "", err
		}
		out = append(out, "pahole "+strings.TrimSpace(v))
	}
	return strings.Join(out, "; "), nil
}

// binutil runs one of the architecture's tools and returns what it says.
func (a arch) binutil(ctx context.Context, tool string, args ...string) (string, error) {
	return proc.Output(ctx, "", append([]string{a.prefix + tool}, args...)...)
}
