// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"math"

	"packtest/results"
)

// weigh decides whether a change counts for the run's verdict, by its rule.
// What could not be told counts too where the metric is exact: then the run has
// not proved what it should have. Timings are a boot or two short more often
// than not, and count only where they say something.
func weigh(rec *results.Record, base, head string, c *Change) {
	r := ruleOf(rec, c.Metric, c.Exact)
	if r.Gate != Judged {
		return
	}
	if !c.Exact {
		weighTiming(rec, c, r)
		return
	}
	switch c.Verdict {
	case Better, Worse:
		c.Weighs = math.Abs(*c.Delta) > max(r.Slack, r.SlackShare*math.Abs(*c.BaseCentre))
		if !c.Weighs {
			c.Why += ", by no more than " + orElse(r.slackBy, "the rule") + " allows either way"
		}
	case Missing:
		c.Weighs = true
		c.Why = missingWhy(rec, base, head, c)
	default:
		c.Weighs = true
	}
}

// missingWhy says what the record has to say about a side that has no value.
func missingWhy(rec *results.Record, base, head string, c *Change) string {
	v := head
	if len(c.Base) == 0 {
		v = base
	}
	for _, u := range rec.Unmeasured {
		if u.Arch == c.Arch && u.Variant == Source(rec, c.Arch, v) && u.Metric == c.Metric {
			return fmt.Sprintf("not measured on %s: %s", v, u.Why)
		}
	}
	return fmt.Sprintf("no value from %s, and nothing says why", v)
}

func weighTiming(rec *results.Record, c *Change, r Rule) {
	switch {
	case c.Verdict == Missing || c.Verdict == Inconclusive:
	case !emulated(rec, c.Arch):
		c.Weighs = true
	case c.Verdict == Better || c.Verdict == Worse:
		c.Weighs = c.Ratio == nil || *c.Ratio > r.FactorTCG || *c.Ratio < 1/r.FactorTCG
		if !c.Weighs {
			c.Why += fmt.Sprintf("; timed under TCG, which weighs only beyond %g times", r.FactorTCG)
		}
	}
}

// emulated tells whether arch's boots ran under TCG. A record that doesn't say
// is taken for hardware's, which is judged more strictly.
func emulated(rec *results.Record, arch string) bool {
	return rec.Provenance.Accelerator[arch] == "tcg"
}

// voidUnequalLoads takes back every verdict on a scenario in which the two
// kernels did not hold the same number of programs.
func voidUnequalLoads(list []Change) {
	type at struct{ arch, scenario string }
	unequal := map[at]bool{}
	for _, c := range list {
		if c.Metric == "programs" && c.Verdict != Same {
			unequal[at{c.Arch, c.Scenario}] = true
		}
	}
	for i := range list {
		c := &list[i]
		if !unequal[at{c.Arch, c.Scenario}] || c.Metric == "programs" || c.Verdict == Missing {
			continue
		}
		c.Verdict, c.Why = Inconclusive, "the two kernels did not hold the same number of programs"
		c.Weighs = rule(c.Metric).Gate == Judged
	}
}
