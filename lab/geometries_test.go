// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"packtest/guest/wire"
	"packtest/internal/fault"
	"packtest/itlb"
	"packtest/itlb/trace"
	"packtest/metric"
	"packtest/plan"
)

const ownCore = `[[geometry]]
name = "mine"
arch = "ARCH"
source = "measured here"
confidence = "measured"
l1.arrays = [{ pages = "any", sets = 2, ways = 1 }]
`

func TestReadGeometries(t *testing.T) {
	own := func(arch string) string { return strings.ReplaceAll(ownCore, "ARCH", arch) }
	for _, tc := range []struct{ name, text, err string }{
		{"good", own("s390x"), ""},
		{"none", "", ""},
		{"sets no power of two", strings.ReplaceAll(own("s390x"), "sets = 2", "sets = 12"), `cores.toml: geometry "mine": l1: 12 sets; it must be a power of two`},
		{"no such key", own("s390x") + "entries = 64", "cores.toml: read geometries: unknown key geometry.entries"},
		{"no such architecture", own("riscv"), `cores.toml: geometry "mine": arch = "riscv"; there are ["x86_64" "s390x"]`},
		{"packtest's own name", strings.ReplaceAll(own("x86_64"), "mine", "zen2"), `geometry "zen2": packtest carries one of that name`},
		{"a name that no report can show", strings.ReplaceAll(own("x86_64"), "mine", "my core"), "a name is of lower-case letters"},
		{"no file", "-", "read geometries: open"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := plan.Default()
			p.Geometries = filepath.Join(t.TempDir(), "cores.toml")
			if tc.text != "-" {
				if err := os.WriteFile(p.Geometries, []byte(tc.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			g, err := readGeometries(p)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || fault.Of(err) != fault.Input {
					t.Errorf("err = %v (%v), want %q", err, fault.Of(err), tc.err)
				}
				return
			}
			if err != nil || g.text != tc.text {
				t.Fatalf("%v, text %q", err, g.text)
			}
			for _, arch := range plan.Architectures() {
				carried, err := itlb.Presets(arch)
				if err != nil {
					t.Fatal(err)
				}
				list, err := g.of(arch)
				want := len(carried)
				if tc.text != "" && arch == "s390x" {
					want++
				}
				if err != nil || len(list) != want {
					t.Errorf("%s: %d geometries, want %d: %v", arch, len(list), want, err)
				}
			}
		})
	}
}

// A geometry of the user's is simulated in every window, headline and sweep.
func TestOwnGeometry(t *testing.T) {
	list, err := itlb.ParseGeometries(strings.ReplaceAll(ownCore, "ARCH", "x86_64"))
	if err != nil {
		t.Fatal(err)
	}
	told := []wire.Window{toldWindow(1), toldWindow(2), toldWindow(3)}
	for i, form := range []string{"first", "second", "third"} {
		told[i].Form = form
	}
	j := joiner{arch: "x86_64", tag: "image", windows: told, geometries: geometries{list: list}}
	if err := j.join(bytes.NewReader(traceOf(t, trace.Header{Arch: "x86_64", Interface: 1, CPUs: 1, Tag: "image", Build: "b"}, 3, 2))); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"first", "third"} {
		// The page of the process, the text's leaf and the program's page are all even:
		// in one set of one way each of a round's four fetches misses.
		at := slices.IndexFunc(j.samples, func(s metric.Sample) bool {
			l := s.Labels
			return s.Metric == "itlb_model_misses_per_run" && l["geometry"] == "mine" && l["form"] == form && l["policy"] == "lru" &&
				l["bound"] == "full" && l["mapping"] == itlb.AsIs && l["lap"] == "warm" && l["part"] == "all"
		})
		if at < 0 || j.samples[at].Values[0] != 4 {
			t.Errorf("%s: %v", form, j.samples)
		}
	}
}

// What was kept of a trace was simulated with the geometries of that day.
func TestKeptGeometries(t *testing.T) {
	key := func(text string, traced bool) string {
		return keptKeyOf(t, traced, func(r *run) { r.prep.geometries.text, r.Version = text, "1" })
	}
	if key("a", true) == key("b", true) {
		t.Error("figures of other geometries are taken over")
	}
	if key("a", false) != key("b", false) {
		t.Error("geometries make the kernel's own suite run again")
	}
}
