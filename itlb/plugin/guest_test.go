// SPDX-License-Identifier: GPL-2.0-or-later

package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"packtest/internal/need"
	"packtest/internal/proc"
	"packtest/itlb/trace"
)

// programPage is where the program of a bare-metal guest begins.
const programPage = 0x200000 / trace.PageBytes

// machine is one way to run a guest: an architecture under one QEMU.
type machine struct {
	arch   string
	dir    string // where a QEMU was unpacked; "" is the installed one
	plugin *Plugin
	accel  string // "" is tcg
	cpus   int    // 0 is one
}

func (m machine) qemu() string {
	if m.dir == "" {
		return "qemu-system-" + m.arch
	}
	return filepath.Join(m.dir, "usr/bin/qemu-system-"+m.arch)
}

// base returns what every command line begins with.
func (m machine) base() []string {
	argv := []string{m.qemu(), "-nodefaults", "-display", "none", "-no-reboot", "-accel", cmp.Or(m.accel, "tcg"), "-cpu", "max",
		"-smp", strconv.Itoa(max(1, m.cpus))}
	if m.dir != "" {
		argv = append(argv, "-L", filepath.Join(m.dir, "usr/share/qemu"), "-L", filepath.Join(m.dir, "usr/share/seabios"))
	}
	return argv
}

// argv returns the beginning of a command line for a program without a kernel.
func (m machine) argv() []string {
	if m.arch == "x86_64" {
		return append(m.base(), "-m", "64", "-machine", "pc", "-device", "isa-debug-exit,iobase=0xf4,iosize=4")
	}
	return append(m.base(), "-m", "64", "-machine", "s390-ccw-virtio")
}

// linux returns the beginning of a command line for a Linux kernel.
func (m machine) linux() []string {
	board := "microvm,acpi=off,rtc=on"
	if m.arch == "s390x" {
		board = "s390-ccw-virtio"
	}
	return append(m.base(), "-m", "512", "-machine", board)
}

// env keeps an unpacked QEMU away from the modules of an installed one.
func (m machine) env() []string {
	return []string{"QEMU_MODULE_DIR=" + filepath.Join("/", m.dir, "usr/lib/x86_64-linux-gnu/qemu")}
}

// eachMachine runs f for both architectures on the installed QEMU and on the
// QEMU 10 that was unpacked where PACKTEST_QEMU10 says.
func eachMachine(t *testing.T, f func(t *testing.T, m machine)) {
	p := testPlugin(t)
	for _, arch := range []string{"x86_64", "s390x"} {
		t.Run(arch, func(t *testing.T) {
			need.QEMU(t, arch)
			f(t, machine{arch: arch, plugin: p})
		})
		t.Run(arch+"-qemu10", func(t *testing.T) {
			dir := os.Getenv("PACKTEST_QEMU10")
			if dir == "" {
				t.Skip("PACKTEST_QEMU10 names no folder with an unpacked QEMU 10")
			}
			f(t, machine{arch: arch, dir: dir, plugin: p})
		})
	}
}

func testPlugin(t testing.TB) *Plugin {
	t.Helper()
	need.Commands(t, "gcc")
	p, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// assemble makes an image for -kernel of a program, which follows the
// architecture's prologue.
func assemble(t testing.TB, arch, program string) string {
	t.Helper()
	prefix, format := "", []string{"--64"}
	if arch == "s390x" {
		prefix, format = "s390x-linux-gnu-", []string{"-m64"}
	}
	need.Commands(t, prefix+"as", prefix+"ld", prefix+"objcopy")
	prologue, err := os.ReadFile("testdata/" + arch + ".s")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	marks := fmt.Sprintf("\t.set BEGIN, %#x\n\t.set LAP, %#x\n\t.set END, %#x\n", trace.MarkBegin, trace.MarkLap, trace.MarkEnd)
	if err := os.WriteFile(file("guest.s"), []byte(marks+string(prologue)+program), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(argv ...string) {
		if _, err := proc.Run(t.Context(), proc.Cmd{Argv: argv}); err != nil {
			t.Fatal(err)
		}
	}
	run(append(append([]string{prefix + "as"}, format...), "-o", file("guest.o"), file("guest.s"))...)
	entry := map[string]string{"x86_64": "start", "s390x": "_start"}[arch]
	run(prefix+"ld", "-N", "-Ttext=0x100000", "-e", entry, "-o", file("guest.elf"), file("guest.o"))
	if arch == "s390x" {
		return file("guest.elf")
	}
	run(prefix+"objcopy", "-O", "binary", file("guest.elf"), file("guest.bin"))
	return file("guest.bin")
}

// boot runs an image to its end and returns what QEMU said.
func boot(t testing.TB, m machine, image string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	argv := append(append(m.argv(), "-kernel", image), args...)
	r, err := proc.Run(ctx, proc.Cmd{Argv: argv, Env: m.env()})
	// isa-debug-exit can't end QEMU with 0.
	if ee := (*proc.ExitError)(nil); err != nil && !(errors.As(err, &ee) && m.arch == "x86_64" && ee.Result.Code == 1) {
		t.Fatal(err)
	}
	return string(r.Stderr)
}

// trace boots a program under the plugin and returns the trace file's path and
// what QEMU said.
func (m machine) trace(t testing.TB, program string, args ...string) (path, said string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "a trace, with a comma")
	said = boot(t, m, assemble(t, m.arch, program), append([]string{"-plugin", m.plugin.Option(out, "tag, text=1")}, args...)...)
	return out, said
}

// read reads a whole trace.
func read(path string) (h trace.Header, windows [][]trace.Event, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, nil, err
	}
	defer f.Close()
	rd, err := trace.NewReader(f)
	if err != nil {
		return h, nil, err
	}
	for {
		w, err := rd.NextWindow()
		if err == io.EOF {
			return rd.Header(), windows, nil
		}
		if err != nil {
			return rd.Header(), windows, err
		}
		var all []trace.Event
		buf := make([]trace.Event, 1000)
		for {
			n, err := w.Read(buf)
			all = append(all, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				return rd.Header(), windows, err
			}
		}
		windows = append(windows, all)
	}
}

// difference shows two sequences from shortly before where they part.
func difference(got, want []trace.Event) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	part := func(all []trace.Event) string {
		var b strings.Builder
		for i := max(at-3, 0); i < min(at+8, len(all)); i++ {
			fmt.Fprintf(&b, "  %+v\n", all[i])
		}
		return b.String()
	}
	return fmt.Sprintf("%d events, want %d; from event %d, got\n%swant\n%s", len(got), len(want), max(at-3, 0), part(got), part(want))
}
