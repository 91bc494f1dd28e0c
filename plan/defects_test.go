// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"slices"
	"testing"
)

func TestOnlyDefects(t *testing.T) {
	p := Default()
	p.OnlyDefects("measure", []string{"chunks-not-reused", "pack-writable"})
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if got, want := p.VariantNames(), []string{"pack", "chunks-not-reused", "pack-writable"}; !slices.Equal(got, want) {
		t.Errorf("variants %q, want %q", got, want)
	}
	if got, want := p.Variants[2].Stack, []string{"nopack", "bpf-prog-pack", "defect:pack-writable"}; !slices.Equal(got, want) {
		t.Errorf("stack %q, want %q", got, want)
	}
	if p.Baseline != "pack" || p.Boots != 1 || !p.FirstFinding {
		t.Errorf("baseline %s, %d boots, first finding %v", p.Baseline, p.Boots, p.FirstFinding)
	}
	for _, s := range p.Scenarios {
		if s.Name == "test_bpf" {
			t.Error("test_bpf is in it")
		}
	}
}

// Where calls can be made to fail, nothing else is done.
func TestOnlyDefectsOfFailingCalls(t *testing.T) {
	p := Default()
	p.OnlyDefects("faults", []string{"spinlock"})
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if p.Config != "faults" || len(p.Scenarios) != 1 || p.Scenarios[0].Name != "faults" {
		t.Errorf("configuration %s, scenarios %v", p.Config, p.Scenarios)
	}
}
