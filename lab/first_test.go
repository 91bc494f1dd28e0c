// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"packtest/guest/wire"
	"packtest/results"
	"packtest/vm"
)

// Where the first finding is enough, its boot is stopped and the kernel's next one
// left out. The baseline goes on, and what is its own stops nobody.
func TestFirstFinding(t *testing.T) {
	says := func(title string) []wire.Message {
		m := slices.Insert(well(1), 1, wire.Message{Type: wire.TypeFinding, Scenario: "load", Finding: &wire.Finding{Kind: "overlap", Title: title}})
		m[len(m)-1].Done.Findings = 1
		return m
	}
	r, f := testRun(t, openCache(t),
		fakeBoot{ending: vm.Done, says: says("everybody's")},         // nopack #1
		fakeBoot{ending: vm.Done, says: says("everybody's")},         // pack #1
		fakeBoot{ending: vm.Done, says: says("everybody's")},         // nopack #2
		fakeBoot{ending: vm.Interrupted, says: says("pack's alone")}) // pack #2
	r.plan.FirstFinding, r.plan.Parallel = true, 1
	var boots []*boot
	cells := map[string]*cell{}
	for _, v := range []string{"nopack", "pack"} {
		c := *testBoot(false).cell
		c.variant = v
		cells[v] = &c
		r.rec.Cells = append(r.rec.Cells, results.Cell{Arch: c.arch, Variant: v, Image: v})
	}
	for n := 1; n <= 3; n++ {
		for _, v := range []string{"nopack", "pack"} {
			if n < 3 || v == "pack" {
				boots = append(boots, &boot{cell: cells[v], number: n, job: testBoot(false).job})
			}
		}
	}
	if err := r.bootAll(t.Context(), boots, map[string]string{"s390x": vm.TCG}, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range r.rec.Boots {
		got = append(got, fmt.Sprintf("%s #%d %s %s", b.Variant, b.Number, b.Ending, b.Fault))
	}
	want := []string{"nopack #1 done ", "nopack #2 done ", "pack #1 done ", "pack #2 stopped kernel", "pack #3 stopped kernel"}
	if !slices.Equal(got, want) || f.boots != 4 {
		t.Errorf("%d boots were made, and recorded:\n%s\nwant 4 and\n%s", f.boots, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
