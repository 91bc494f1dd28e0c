// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"strconv"
	"strings"

	"packtest/metric"
)

// directMapMetric tells whether a metric is one of the direct map's, which have a
// section of their own.
func directMapMetric(name string) bool { return strings.HasPrefix(name, "directmap_") }

// directMapGrowth returns how much more of the direct map lies in 4 KiB entries
// with the largest number of programs loaded, n, than with the smallest.
func (b *builder) directMapGrowth(arch, variant string) (n, grew float64, ok bool) {
	x, y := b.directMapSeries(arch, variant)
	if len(x) < 2 {
		return 0, 0, false
	}
	return x[len(x)-1] - x[0], y[len(y)-1] - y[0], true
}

func (b *builder) directMapSeries(arch, variant string) (x, y []float64) {
	for _, k := range b.rows {
		if k.arch != arch || k.metric != "directmap_4k" {
			continue
		}
		c, ok := b.values[k][variant]
		if !ok || c.HeadCentre == nil {
			continue
		}
		n, err := strconv.ParseFloat(c.Labels["programs"], 64)
		if err != nil {
			continue
		}
		x, y = append(x, n), append(y, *c.HeadCentre)
	}
	return x, y
}

// directMap plots the direct map's 4 KiB entries against the programs loaded.
func (b *builder) directMap() []Section {
	s := Section{ID: "directmap", Title: "Direct map in 4 KiB entries (DirectMap4k) against programs loaded"}
	for _, a := range b.archs {
		p := Plot{Title: a, XLabel: "programs loaded", XUnit: "programs", YLabel: "DirectMap4k", YUnit: "bytes"}
		for _, v := range b.variants {
			if x, y := b.directMapSeries(a, v); len(x) > 0 {
				p.Series = append(p.Series, Series{Name: v, X: x, Y: y})
			}
		}
		if y, flat := level(p); flat {
			s.Blocks = append(s.Blocks, Para{Text: fmt.Sprintf("%s: %s on every kernel, whatever the number of programs.", a, Quantity(p.YUnit, y))})
		} else if len(p.Series) > 0 {
			s.Blocks = append(s.Blocks, p)
		}
		t := b.table(a+", "+b.tierCaption(a, metric.Layout), func(k rowKey) bool { return k.arch == a && directMapMetric(k.metric) })
		for i := range t.Rows {
			t.Rows[i].Detail = true // the plot has them, for the text form too
		}
		if len(t.Rows) > 0 {
			s.Blocks = append(s.Blocks, t)
		}
	}
	if len(s.Blocks) == 0 {
		return nil
	}
	return []Section{s}
}

// level tells whether all values of a plot are the same, and which.
func level(p Plot) (y float64, ok bool) {
	for _, s := range p.Series {
		for _, v := range s.Y {
			if ok && v != y {
				return 0, false
			}
			y, ok = v, true
		}
	}
	return y, ok
}
