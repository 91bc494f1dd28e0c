// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"strings"
)

// The size of a small plot, in the drawing's own units.
const (
	sparkWidth, sparkHeight = 320, 120
	sparkLeft, sparkTop     = 4, 14
	sparkBottom             = 6
)

// draw draws one figure over the runs, a line for each variant, from 0 up, or a
// small change would look like a large one. A ring and a line from top to bottom
// mark where it changed. Runs without a value leave a gap.
func (n Nightly) draw(p plotted) string {
	place := map[string]int{}
	runs := n.axis
	for i, r := range runs {
		place[r] = i
	}
	top, bottom := 0.0, 0.0
	for _, t := range p.Trends {
		for _, x := range t.Points {
			top, bottom = max(top, x.Value), min(bottom, x.Value)
		}
	}
	if top == bottom {
		top = bottom + 1
	}
	x := func(run string) float64 {
		if len(runs) < 2 {
			return sparkWidth / 2
		}
		return sparkLeft + float64(place[run])*(sparkWidth-2*sparkLeft)/float64(len(runs)-1)
	}
	y := func(v float64) float64 {
		return sparkHeight - sparkBottom - (v-bottom)/(top-bottom)*(sparkHeight-sparkTop-sparkBottom)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 %d %d" role="img" aria-label="%s">`, sparkWidth, sparkHeight,
		escape(fmt.Sprintf("%s on %s over %s", p.Name, p.Arch, countOf(len(runs), "run"))))
	fmt.Fprintf(&b, `<path class="zero" d="M0 %.1fH%d"/>`, y(0), sparkWidth)
	for _, t := range p.Trends {
		colour := n.line(t.Variant)
		for _, s := range t.Steps {
			at := x(s.Run)
			tone, _ := n.blame(t.Trend, s)
			fmt.Fprintf(&b, `<g class="step %s"><title>%s</title><path d="M%.1f %dV%d"/><circle cx="%.1f" cy="%.1f" r="4.5"/></g>`, tone,
				escape(fmt.Sprintf("%s: %s, %s to %s%s, %s", s.Run, t.Variant, Quantity(t.Unit, s.Before), Quantity(t.Unit, s.After), percent(s.Before, s.After), s.Outcome)),
				at, sparkTop-8, sparkHeight-sparkBottom, at, y(t.Points[s.At].Value))
		}
		var path strings.Builder
		last := -2
		for _, pt := range t.Points {
			way, dot := "L", ""
			if place[pt.Run] != last+1 {
				way, dot = "M", "h0" // a stroke without a length, in case none follows
			}
			last = place[pt.Run]
			fmt.Fprintf(&path, "%s%.1f %.1f%s", way, x(pt.Run), y(pt.Value), dot)
		}
		fmt.Fprintf(&b, `<path class="l%d" d="%s"/>`, colour, path.String())
		// Points that can be pointed at, while there is room for them.
		if len(runs) <= 60 {
			for _, pt := range t.Points {
				fmt.Fprintf(&b, `<circle class="p%d" cx="%.1f" cy="%.1f" r="2.2"><title>%s</title></circle>`, colour, x(pt.Run), y(pt.Value),
					escape(fmt.Sprintf("%s: %s, %s", pt.Run, t.Variant, Quantity(t.Unit, pt.Value))))
			}
		}
	}
	b.WriteString("</svg>")
	return b.String()
}
