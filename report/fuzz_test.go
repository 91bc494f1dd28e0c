// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"packtest/guest/wire"
	"packtest/metric"
	"packtest/results"
)

// FuzzReport: whatever a record that can be read holds, every form of its
// report can be written.
func FuzzReport(f *testing.F) {
	small := &results.Record{Schema: 1, ID: "x", Baseline: "a", Candidate: "b",
		Planned:  []results.Planned{{Arch: "x86_64", Variant: "b", Scenario: "load", Boots: 1}},
		Cells:    []results.Cell{{Arch: "x86_64", Variant: "b", Image: "1"}},
		Samples:  []results.Sample{{Arch: "x86_64", Variant: "b", Scenario: "load", Sample: metric.New("jit_pages", nil, 1)}},
		Findings: []results.Finding{{Arch: "x86_64", Variant: "b", Title: "t"}},
		Layouts: []results.Layout{{Arch: "x86_64", Variant: "b", Layout: wire.Layout{Regions: []wire.Region{
			{Bytes: 8192, Images: []wire.Image{{Offset: 64, Bytes: 5000, Type: "xdp", ID: 1}}}}}}},
	}
	for _, rec := range []*results.Record{small, emptyRecord()} {
		b, err := json.Marshal(rec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := results.Parse(b, "fuzzed")
		if err != nil {
			return
		}
		for _, l := range rec.Layouts {
			for i := range l.Regions {
				l.Regions[i].Bytes %= 1 << 22 // pictures of huge areas are slow, not wrong
			}
		}
		for _, form := range Formats() {
			if err := form.Write(io.Discard, rec); err != nil {
				t.Errorf("%s: %v", form.Name, err)
			}
		}
		var x, y bytes.Buffer
		if Text(&x, Build(rec)) != nil || Text(&y, Build(rec)) != nil || x.String() != y.String() {
			t.Error("two reports of one record differ")
		}
	})
}
