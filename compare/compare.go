// SPDX-License-Identifier: GPL-2.0-or-later

// Package compare decides what a run comes to: it sets the baseline's values
// against every other variant's, says of each metric whether it is better,
// worse or the same, checks that everything planned was carried out, and
// draws the verdict from both. How any of it is shown is left to others.
package compare

import (
	"math"
	"sort"

	"packtest/metric"
	"packtest/results"
)

// Outcome is what became of one metric.
type Outcome string

const (
	// Better and Worse: it moved, beyond noise, the way the metric says.
	Better Outcome = "better"
	Worse  Outcome = "worse"
	// Same: equal, or no different within the tolerance.
	Same Outcome = "same"
	// Changed: it moved, and the metric has no better or worse.
	Changed Outcome = "changed"
	// Inconclusive: the values at hand don't say.
	Inconclusive Outcome = "inconclusive"
	// Missing: one side has no value.
	Missing Outcome = "missing"
)

// Change is one metric, under one set of labels, in the baseline and in another
// variant.
type Change struct {
	Arch     string            `json:"arch"`
	Scenario string            `json:"scenario"`
	Metric   string            `json:"metric"`
	Unit     string            `json:"unit"`
	Labels   map[string]string `json:"labels,omitempty"`
	Better   metric.Better     `json:"better"`
	Exact    bool              `json:"exact"`
	Tier     metric.Tier       `json:"tier"`
	// Base and Head are the values of the baseline and of the other variant,
	// in the order in which they were taken; either may be empty.
	Base []float64 `json:"base"`
	Head []float64 `json:"head"`
	// BaseCentre and HeadCentre are the medians; null where there is no value.
	BaseCentre *float64 `json:"base_centre"`
	HeadCentre *float64 `json:"head_centre"`
	// Delta is head less base in the metric's unit; Ratio is head / base, null
	// if base is 0 or a side is missing.
	Delta *float64 `json:"delta"`
	Ratio *float64 `json:"ratio"`
	// P is the p-value of the Mann-Whitney U test, corrected by Holm over the
	// comparison's judged noisy metrics, or over its shown ones; null where no test was made.
	P *float64 `json:"p,omitempty"`
	// Effect is Cliff's delta, from -1 (every head value is below every base
	// value) to 1; null where no test was made.
	Effect *float64 `json:"effect,omitempty"`
	// Shift is by how much head is estimated to lie above base (Hodges and
	// Lehmann), in the metric's unit, and ShiftLow and ShiftHigh are its 95 %
	// interval; null where no test was made, or from too few values.
	Shift     *float64 `json:"shift,omitempty"`
	ShiftLow  *float64 `json:"shift_low,omitempty"`
	ShiftHigh *float64 `json:"shift_high,omitempty"`
	// Verdict is what became of the metric, and Why says it in a few words.
	Verdict Outcome `json:"verdict"`
	Why     string  `json:"why"`
	// Weighs is set if Verdict counts for the run's verdict; see Rule.
	Weighs bool `json:"weighs"`
}

// Comparison is every change from the baseline to one other variant.
type Comparison struct {
	Base    string   `json:"base"`
	Head    string   `json:"head"`
	Changes []Change `json:"changes"`
}

// Compare sets the record's baseline against every other variant, the
// candidate first and then by name. Without a baseline there is nothing to
// compare, and the list is empty.
func Compare(rec *results.Record) []Comparison {
	if rec.Baseline == "" {
		return nil
	}
	var list []Comparison
	for _, head := range others(rec) {
		list = append(list, Between(rec, rec.Baseline, head))
	}
	return list
}

// others lists the variants that aren't the baseline, the candidate first.
func others(rec *results.Record) []string {
	seen := map[string]bool{rec.Baseline: true, "": true}
	var list []string
	add := func(v string) {
		if !seen[v] {
			seen[v] = true
			list = append(list, v)
		}
	}
	add(rec.Candidate)
	first := len(list)
	for _, p := range rec.Planned {
		add(p.Variant)
	}
	for _, c := range rec.Cells {
		add(c.Variant)
	}
	for _, s := range rec.Samples {
		add(s.Variant)
	}
	sort.Strings(list[first:])
	return list
}

type key struct{ arch, scenario, metric, labels string }

// side is one variant's values of one metric.
type side struct {
	sample results.Sample
	values []float64
}

// values gathers a variant's samples, of one architecture and scenario if they
// are named. A variant that was not booted because its image is another's, byte
// for byte, has that one's values.
func values(rec *results.Record, variant, arch, scenario string) map[key]side {
	m := map[key]side{}
	from := map[string]string{} // by architecture; there are thousands of samples
	for i := range rec.Samples {
		s := &rec.Samples[i]
		if arch != "" && s.Arch != arch || scenario != "" && s.Scenario != scenario {
			continue
		}
		if _, ok := from[s.Arch]; !ok {
			from[s.Arch] = Source(rec, s.Arch, variant)
		}
		if s.Variant != from[s.Arch] {
			continue
		}
		k := key{s.Arch, s.Scenario, s.Metric, metric.LabelString(s.Labels)}
		v := m[k]
		v.sample = *s
		for _, x := range s.Values {
			if !math.IsNaN(x) && !math.IsInf(x, 0) {
				v.values = append(v.values, x)
			}
		}
		m[k] = v
	}
	return m
}

// Between sets one variant against another. An empty base gives head's values
// alone, every one of them with the verdict Missing.
func Between(rec *results.Record, base, head string) Comparison {
	b, h := values(rec, base, "", ""), values(rec, head, "", "")
	keys := map[key]results.Sample{}
	for k, v := range b {
		keys[k] = v.sample
	}
	for k, v := range h {
		if _, ok := keys[k]; !ok {
			keys[k] = v.sample
		}
	}
	c := Comparison{Base: base, Head: head, Changes: []Change{}}
	for k, s := range keys {
		if rule(k.metric).Gate == Unpaired {
			continue
		}
		c.Changes = append(c.Changes, newChange(s, b[k], h[k]))
	}
	Sort(c.Changes)
	for i := range c.Changes {
		if c.Changes[i].Exact {
			judgeExact(&c.Changes[i])
		}
	}
	judgeNoisy(rec, c.Changes)
	for i := range c.Changes {
		weigh(rec, base, head, &c.Changes[i])
	}
	voidUnequalLoads(c.Changes)
	return c
}

func newChange(s results.Sample, base, head side) Change {
	c := Change{
		Arch: s.Arch, Scenario: s.Scenario, Metric: s.Metric, Unit: s.Unit, Labels: s.Labels,
		Better: s.Better, Exact: s.Exact, Tier: TierOf(s.Sample),
		Base: append([]float64{}, base.values...), Head: append([]float64{}, head.values...),
	}
	bc, okBase := Median(c.Base)
	hc, okHead := Median(c.Head)
	if okBase {
		c.BaseCentre = &bc
	}
	if okHead {
		c.HeadCentre = &hc
	}
	switch {
	case !okBase || !okHead:
		c.Verdict, c.Why = Missing, "one side was not measured"
	case base.sample.Unit != head.sample.Unit:
		c.Verdict, c.Why = Inconclusive, "the units differ: "+base.sample.Unit+" and "+head.sample.Unit
	default:
		d := hc - bc
		c.Delta = &d
		if bc != 0 {
			r := hc / bc
			c.Ratio = &r
		}
	}
	return c
}

// TierOf returns the tier of a sample's metric. One that the catalogue lacks,
// from a newer packtest's record, is measured: the tier that promises least.
func TierOf(s metric.Sample) metric.Tier {
	if d, ok := metric.Lookup(s.Metric); ok {
		return d.Tier
	}
	return metric.Measured
}

// Median returns the median of v; false if v is empty. v keeps its order.
func Median(v []float64) (float64, bool) {
	if len(v) == 0 {
		return 0, false
	}
	s := append([]float64{}, v...)
	sort.Float64s(s)
	mid := len(s) / 2
	if len(s)%2 == 1 {
		return s[mid], true
	}
	return s[mid-1] + (s[mid]-s[mid-1])/2, true
}

// Sort orders changes by architecture, then as the catalogue does, then by
// scenario and labels, numbers in labels by their value.
func Sort(list []Change) {
	place := map[string]int{}
	for i, d := range metric.Catalogue() {
		place[d.Name] = i + 1
	}
	at := func(name string) int {
		if p, ok := place[name]; ok {
			return p
		}
		return len(place) + 1
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		switch {
		case a.Arch != b.Arch:
			return a.Arch < b.Arch
		case at(a.Metric) != at(b.Metric):
			return at(a.Metric) < at(b.Metric)
		case a.Metric != b.Metric:
			return a.Metric < b.Metric
		case a.Scenario != b.Scenario:
			return a.Scenario < b.Scenario
		}
		return LessLabels(a.Labels, b.Labels)
	})
}
