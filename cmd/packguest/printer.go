// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"packtest/guest/wire"
	"packtest/metric"
)

// printer prints what a scenario reports, for a human at a console.
type printer struct {
	out      io.Writer
	findings int
}

// Progress says nothing: scenarios run by hand end soon.
func (p *printer) Progress(done, total int, what string) {}

func (p *printer) Sample(s metric.Sample) {
	values := make([]string, 0, len(s.Values))
	for _, v := range s.Values {
		digits := 2
		if v == math.Trunc(v) {
			digits = 0
		}
		values = append(values, strconv.FormatFloat(v, 'f', digits, 64))
	}
	fmt.Fprintf(p.out, "%-40s %12s %s\n", strings.TrimSpace(s.Metric+" "+metric.LabelString(s.Labels)), strings.Join(values, " "), s.Unit)
}

func (p *printer) Finding(f wire.Finding) {
	p.findings++
	fmt.Fprintf(p.out, "FINDING %s: %s\n", f.Kind, f.Title)
	for _, line := range strings.Split(f.Evidence, "\n") {
		fmt.Fprintf(p.out, "  %s\n", line)
	}
}

func (p *printer) Unmeasured(metric, why string) {
	fmt.Fprintf(p.out, "%-40s not measured: %s\n", metric, why)
}

// Window says what a tracer would have seen run.
func (p *printer) Window(w wire.Window) {
	fmt.Fprintf(p.out, "window %d: %s, %d of %d programs, %d rounds, %d runs; %d executable ranges of the kernel's, %d of our own\n",
		w.Number, w.Form, w.Hot, w.Loaded, w.Rounds, w.Runs, len(w.Kernel), len(w.User))
}

const (
	// chunk is the unit in which a picture counts: 64 bytes, as packs are
	// handed out.
	chunk = 64
	// perRow cells make a row, and at most maxRows rows a picture.
	perRow, maxRows = 64, 32
	// maxPictures areas are drawn; more are counted.
	maxPictures = 8
)

// Layout draws each area that holds code: '#' where code fills it, '+' where
// it fills a part, '.' where there is none.
func (p *printer) Layout(l wire.Layout) {
	for i, r := range l.Regions {
		if i == maxPictures {
			fmt.Fprintf(p.out, "and %d more areas\n", len(l.Regions)-i)
			break
		}
		p.region(r)
	}
}

func (p *printer) region(r wire.Region) {
	cells, size := picture(r)
	fmt.Fprintf(p.out, "%#x: %d KiB in %d KiB pages, %d functions; a sign is %d bytes\n",
		r.Start, r.Bytes>>10, r.PageBytes>>10, len(r.Images), size)
	empty := 0
	tell := func() {
		if empty > 0 {
			fmt.Fprintf(p.out, "  (%d rows without code)\n", empty)
		}
		empty = 0
	}
	for len(cells) > 0 {
		row := cells[:min(perRow, len(cells))]
		cells = cells[len(row):]
		if strings.Trim(row, ".") == "" {
			empty++
			continue
		}
		tell()
		fmt.Fprintf(p.out, "  %s\n", row)
	}
	tell()
}

// picture returns a sign for each cell of r, and the size of a cell in bytes.
func picture(r wire.Region) (string, uint64) {
	size := uint64(chunk)
	for (r.Bytes+size-1)/size > perRow*maxRows {
		size *= 2
	}
	filled := make([]uint64, (r.Bytes+size-1)/size)
	for _, im := range r.Images {
		for at := im.Offset; at < min(im.Offset+im.Bytes, r.Bytes); {
			end := min((at/size+1)*size, im.Offset+im.Bytes)
			filled[at/size] += end - at
			at = end
		}
	}
	var b strings.Builder
	for _, f := range filled {
		switch {
		case f == 0:
			b.WriteByte('.')
		case f*8 >= size*7:
			b.WriteByte('#')
		default:
			b.WriteByte('+')
		}
	}
	return b.String(), size
}
