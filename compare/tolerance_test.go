// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"strings"
	"testing"

	"packtest/metric"
	"packtest/results"
)

// A tolerance of the plan takes the place of the rule's own, wider or narrower.
func TestTolerances(t *testing.T) {
	exact := func(head float64) *results.Record {
		rec := goodRecord()
		set(rec, "nopack", "jit_pages", 1000)
		set(rec, "pack", "jit_pages", head)
		return rec
	}
	timed := func(head float64) *results.Record {
		rec := goodRecord()
		rec.Provenance.Accelerator = map[string]string{"x86_64": "kvm", "s390x": "kvm"}
		for i := range rec.Planned {
			rec.Planned[i].Boots = 1
		}
		for i := range rec.Samples {
			if s := &rec.Samples[i]; s.Metric == "load_time_per_program" {
				base := 1000.0
				if s.Variant == "pack" {
					base = head
				}
				s.Values = []float64{base, base + 1, base + 2, base + 3, base + 4, base + 5, base + 6}
			}
		}
		return rec
	}
	for _, tc := range []struct {
		name      string
		rec       *results.Record
		metric    string
		tolerance metric.Tolerance
		verdict   Outcome
		weighs    bool
		why       string
	}{
		{"exact, by the rule", exact(1011), "jit_pages", "", Worse, true, "higher"},
		{"exact, within the rule", exact(1009), "jit_pages", "", Worse, false, "by no more than the rule allows"},
		{"exact, wider", exact(1011), "jit_pages", "2 %", Worse, false, "by no more than the plan allows"},
		{"exact, wider, in units", exact(1011), "jit_pages", "11", Worse, false, "by no more than the plan allows"},
		{"exact, beyond the plan's", exact(1031), "jit_pages", "3 %", Worse, true, "higher"},
		{"exact, none at all", exact(1001), "jit_pages", "0", Worse, true, "higher"},
		{"better is held to the same", exact(990), "jit_pages", "2 %", Better, false, "by no more than the plan allows"},
		{"noisy, by the rule", timed(1150), "load_time_per_program", "", Worse, true, "p="},
		{"noisy, wider", timed(1150), "load_time_per_program", "20 %", Same, true, "within 20 %"},
		{"noisy, narrower", timed(1050), "load_time_per_program", "2 %", Worse, true, "p="},
		{"noisy, in units", timed(1150), "load_time_per_program", "200", Same, true, "within 200 ns"},
		{"of another metric", exact(1011), "text_mappings", "50 %", Worse, true, "higher"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.tolerance != "" {
				tc.rec.Tolerances = map[string]metric.Tolerance{tc.metric: tc.tolerance}
			}
			if tc.metric == "text_mappings" {
				tc.metric = "jit_pages"
			}
			seen := 0
			for _, c := range Between(tc.rec, "nopack", "pack").Changes {
				if c.Metric != tc.metric {
					continue
				}
				seen++
				if c.Verdict != tc.verdict || c.Weighs != tc.weighs || !strings.Contains(c.Why, tc.why) {
					t.Errorf("%s: %s, weighs %v: %s", c.Arch, c.Verdict, c.Weighs, c.Why)
				}
			}
			if seen == 0 {
				t.Errorf("no %s in the record", tc.metric)
			}
		})
	}
}
