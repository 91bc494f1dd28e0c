// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"packtest/guest/wire"
)

// A picture shows memory page by page, in the order of addresses: a page is a
// strip of its 64 chunks, eight pages make a row. Pages of one area touch;
// between areas there is a gap. A program is one run of chunks in its type's
// colour. Units are chunks across; the page scales the drawing.
const (
	pagesPerRow = 8
	pageGap     = 3
	pageStep    = pageChunks + pageGap
	rowHeight   = 6
	rowStep     = rowHeight + 2
	// maxPages bounds one picture; what is left out is said below it.
	maxPages = 4096
)

// typeColours is how many colours the page has for program types; see page.css.
const typeColours = 8

// programTypes lists the program types that occur in maps, sorted, so that a
// type has one colour in all pictures of a report.
func programTypes(d Document) []string {
	var types []string
	for _, s := range d.Sections {
		for _, b := range s.Blocks {
			m, ok := b.(Maps)
			if !ok {
				continue
			}
			for _, one := range m.Maps {
				for _, r := range one.Regions {
					for _, im := range r.Images {
						if !slices.Contains(types, im.Type) {
							types = append(types, im.Type)
						}
					}
				}
			}
		}
	}
	slices.Sort(types)
	return types
}

// drawMap draws one kernel's picture as an SVG element, and returns how many
// pages were left out of it.
func drawMap(m Map, types []string) (svg string, leftOut int) {
	regions := slices.Clone(m.Regions)
	slices.SortStableFunc(regions, func(a, b wire.Region) int { return cmp.Compare(a.Start, b.Start) })
	var paper, joints, code strings.Builder
	page, afterPack := 0, false
	for _, r := range regions {
		n := pagesOf(r)
		if page+n > maxPages {
			leftOut += n
			continue
		}
		// A pack begins on a row of its own, below an empty one. The longest
		// program has 17 pages.
		pack := n > 4*pagesPerRow
		if page > 0 && (pack || afterPack) {
			page = (page + 2*pagesPerRow - 1) / pagesPerRow * pagesPerRow
		}
		afterPack = pack
		for i := range n {
			x, y := corner(page + i)
			fmt.Fprintf(&paper, "M%d %dh%dv%dh-%dz", x, y, pageChunks, rowHeight, pageChunks)
			if i > 0 && (page+i)%pagesPerRow != 0 {
				fmt.Fprintf(&joints, "M%d %dh%dv%dh-%dz", x-pageGap, y+rowHeight/2-1, pageGap, 2, pageGap)
			}
		}
		for i, im := range byOffset(r.Images) {
			drawImage(&code, im, page, n, slices.Index(types, im.Type), i%2 == 1)
		}
		page += n
	}
	rows := (page + pagesPerRow - 1) / pagesPerRow
	svg = fmt.Sprintf(`<svg class="map" viewBox="0 0 %d %d" role="img" aria-label="%s"><path class="paper" d="%s"/><path class="joint" d="%s"/>%s</svg>`,
		pagesPerRow*pageStep-pageGap, max(rows, 1)*rowStep-rowStep+rowHeight,
		escape(fmt.Sprintf("JIT memory of %s on %s, page by page", m.Variant, m.Arch)), paper.String(), joints.String(), code.String())
	return svg, leftOut
}

func corner(page int) (x, y int) {
	return page % pagesPerRow * pageStep, page / pagesPerRow * rowStep
}

func byOffset(images []wire.Image) []wire.Image {
	sorted := slices.Clone(images)
	slices.SortStableFunc(sorted, func(a, b wire.Image) int { return cmp.Compare(a.Offset, b.Offset) })
	return sorted
}

// drawImage draws one image, a piece for every page that it lies in. Every
// other one is drawn paler, so that neighbours of one type can be told apart.
func drawImage(b *strings.Builder, im wire.Image, firstPage, pages, kind int, pale bool) {
	end := uint64(pages) * pageChunks
	lo := min(im.Offset/chunkBytes, end)
	hi := min((im.Offset+im.Bytes+chunkBytes-1)/chunkBytes, end)
	if hi <= lo {
		return
	}
	class := fmt.Sprintf("t%d", max(kind, 0)%typeColours)
	if pale {
		class += " pale"
	}
	fmt.Fprintf(b, `<path class="%s" d="`, class)
	for lo < hi {
		x, y := corner(firstPage + int(lo/pageChunks))
		run := min(hi-lo, pageChunks-lo%pageChunks)
		fmt.Fprintf(b, "M%d %dh%dv%dh-%dz", x+int(lo%pageChunks), y, run, rowHeight, run)
		lo += run
	}
	fmt.Fprintf(b, `"><title>%s %d, %d B at +0x%x</title></path>`, escape(im.Type), im.ID, im.Bytes, im.Offset)
}
