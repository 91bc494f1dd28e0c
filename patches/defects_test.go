// SPDX-License-Identifier: GPL-2.0-or-later

package patches

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestDefects(t *testing.T) {
	list, err := Defects(FS(), "linux-6.1")
	if err != nil {
		t.Fatal(err)
	}
	on := map[string]int{}
	titles := map[string]string{}
	for _, d := range list {
		for _, a := range d.Arches {
			if a != "x86_64" && a != "s390x" {
				t.Errorf("%s: exists on %q", d.Name, a)
			}
			on[a]++
		}
		if !slices.Contains([]string{"measure", "debug", "btf", "faults"}, d.Config) {
			t.Errorf("%s: is seen with configuration %q", d.Name, d.Config)
		}
		// Variants of one defect for two architectures share a title.
		if other, ok := titles[d.Title]; ok {
			t.Errorf("%s and %s have one title", d.Name, other)
		}
		titles[d.Title] = d.Name
	}
	if on["x86_64"] < 25 || on["s390x"] < 25 {
		t.Errorf("%d defects on x86_64 and %d on s390x; there were more", on["x86_64"], on["s390x"])
	}
}

func TestDefectsMustSayWhere(t *testing.T) {
	whole := "Subject: [PATCH] bpf: Break it\n\nWhy.\n\nDefect-arch: s390x\nDefect-config: debug\n---\nDefect-arch: x86_64\n"
	fsys := fstest.MapFS{"b/defects/one.patch": {Data: []byte(whole)}}
	list, err := Defects(fsys, "b")
	if err != nil {
		t.Fatal(err)
	}
	want := Defect{Name: "one", Path: "b/defects/one.patch", Title: "bpf: Break it", Arches: []string{"s390x"}, Config: "debug"}
	if len(list) != 1 || list[0].Title != want.Title || !slices.Equal(list[0].Arches, want.Arches) || list[0].Config != want.Config || list[0].Name != want.Name {
		t.Errorf("got %+v, want %+v", list, want)
	}
	fsys["b/defects/two.patch"] = &fstest.MapFile{Data: []byte("Subject: bpf: Break it\n---\n")}
	if _, err := Defects(fsys, "b"); err == nil {
		t.Error("a defect that doesn't say where it exists is taken")
	}
}

// TestReferenceNamesDefects holds results/reference/defects.md against the
// defects: each has a row for every architecture that it exists on, and each heading
// counts its rows.
func TestReferenceNamesDefects(t *testing.T) {
	page, err := os.ReadFile("../results/reference/defects.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		at, says, ok := strings.Cut(title, ": ")
		if !ok {
			continue // no table of defects
		}
		all, found := 0, 0
		for line := range strings.Lines(body) {
			if cells := strings.Split(line, "|"); len(cells) > 2 {
				if name := strings.TrimSpace(cells[1]); name != "defect" && !strings.HasPrefix(name, "-") {
					rows[at+": "+name] = true
					all++
					if !strings.Contains(cells[3], "**") {
						found++
					}
				}
			}
		}
		if want := fmt.Sprintf("%d of %d ", found, all); !strings.HasPrefix(says, want) {
			t.Errorf("%q: it is %s", title, want)
		}
	}
	list, err := Defects(FS(), "linux-6.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		for _, arch := range d.Arches {
			if row := arch + ", " + d.Config + ": " + d.Name; !rows[row] {
				t.Errorf("no row is %s", row)
			}
		}
	}
}
