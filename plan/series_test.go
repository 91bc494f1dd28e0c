// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/internal/fault"
)

func TestStacks(t *testing.T) {
	var list []Variant
	for _, arg := range []string{"v6.mbox", "more.mbox", "v5=v5.mbox", "./a=b", "v5=v5-fix.patch"} {
		var err error
		if list, err = Stacks(list, arg, func(s string) (string, error) { return s, nil }); err != nil {
			t.Fatal(err)
		}
	}
	want := []Variant{
		{Name: "series", Stack: []string{"v6.mbox", "more.mbox", "./a=b"}},
		{Name: "v5", Stack: []string{"v5.mbox", "v5-fix.patch"}},
	}
	if d := cmp.Diff(want, list); d != "" {
		t.Error(d)
	}
	if _, err := Stacks(nil, "x", func(string) (string, error) { return "", fault.Inputf("no") }); err == nil {
		t.Error("an element that is refused is accepted")
	}
}

// What packtest carries is not mixed into a plan for another series.
func TestTestOnly(t *testing.T) {
	p := Default()
	p.TestOnly([]Variant{{Name: "v5", Stack: []string{"/v5"}}, {Name: "v6", Stack: []string{"/v6"}}})
	if d := cmp.Diff([]string{"base", "v5", "v6"}, p.VariantNames()); d != "" || len(p.Variants[0].Stack) != 0 {
		t.Errorf("variants %+v", p.Variants)
	}
	if p.Baseline != "base" || p.Candidate != "v6" {
		t.Errorf("baseline %s, candidate %s", p.Baseline, p.Candidate)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}

func TestRangeNeedsATree(t *testing.T) {
	p := Default()
	p.TestOnly([]Variant{{Name: "series", Stack: []string{"range:v6..mine"}}})
	if err := p.Validate(); err == nil || fault.Of(err) != fault.Input || !strings.Contains(err.Error(), "range:v6..mine is in no tree") {
		t.Errorf("err = %v", err)
	}
	p.Base = "tree:/linux"
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}
