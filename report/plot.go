// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"regexp"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The library draws in fixed colours, and the page has a light and a dark face.
// So every role is drawn in a colour that stands for it, and the page's own
// colour is put in its place afterwards.
var (
	inkRole  = color.RGBA{0x01, 0x01, 0x01, 0xff}
	gridRole = color.RGBA{0x01, 0x01, 0x02, 0xff}
)

// lineRole is the colour that stands for series i.
func lineRole(i int) color.RGBA { return color.RGBA{0x01, 0x02, uint8(i % lineColours), 0xff} }

// lineColours is how many colours the page has for lines; see page.css.
const lineColours = 6

// plotWidth and plotHeight are in points; the page scales the drawing.
// legendLine is what a line of the legend takes of the height.
const plotWidth, plotHeight, legendLine = 400, 230, 14

// drawPlot draws p as an SVG element to stand inline in a page.
func drawPlot(p Plot) (string, error) {
	pl := plot.New()
	pl.BackgroundColor = color.Transparent
	size := font.Length(10)
	for _, a := range []*plot.Axis{&pl.X, &pl.Y} {
		a.Color, a.Label.TextStyle.Color, a.Tick.Color, a.Tick.Label.Color = inkRole, inkRole, inkRole, inkRole
		a.Label.TextStyle.Font.Size, a.Tick.Label.Font.Size = size, size
		a.LineStyle.Width, a.Tick.LineStyle.Width = vg.Points(0.6), vg.Points(0.6)
		a.Padding = 0
	}
	// The grid shows where the values are, and a browser's font may be wider than
	// the library's: the labels have the ticks' room.
	pl.Y.Tick.LineStyle.Color = color.Transparent
	unit, factor := plotUnit(p)
	pl.X.Label.Text = p.XLabel
	pl.Y.Label.Text = p.YLabel
	if unit != "" && strings.ReplaceAll(unit, "/", " per ") != p.YLabel {
		pl.Y.Label.Text += ", " + unit
	}
	pl.X.Tick.Marker = ticksAt(xValues(p), p.LogX)
	pl.Legend.Top, pl.Legend.Left = true, true
	pl.Legend.TextStyle.Color, pl.Legend.TextStyle.Font.Size = inkRole, size
	pl.Legend.XOffs, pl.Legend.YOffs, pl.Legend.Padding = 8, -2, 3
	pl.Legend.ThumbnailWidth = 18

	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Transparent, gridRole
	grid.Vertical.Width, grid.Horizontal.Width = 0, vg.Points(0.5)
	pl.Add(grid)
	top := 0.0
	for i, s := range p.Series {
		var pts plotter.XYs
		for j := range s.X {
			y := s.Y[j] / factor
			if math.IsNaN(y) || math.IsInf(y, 0) || math.IsNaN(s.X[j]) {
				continue
			}
			top = max(top, y)
			pts = append(pts, plotter.XY{X: s.X[j], Y: y})
		}
		if len(pts) == 0 {
			continue
		}
		line, marks, err := plotter.NewLinePoints(pts)
		if err != nil {
			return "", fmt.Errorf("plot %s of %s: %w", s.Name, p.Title, err)
		}
		line.Color, line.Width = lineRole(i), vg.Points(1.8)
		// Lines that lie on each other must both be seen.
		if i > 0 {
			line.Dashes = []vg.Length{vg.Points(float64(8 - 2*min(i, 3))), vg.Points(3)}
		}
		marks.Color, marks.Radius = lineRole(i), vg.Points(2.6)
		marks.Shape = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}}[i%3]
		pl.Add(line, marks)
		pl.Legend.Add(s.Name, line, marks)
	}
	// From 0, or a small change looks like a large one; room above for the
	// legend, as long as it leaves some for the lines.
	if top == 0 {
		top = 1
	}
	room := min(0.7, float64(legendLine*len(p.Series)+legendLine)/plotHeight)
	pl.Y.Min, pl.Y.Max = 0, top/(1-room)
	pl.Y.Tick.Marker = plot.TickerFunc(func(lo, _ float64) []plot.Tick { return plainTicks(lo, top*1.05) })
	if pl.X.Max <= pl.X.Min {
		pl.X.Max = pl.X.Min + 1
	}
	if p.LogX {
		pl.X.Scale = plot.LogScale{}
	}
	c := vgsvg.New(plotWidth, plotHeight)
	dc := draw.New(c)
	pl.Draw(draw.Crop(dc, 2, -14, 4, -4))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", fmt.Errorf("plot %s: %w", p.Title, err)
	}
	return themed(b.String(), p.Title+": "+p.YLabel+" against "+p.XLabel), nil
}

// plotUnit chooses the unit of the y axis and the factor it divides by.
func plotUnit(p Plot) (string, float64) {
	if p.YUnit != "bytes" {
		return p.YUnit, 1
	}
	top := 0.0
	for _, s := range p.Series {
		for _, y := range s.Y {
			top = max(top, y)
		}
	}
	switch {
	case top >= 10<<30:
		return "GiB", 1 << 30
	case top >= 10<<20:
		return "MiB", 1 << 20
	}
	return "KiB", 1 << 10
}

// plainTicks puts four to ten ticks at round values, with plain labels.
func plainTicks(lo, hi float64) []plot.Tick {
	span := hi - lo
	if !(span > 0) || math.IsInf(span, 0) {
		return plot.DefaultTicks{}.Ticks(lo, hi)
	}
	step := math.Pow(10, math.Floor(math.Log10(span)))
	switch n := span / step; {
	case n < 2:
		step /= 5
	case n < 4:
		step /= 2
	}
	var ticks []plot.Tick
	for i := math.Ceil(lo / step); i*step <= hi && len(ticks) < 20; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: number(i * step)})
	}
	return ticks
}

// labelled is the room for x's labels in points, and of one character with some
// air: fonts differ from browser to browser.
const labelled, character = plotWidth - 60, 7.0

// ticksAt puts a tick at every x that was measured, and a label where there is
// room for one: the largest has it first.
func ticksAt(xs []float64, log bool) plot.Ticker {
	var ticks []plot.Tick
	free := math.Inf(1)
	for i, x := range slices.Backward(xs) {
		lo, at, hi := xs[0], x, xs[len(xs)-1]
		if log {
			lo, at, hi = math.Log(lo), math.Log(at), math.Log(hi)
		}
		tick, label := plot.Tick{Value: x}, number(x)
		middle, half := 0.0, character*float64(len(label)+1)/2
		if i > 0 {
			middle = labelled * (at - lo) / (hi - lo)
		}
		if middle+half <= free {
			tick.Label, free = label, middle-half
		}
		ticks = append(ticks, tick)
	}
	slices.Reverse(ticks)
	return plot.ConstantTicks(ticks)
}

var (
	svgHead  = regexp.MustCompile(`(?s)^.*?<svg [^>]*?viewBox="([^"]*)"[^>]*>`)
	fontRule = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:[^;"]*;font-style:[^;"]*;`)
)

// themed makes of the library's SVG file an element in the page's colours and
// font.
func themed(svg, title string) string {
	svg = svgHead.ReplaceAllString(svg, fmt.Sprintf(`<svg class="plot" viewBox="$1" role="img" aria-label="%s">`, escape(title)))
	hex := func(c color.RGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }
	pairs := []string{hex(inkRole), "var(--ink)", hex(gridRole), "var(--grid)"}
	for i := range lineColours {
		pairs = append(pairs, hex(lineRole(i)), fmt.Sprintf("var(--line%d)", i))
	}
	svg = strings.NewReplacer(pairs...).Replace(svg)
	return fontRule.ReplaceAllString(svg, "")
}
