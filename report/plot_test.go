// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"strings"
	"testing"
)

// However many lines there are, and their names above them, they are drawn.
func TestPlotOfManyLines(t *testing.T) {
	for _, n := range []int{1, 14, 15, 40} {
		p := Plot{Title: "pages", XLabel: "programs", YLabel: "pages"}
		for i := range n {
			p.Series = append(p.Series, Series{Name: fmt.Sprint("v", i), X: []float64{1, 2}, Y: []float64{50, 100}})
		}
		svg, err := drawPlot(p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(svg, ">100</text>") {
			t.Errorf("%d lines: the axis does not reach what they show:\n%s", n, svg)
		}
	}
}
