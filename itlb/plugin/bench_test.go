// SPDX-License-Identifier: GPL-2.0-or-later

package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"packtest/internal/need"
	"packtest/internal/proc"
	"packtest/itlb/trace"
	"packtest/vm/vmtest"
)

// BenchmarkPluginOverhead compares boots of a kernel in which BPF programs run in
// rounds within one window, with the plugin and without it, in turns. It reports
// medians of pairs: the ratio of the host's CPU time for the window alone (boots
// without rounds are subtracted), the ratio for a boot without rounds, and what is
// in the trace. Of deterministic boots, which are those that packtest traces, it
// demands that the window be within maxOverhead.
func BenchmarkPluginOverhead(b *testing.B) {
	if os.Getenv("PACKTEST_BENCH") != "1" {
		b.Skip("PACKTEST_BENCH=1 asks for benchmarks")
	}
	for _, arch := range vmtest.Arches() {
		for _, dir := range []string{"", os.Getenv("PACKTEST_QEMU10")} {
			name := arch + "/installed"
			if dir != "" {
				name = arch + "/qemu10"
			}
			for profile, options := range profiles {
				b.Run(name+"/"+profile, func(b *testing.B) {
					need.QEMU(b, arch)
					w := window{machine{arch: arch, dir: dir, plugin: testPlugin(b)}, vmtest.Kernel(b, arch), vmtest.Init(b, arch, "./testdata/window"), options}
					for b.Loop() {
						w.measure(b)
					}
				})
			}
			if dir == "" && os.Getenv("PACKTEST_QEMU10") == "" {
				break
			}
		}
	}
}

// maxOverhead is how many times the processor time of an untraced window a traced one
// may take, by the version of QEMU's plugin interface: 1 is QEMU 7.2's, 4 QEMU 10.0's.
var maxOverhead = map[int]float64{1: 1.35, 4: 1.15}

// profiles are QEMU's options for boots as package vm makes them.
var profiles = map[string][]string{
	"deterministic": {"-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", "base=2024-01-01T00:00:00,clock=vm"},
	"fast":          nil,
}

type window struct {
	m              machine
	kernel, initrd string
	options        []string
}

func (w *window) measure(b *testing.B) {
	const pairs, rounds = 5, 3000
	out := filepath.Join(b.TempDir(), "trace")
	var windows, boots []float64
	for range pairs {
		plain0, plain := w.boot(b, 1, ""), w.boot(b, 1+rounds, "")
		traced0, traced := w.boot(b, 1, out), w.boot(b, 1+rounds, out)
		windows = append(windows, (traced-traced0).Seconds()/(plain-plain0).Seconds())
		boots = append(boots, traced0.Seconds()/plain0.Seconds())
	}
	b.ReportMetric(median(windows), "window-ratio")
	b.ReportMetric(median(boots), "boot-ratio")

	f, err := os.Open(out)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	rd, err := trace.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	limit, ok := maxOverhead[rd.Header().Interface]
	if !ok {
		b.Fatalf("no limit is known for interface %d", rd.Header().Interface)
	}
	if ratio := median(windows); w.options != nil && ratio > limit {
		b.Errorf("a traced window takes %.3f times an untraced one's processor time, want at most %.2f", ratio, limit)
	}
	tw, err := rd.NextWindow()
	if err != nil {
		b.Fatal(err)
	}
	events := make([]trace.Event, 4096)
	for err == nil {
		_, err = tw.Read(events)
	}
	st, errStat := f.Stat()
	if !errors.Is(err, io.EOF) || errStat != nil {
		b.Fatal(err, errStat)
	}
	t := tw.Totals()
	n := float64(t.Fetches + t.Flushes + t.Laps)
	b.ReportMetric(float64(st.Size())/n, "bytes/event")
	b.ReportMetric(n/float64((1+rounds)*100), "events/run")
	b.ReportMetric(float64(t.Instructions)/n, "instructions/event")
}

// boot returns the CPU time of a boot with a window of so many rounds, traced
// to out if that isn't empty.
func (w *window) boot(b *testing.B, rounds int, out string) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	console := filepath.Join(b.TempDir(), "console")
	argv := append(w.m.linux(), "-kernel", w.kernel, "-initrd", w.initrd, "-chardev", "file,id=console,path="+console)
	cmdline := "panic=-1 oops=panic nokaslr rounds=" + strconv.Itoa(rounds)
	if w.m.arch == "s390x" {
		argv = append(argv, "-device", "sclpconsole,chardev=console", "-append", "console=ttysclp0 "+cmdline)
	} else {
		argv = append(argv, "-serial", "chardev:console", "-append", "console=ttyS0 reboot=t "+cmdline)
	}
	argv = append(argv, w.options...)
	if out != "" {
		argv = append(argv, "-plugin", w.m.plugin.Option(out, ""))
	}
	r, err := proc.Run(ctx, proc.Cmd{Argv: argv, Env: w.m.env()})
	said, errRead := os.ReadFile(console)
	if err != nil || errRead != nil {
		b.Fatal(err, errRead, string(said))
	}
	if want := fmt.Sprintf(" ns, %d runs\n", rounds*100); !bytes.Contains(bytes.ReplaceAll(said, []byte("\r"), nil), []byte(want)) {
		b.Fatalf("the guest didn't say %q:\n%s", want, said)
	}
	return r.CPU
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
