// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"packtest/guest/wire"
	"packtest/metric"
)

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"help", 0, "usage: packguest COMMAND"},
		{"", 0, "directmap"},
		{"fly", 2, `no command "fly"`},
		{"load 0", 2, `"0" is not a number of programs`},
		{"load 10 20", 2, `"10 20" is not a number of programs`},
		{"load -speed 3", 2, "flag provided but not defined"},
		{"run", 2, `no scenario called ""`},
		{"run nope", 2, `no scenario called "nope" (there are directmap, load, `},
		{"run load drain", 2, "one scenario at a time"},
		{"run load -steps x", 2, "invalid value"},
		{"bench-load x", 2, `"x" is not a number of programs`},
		{"run directmap -steps 9,1", 3, "steps must rise"},
		{"run load -programs 20000", 3, "asked for 20000 programs"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), strings.Fields(tc.args), strings.NewReader(""), &stdout, &stderr)
		if code != tc.code || !strings.Contains(stderr.String(), tc.stderr) {
			t.Errorf("packguest %s: exit code %d, want %d, stderr %q, want %q", tc.args, code, tc.code, stderr.String(), tc.stderr)
		}
	}
}

func TestPicture(t *testing.T) {
	for _, tc := range []struct {
		name  string
		r     wire.Region
		want  string
		bytes uint64
	}{
		{"a page", wire.Region{Bytes: 4096, Images: []wire.Image{{Offset: 0, Bytes: 64}, {Offset: 70, Bytes: 20}, {Offset: 192, Bytes: 100}}},
			"#+.#+" + strings.Repeat(".", 59), 64},
		{"an image beyond the end", wire.Region{Bytes: 128, Images: []wire.Image{{Offset: 64, Bytes: 500}}}, ".#", 64},
		{"a pack", wire.Region{Bytes: 2 << 20, Images: []wire.Image{{Offset: 1024, Bytes: 2048}, {Offset: 4096, Bytes: 1}}},
			".##.+" + strings.Repeat(".", 2043), 1024},
	} {
		got, size := picture(tc.r)
		if got != tc.want || size != tc.bytes {
			t.Errorf("%s: %q in units of %d, want %q in %d", tc.name, got, size, tc.want, tc.bytes)
		}
	}
}

func TestPrinter(t *testing.T) {
	var b bytes.Buffer
	p := &printer{out: &b}
	p.Sample(metric.New("jit_pages", nil, 3))
	p.Sample(metric.New("pack_occupancy", map[string]string{"pack": "0"}, 12.3456))
	p.Unmeasured("jit_charged", "no kcore")
	p.Finding(wire.Finding{Kind: "leak", Title: "gone", Evidence: "a\nb"})
	region := wire.Region{Start: 0xffffffffa0000000, Bytes: 64 * 64 * 4, PageBytes: 4096, Images: []wire.Image{{Offset: 4096, Bytes: 64}}}
	p.Layout(wire.Layout{Regions: []wire.Region{region, region, region, region, region, region, region, region, region, region}})
	for _, want := range []string{
		"jit_pages                                           3 pages\n",
		"pack_occupancy pack=0                           12.35 %\n",
		"not measured: no kcore\n",
		"FINDING leak: gone\n  a\n  b\n",
		"0xffffffffa0000000: 16 KiB in 4 KiB pages, 1 functions; a sign is 64 bytes\n  (1 rows without code)\n  #...............................................................\n  (2 rows without code)\n",
		"and 2 more areas\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if p.findings != 1 {
		t.Errorf("%d findings", p.findings)
	}
}

func TestFindPort(t *testing.T) {
	dir := t.TempDir()
	for device, name := range map[string]string{"vport0p1": "org.qemu.guest_agent.0\n", "vport1p1": wire.PortName + "\n"} {
		os.Mkdir(filepath.Join(dir, device), 0o755)
		if err := os.WriteFile(filepath.Join(dir, device, "name"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir(filepath.Join(dir, "vport2p1"), 0o755) // has no name yet
	if got, err := findPort(dir, wire.PortName); err != nil || got != "vport1p1" {
		t.Errorf("findPort = %q, %v", got, err)
	}
	if got, err := findPort(dir, "x"); err != nil || got != "" {
		t.Errorf("findPort of another = %q, %v", got, err)
	}
	if got, err := findPort(filepath.Join(dir, "none"), "x"); err != nil || got != "" {
		t.Errorf("findPort where the driver isn't there yet = %q, %v", got, err)
	}
}
