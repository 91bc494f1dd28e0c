// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"os"
	"slices"
	"strings"
	"testing"

	"packtest/metric"
)

// TestMetricsPage holds docs/metrics.md against the catalogue and the rules:
// every metric once, in their order, and with the right properties.
func TestMetricsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for _, line := range strings.Split(string(page), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), "|")
		if len(cells) != 7 || !strings.HasPrefix(line, "| `") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		name := strings.Trim(cells[0], "`")
		if rows[name] != nil {
			t.Errorf("%s stands twice", name)
		}
		rows[name] = cells[1:6]
		if cells[6] == "" {
			t.Errorf("%s: no source", name)
		}
	}
	for _, d := range metric.Catalogue() {
		kind := "noisy"
		if d.Exact {
			kind = "exact"
		}
		want := []string{d.Unit, string(d.Better), kind, string(d.Tier), string(rule(d.Name).Gate)}
		if got := rows[d.Name]; !slices.Equal(got, want) {
			t.Errorf("%s: the page says %q, the code %q", d.Name, got, want)
		}
		for _, l := range d.Labels {
			if !strings.Contains(string(page), "label `"+l+"`") {
				t.Errorf("%s: the page doesn't say what the label %s is", d.Name, l)
			}
		}
		delete(rows, d.Name)
	}
	for name := range rows {
		t.Errorf("the page has %s, the catalogue doesn't", name)
	}
}
