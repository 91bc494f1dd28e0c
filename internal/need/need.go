// SPDX-License-Identifier: GPL-2.0-or-later

// Package need is how a test says what it needs of the machine. Where the need
// is not met the test is skipped with the reason, unless PACKTEST_REQUIRE=1 is
// set, as CI does: then it fails, so that a green CI ran what it should have.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Commands skips the test, or fails it under PACKTEST_REQUIRE=1, unless every
// named program is in PATH.
func Commands(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			Missing(t, "%s is not installed (make setup installs it)", n)
		}
	}
}

// File skips or fails the test unless path exists.
func File(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		Missing(t, "%s does not exist", path)
	}
}

// QEMU asks for the system emulator of arch ("x86_64" or "s390x").
func QEMU(t testing.TB, arch string) {
	t.Helper()
	Commands(t, "qemu-system-"+arch)
}

// KernelBuild asks for everything that building kernels for arch takes: the
// compilers, the kernel's build tools and Debian's 6.1 source.
func KernelBuild(t testing.TB, arch string) {
	t.Helper()
	Commands(t, "gcc", "make", "flex", "bison", "bc", "git", "xz")
	if arch == "s390x" {
		Commands(t, "s390x-linux-gnu-gcc")
	}
	File(t, "/usr/src/linux-source-6.1.tar.xz")
}

// Long skips the test under go test -short: it builds kernels or boots them.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes minutes; not run with -short")
	}
}

// Missing skips the test with a reason, or fails it under PACKTEST_REQUIRE=1.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("PACKTEST_REQUIRE") == "1" {
		t.Fatalf("PACKTEST_REQUIRE=1: "+format, args...)
	}
	t.Skipf(format, args...)
}
