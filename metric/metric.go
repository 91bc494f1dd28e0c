// SPDX-License-Identifier: GPL-2.0-or-later

// Package metric defines what a measured value is: its metric, unit, labels,
// which way is better, and whether it is exact or noisy. It knows nothing of
// where values come from or what is made of them.
package metric

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Better says which way a metric improves.
type Better string

const (
	// Lower values are better.
	Lower Better = "lower"
	// Higher values are better.
	Higher Better = "higher"
	// Neither: the value describes; a change is shown and not judged.
	Neither Better = "neither"
)

// Tier says how a value was come by. Tiers are never mixed in one table.
type Tier string

const (
	// Layout is counted: from the kernel's own tables and counters, or in a
	// trace of what it ran.
	Layout Tier = "layout"
	// Model is the outcome of a simulation over such a trace.
	Model Tier = "model"
	// Measured is read from a clock or a performance counter.
	Measured Tier = "measured"
)

// Def describes one metric: all there is to know to show and judge its values.
type Def struct {
	Name   string
	Unit   string // "pages", "bytes", "programs/page", "ns", "1"; never part of Name
	Better Better
	// Exact values repeat to the last digit in the same cell and scenario;
	// the others are noisy and need statistics.
	Exact bool
	Tier  Tier
	// Labels names the labels that tell the metric's samples apart, in order.
	Labels []string
	// Help is one sentence: what is counted, and from what source.
	Help string
}

// Sample is the values of one metric under one set of labels. Several values
// are repetitions, in the order in which they were taken.
type Sample struct {
	Metric string            `json:"metric"`
	Unit   string            `json:"unit"`
	Better Better            `json:"better"`
	Exact  bool              `json:"exact"`
	Labels map[string]string `json:"labels,omitempty"`
	Values []float64         `json:"values"`
}

// New makes a sample of the metric called name. It panics on a name that the
// catalogue lacks, a label the definition doesn't have, or no values: those are
// mistakes in the code, found by the first test that runs it.
func New(name string, labels map[string]string, values ...float64) Sample {
	d, ok := Lookup(name)
	if !ok {
		panic("metric: no metric called " + name)
	}
	if len(values) == 0 {
		panic("metric: no values for " + name)
	}
	for k := range labels {
		if !slices.Contains(d.Labels, k) {
			panic(fmt.Sprintf("metric: %s has no label %q", name, k))
		}
	}
	return Sample{Metric: d.Name, Unit: d.Unit, Better: d.Better, Exact: d.Exact, Labels: labels, Values: values}
}

// LabelString returns labels as "a=1 b=2", sorted by name, or "".
func LabelString(labels map[string]string) string {
	if len(labels) == 0 {
		return ""
	}
	keys := make([]string, 0, len(labels))
	for k := range labels {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for i, k := range keys {
		keys[i] = k + "=" + labels[k]
	}
	return strings.Join(keys, " ")
}

// Lookup returns the definition of the metric called name.
func Lookup(name string) (Def, bool) {
	d, ok := byName()[name]
	return d, ok
}

// byName is the catalogue by name, made once: every sample is looked up.
var byName = sync.OnceValue(func() map[string]Def {
	m := map[string]Def{}
	for _, d := range Catalogue() {
		m[d.Name] = d
	}
	return m
})
