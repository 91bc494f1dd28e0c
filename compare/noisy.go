// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"math"
	"sort"

	"golang.org/x/perf/benchmath"

	"packtest/metric"
	"packtest/results"
)

// alpha is the chance, over all noisy metrics of one comparison that are judged,
// of calling any of them different although none is.
const alpha = 0.05

// judgeNoisy sets the verdicts of the noisy metrics among list: different means
// that the Mann-Whitney U test says so after Holm's correction and that the
// medians are further apart than the tolerance. Metrics that are only shown are
// corrected among themselves: they must not cost the judged ones their chance.
func judgeNoisy(rec *results.Record, list []Change) {
	var judged, shown []*Change
	for i := range list {
		switch c := &list[i]; {
		case c.Exact || c.Verdict != "":
		case rule(c.Metric).Gate == Judged:
			judged = append(judged, c)
		default:
			shown = append(shown, c)
		}
	}
	judgeFamily(rec, judged)
	judgeFamily(rec, shown)
}

// judgeFamily judges metrics that are corrected together.
func judgeFamily(rec *results.Record, tested []*Change) {
	for _, c := range tested {
		p := uTest(c.Base, c.Head)
		e := cliff(c.Base, c.Head)
		c.P, c.Effect = &p, &e
		shift, low, high, ok := hodgesLehmann(c.Base, c.Head)
		c.Shift = &shift
		if ok {
			c.ShiftLow, c.ShiftHigh = &low, &high
		}
	}
	holm(tested)
	for _, c := range tested {
		judgeTested(c, ruleOf(rec, c.Metric, false), len(tested))
	}
}

// uTest returns the p-value of the two-sided Mann-Whitney U test. Values that
// are all the same tell nothing apart: 1.
func uTest(base, head []float64) float64 {
	// NewSample sorts what it is given; the record's order must stay.
	t := benchmath.DefaultThresholds
	b := benchmath.NewSample(append([]float64{}, base...), &t)
	h := benchmath.NewSample(append([]float64{}, head...), &t)
	p := benchmath.AssumeNothing.Compare(b, h).P
	if math.IsNaN(p) || p > 1 {
		return 1
	}
	return p
}

// cliff returns Cliff's delta: the share of pairs in which head is above base
// less the share in which it is below.
func cliff(base, head []float64) float64 {
	var d int
	for _, b := range base {
		for _, h := range head {
			switch {
			case h > b:
				d++
			case h < b:
				d--
			}
		}
	}
	return float64(d) / float64(len(base)*len(head))
}

// holm replaces the p-values by those of Holm's step-down correction.
func holm(tested []*Change) {
	order := append([]*Change{}, tested...)
	sort.SliceStable(order, func(i, j int) bool { return *order[i].P < *order[j].P })
	last := 0.0
	for i, c := range order {
		last = max(last, min(1, *c.P*float64(len(order)-i)))
		*c.P = last
	}
}

func judgeTested(c *Change, r Rule, family int) {
	n := min(len(c.Base), len(c.Head))
	enough := enoughFor(alpha / float64(family))
	switch {
	case smallestP(len(c.Base), len(c.Head)) > alpha:
		c.Verdict = Inconclusive
		c.Why = fmt.Sprintf("%s; at least %s needed to tell", count(n, "value"), count(enough, "value")+" a side")
	case *c.P <= alpha && !r.tolerates(c):
		way, word := metric.Lower, "lower"
		if *c.Delta > 0 {
			way, word = metric.Higher, "higher"
		}
		c.Verdict, c.Why = direction(c.Better, way), fmt.Sprintf("%s, p=%.3f", word, *c.P)
	case r.tolerates(c):
		c.Verdict, c.Why = Same, "within "+r.toleranceText(c.Unit)
	default:
		c.Verdict = Inconclusive
		c.Why = fmt.Sprintf("medians more than %s apart, but p=%.2f", r.toleranceText(c.Unit), *c.P)
		switch do := wouldDo(*c.Effect, alpha/float64(family)); {
		case do == 0:
			c.Why += "; so alike that more values would hardly tell"
		case math.Abs(*c.Effect) == 1:
			c.Why += fmt.Sprintf("; %d values a side would tell", do)
		default:
			c.Why += fmt.Sprintf("; if that is real, about %d values a side would tell", max(do, n+1))
		}
	}
}

// relative returns how far apart the medians are, as a fraction of the
// baseline's; from 0 to anything else it is beyond every tolerance.
func relative(c *Change) float64 {
	switch {
	case *c.Delta == 0:
		return 0
	case c.Ratio == nil:
		return math.Inf(1)
	}
	return math.Abs(*c.Ratio - 1)
}

// smallestP is the smallest p-value that the two-sided U test can give n and m
// values: that of two sides which lie wholly apart, 2 / C(n+m, n).
func smallestP(n, m int) float64 {
	p := 2.0
	for i := 1; i <= n; i++ {
		p *= float64(i) / float64(m+i)
	}
	return min(1, p)
}

// enoughFor returns how many values a side the U test needs to reach a.
func enoughFor(a float64) int {
	n := 1
	for smallestP(n, n) > a {
		n++
	}
	return n
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
