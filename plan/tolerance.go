// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"maps"
	"slices"

	"packtest/internal/fault"
	"packtest/metric"
)

// validateTolerances checks that every tolerance is of a metric there is.
func (p *Plan) validateTolerances() error {
	var names []string
	for _, d := range metric.Catalogue() {
		names = append(names, d.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Tolerances)) {
		if slices.Contains(names, name) {
			continue
		}
		err := fault.Inputf("tolerance: unknown metric %q", name)
		if near := nearest(name, names); near != "" {
			return fault.WithHint(err, "did you mean %q?", near)
		}
		return fault.WithHint(err, "docs/metrics.md lists the metrics; the judged ones take a tolerance")
	}
	return nil
}

// usualTolerances are written, as comments, into a plan that has none.
const usualTolerances = `jit_pages = "1 %"
text_mappings = "1 %"
jit_bytes_mapped = 2097152
directmap_4k = 2097152
load_time_per_program = "10 %"
free_time_per_program = "10 %"`
