// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"strings"
	"testing"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/metric"
	"packtest/plan"
)

// The tolerances that a written plan shows in comments are the rules, and those
// of every metric that has one.
func TestWrittenTolerancesAreTheRules(t *testing.T) {
	_, text, ok := strings.Cut(plan.Default().TOML(), "# [tolerance]\n")
	if !ok {
		t.Fatal("a written plan shows no tolerances")
	}
	text, _, _ = strings.Cut(text, "\n\n")
	p, err := plan.Parse("[tolerance]\n"+strings.ReplaceAll(text, "# ", ""), "written")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkTolerances(p); err != nil {
		t.Error(err)
	}
	for _, r := range compare.Rules() {
		tolerance, written := p.Tolerances[r.Metric]
		share, units := max(r.SlackShare, r.Tolerance), max(r.Slack, r.ToleranceUnits)
		if r.Gate != compare.Judged || share == 0 && units == 0 {
			if written {
				t.Errorf("%s is written, and has no tolerance", r.Metric)
			}
			continue
		}
		if !written || tolerance.Share() != share || tolerance.Absolute() != units {
			t.Errorf("%s: written %q, the rule is %g or %g", r.Metric, tolerance, share, units)
		}
	}
}

func TestToleranceOfWhatIsNotJudged(t *testing.T) {
	p := plan.Default()
	p.Tolerances = map[string]metric.Tolerance{"packs": "2 %"}
	err := checkTolerances(p)
	if err == nil || fault.Of(err) != fault.Input || !strings.Contains(err.Error(), "packs does not weigh") {
		t.Errorf("err = %v", err)
	}
}
