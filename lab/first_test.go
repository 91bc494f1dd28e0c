// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"slices"
	"testing"

	"packtest/guest/wire"
	"packtest/results"
	"packtest/vm"
)

// Where the first finding is enough, its boot is stopped and the kernel's next one
// left out; the baseline goes on.
func TestFirstFinding(t *testing.T) {
	finding := wire.Message{Type: wire.TypeFinding, Scenario: "load", Finding: &wire.Finding{Kind: "overlap", Title: "programs' code overlaps"}}
	says := slices.Insert(well(1), 1, finding)
	says[len(says)-1].Done.Findings = 1
	for _, tt := range []struct {
		variant string
		ending  vm.Ending
		boots   int // those that are made of two
		want    string
	}{
		{"pack", vm.Interrupted, 1, endingStopped},
		{"nopack", vm.Done, 2, results.EndingDone},
	} {
		t.Run(tt.variant, func(t *testing.T) {
			s := fakeBoot{ending: tt.ending, says: says}
			r, f := testRun(t, openCache(t), s, s)
			r.plan.FirstFinding = true
			c := *testBoot(false).cell
			c.variant = tt.variant
			r.rec.Cells = append(r.rec.Cells, results.Cell{Arch: c.arch, Variant: c.variant, Image: "aa"})
			initrd := initrdFile(t)
			for n := 1; n <= 2; n++ {
				b := &boot{cell: &c, number: n, job: testBoot(false).job}
				if r.enough(b) {
					if err := r.recordBoot(b, r.leftOut(b)); err != nil {
						t.Fatal(err)
					}
					continue
				}
				r.carryOutOne(t, b, initrd)
			}
			if f.boots != tt.boots || len(r.rec.Boots) != 2 {
				t.Errorf("%d boots were made and %d recorded, want %d and 2", f.boots, len(r.rec.Boots), tt.boots)
			}
			for _, b := range r.rec.Boots {
				if b.Ending != tt.want {
					t.Errorf("boot %d ended in %s: %s, want %s", b.Number, b.Ending, b.Detail, tt.want)
				}
			}
			if len(r.rec.Findings) == 0 || r.rec.Findings[0].Kind != "overlap" {
				t.Errorf("findings %v", r.rec.Findings)
			}
		})
	}
}
