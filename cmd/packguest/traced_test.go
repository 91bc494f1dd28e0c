// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"packtest/guest/wire"
	"packtest/initramfs"
	"packtest/internal/need"
	"packtest/itlb/plugin"
	"packtest/itlb/trace"
	"packtest/vm"
	"packtest/vm/vmtest"
)

// TestTraced boots this program twice with a job of its own, and wants the same
// trace, byte for byte, and of the windows that the guest tells of: under the
// installed QEMU, and under the QEMU 10 that was unpacked where PACKTEST_QEMU10
// says. That what is in it makes sense is for whoever joins the two to say.
func TestTraced(t *testing.T) {
	need.Long(t)
	job := wire.Job{Scenarios: []wire.ScenarioSpec{{Name: "itlb", Programs: 96, Hot: 48, Rounds: 3, Steps: []int{16, 128}, Seed: 1}}}
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	jobFile := filepath.Join(t.TempDir(), "job")
	if err := os.WriteFile(jobFile, text, 0o644); err != nil {
		t.Fatal(err)
	}
	need.Commands(t, "gcc")
	p, err := plugin.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range vmtest.Arches() {
		t.Run(arch, func(t *testing.T) {
			need.QEMU(t, arch)
			kernel := vmtest.Kernel(t, arch)
			initrd := vmtest.Init(t, arch, "packtest/cmd/packguest", initramfs.File{Path: wire.JobFile, Source: jobFile, Mode: 0o644})
			twice := func(t *testing.T) {
				var traces [2][]byte
				for i := range traces {
					out := filepath.Join(t.TempDir(), "trace")
					var windows []wire.Window
					o, err := vm.Run(t.Context(), vm.Machine{Arch: arch, Kernel: kernel, Initrd: initrd, Dir: t.TempDir(),
						Cmdline: []string{"norandmaps", "mitigations=off"}, Deterministic: true, Plugin: p.Option(out, "test"),
						Limits: vm.Limits{Boot: 30 * time.Second, Silence: 30 * time.Second},
					}, func(ctx context.Context, port io.ReadWriter) (err error) {
						windows, err = hearWindows(port, job)
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
					if o.Ending != vm.Done {
						t.Fatalf("%s: %s", o.Ending, o.Detail)
					}
					if traces[i], err = os.ReadFile(out); err != nil {
						t.Fatal(err)
					}
					if err := sameWindows(traces[i], windows, arch); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(traces[0], traces[1]) {
					t.Errorf("two boots give two traces, of %d and %d bytes", len(traces[0]), len(traces[1]))
				}
				t.Logf("%d bytes, twice", len(traces[0]))
			}
			t.Run("installed", twice)
			t.Run("qemu10", func(t *testing.T) {
				dir := os.Getenv("PACKTEST_QEMU10")
				if dir == "" {
					t.Skip("PACKTEST_QEMU10 names no folder with an unpacked QEMU 10")
				}
				preferQEMU(t, arch, dir)
				twice(t)
			})
		})
	}
}

// preferQEMU puts a QEMU that was unpacked in dir before the installed one, and
// keeps it away from that one's modules and firmware.
func preferQEMU(t *testing.T, arch, dir string) {
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nexport QEMU_MODULE_DIR=%[1]s/usr/lib/x86_64-linux-gnu/qemu\n"+
		"exec %[1]s/usr/bin/qemu-system-%[2]s -L %[1]s/usr/share/qemu -L %[1]s/usr/share/seabios \"$@\"\n", dir, arch)
	if err := os.WriteFile(filepath.Join(bin, "qemu-system-"+arch), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

// hearWindows is the host's side of the conversation. It returns the windows
// that the guest tells of.
func hearWindows(port io.ReadWriter, job wire.Job) ([]wire.Window, error) {
	r, w := wire.NewReader(port), wire.NewWriter(port)
	var list []wire.Window
	for {
		m, err := r.Read()
		if err != nil {
			return nil, err
		}
		switch m.Type {
		case wire.TypeHello:
			if err := w.Write(wire.Message{Type: wire.TypeJob, Job: &job}); err != nil {
				return nil, err
			}
		case wire.TypeWindow:
			list = append(list, *m.Window)
		case wire.TypeEnd:
			if m.End.Error != "" {
				return nil, errors.New(m.End.Error)
			}
		case wire.TypeDone:
			return list, nil
		}
	}
}

// sameWindows holds the windows of a trace against those that were told of.
func sameWindows(file []byte, told []wire.Window, arch string) error {
	want := []struct{ hot, rounds int }{{48, 3}, {48, 3}, {16, 3}, {128, 3}, {16, 3}, {128, 3}}
	if len(told) != len(want) {
		return fmt.Errorf("the guest tells of %d windows, not %d", len(told), len(want))
	}
	r, err := trace.NewReader(bytes.NewReader(file))
	if err != nil {
		return err
	}
	if h := r.Header(); h.Arch != arch || h.Tag != "test" {
		return fmt.Errorf("header %+v", h)
	}
	buf := make([]trace.Event, 1<<12)
	for i, w := range told {
		if w.Hot != want[i].hot || w.Rounds != want[i].rounds || w.Runs != uint64(w.Hot*w.Rounds) || len(w.HotIDs) != w.Hot {
			return fmt.Errorf("window %d: %d hot programs, %d rounds, %d runs", w.Number, w.Hot, w.Rounds, w.Runs)
		}
		if own := w.Memory == w.Number; own != (len(w.Kernel) > 0 && len(w.User) > 0 && len(w.Images) > 0) {
			return fmt.Errorf("window %d: the memory of %d, and %d, %d, %d of its own", w.Number, w.Memory, len(w.Kernel), len(w.User), len(w.Images))
		}
		traced, err := r.NextWindow()
		if err != nil {
			return err
		}
		laps, fetches := 1, 0
		for {
			n, err := traced.Read(buf)
			for _, e := range buf[:n] {
				switch e.Kind {
				case trace.Lap:
					laps++
				case trace.Fetch:
					fetches++
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		// Each run is at least a way into the program and one out of it.
		if traced.Number != w.Number || laps != w.Rounds || fetches < 2*int(w.Runs) {
			return fmt.Errorf("window %d has %d rounds and %d fetches in the trace; the guest tells of window %d with %d rounds and %d runs",
				traced.Number, laps, fetches, w.Number, w.Rounds, w.Runs)
		}
	}
	if _, err := r.NextWindow(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last window: %v", err)
	}
	return nil
}
