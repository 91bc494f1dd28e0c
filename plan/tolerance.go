// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"fmt"
	"maps"
	"slices"

	"packtest/internal/fault"
	"packtest/metric"
)

// validateTolerances checks that every tolerance is of a metric there is.
func (p *Plan) validateTolerances() error {
	for _, name := range slices.Sorted(maps.Keys(p.Tolerances)) {
		if err := KnownMetric(name); err != nil {
			return fmt.Errorf("tolerance: %w", err)
		}
	}
	return nil
}

// KnownMetric refuses a name that no metric has.
func KnownMetric(name string) error {
	if _, ok := metric.Lookup(name); ok {
		return nil
	}
	var names []string
	for _, d := range metric.Catalogue() {
		names = append(names, d.Name)
	}
	err := fault.Inputf("unknown metric %q", name)
	if near := nearest(name, names); near != "" {
		return fault.WithHint(err, "did you mean %q?", near)
	}
	return fault.WithHint(err, "docs/metrics.md lists them")
}

// usualTolerances are written, as comments, into a plan that has none.
const usualTolerances = `jit_pages = "1 %"
text_mappings = "1 %"
jit_bytes_mapped = 2097152
directmap_4k = 2097152
load_time_per_program = "10 %"
free_time_per_program = "10 %"`
