// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"

	"packtest/compare"
	"packtest/guest/wire"
)

// What the pictures are drawn in: the pack allocator hands out chunks of 64
// bytes, and the smallest page is 4 KiB on both architectures.
const (
	chunkBytes = 64
	pageBytes  = 4096
	pageChunks = pageBytes / chunkBytes
)

// maps gathers the pictures, those of one architecture and step side by side.
func (b *builder) maps() []Section {
	s := Section{ID: "layout", Title: "Where the programs lie", Blocks: []Block{
		Para{Text: "Each kernel's JIT memory, area behind area in the order of addresses.", Tone: Muted, Detail: true}}}
	for _, a := range b.archs {
		byStep := map[string][]Map{}
		steps := unique(func(add func(string)) {
			for _, v := range b.variants {
				for _, l := range b.rec.Layouts {
					if l.Arch == a && l.Variant == compare.Source(b.rec, a, v) && len(l.Regions) > 0 {
						step := l.Scenario + ", " + l.Step
						byStep[step] = append(byStep[step], Map{Arch: a, Variant: v, Scenario: l.Scenario, Layout: l.Layout})
						add(step)
					}
				}
			}
		})
		for _, step := range steps {
			s.Blocks = append(s.Blocks, Maps{Caption: fmt.Sprintf("%s (%s)", a, step), Maps: byStep[step]})
		}
	}
	if len(s.Blocks) == 1 {
		return nil
	}
	return []Section{s}
}

// extent sums up a list of regions.
type extent struct {
	pages, used, chunks int // pages and chunks mapped, chunks that hold code
	programs            int
}

func measure(regions []wire.Region) extent {
	var e extent
	ids := map[uint32]bool{}
	for _, r := range regions {
		e.pages += pagesOf(r)
		for _, u := range occupied(r) {
			if u {
				e.used++
			}
		}
		for _, im := range r.Images {
			ids[im.ID] = true
		}
	}
	e.chunks = e.pages * pageChunks
	e.programs = len(ids)
	return e
}

// share returns the share of chunks that hold code, in per cent.
func (e extent) share() float64 {
	if e.chunks == 0 {
		return 0
	}
	return 100 * float64(e.used) / float64(e.chunks)
}

// maxRegionPages bounds what a picture is drawn of one region; the largest that
// the kernel's module area could hold is below it.
const maxRegionPages = 1 << 20

func pagesOf(r wire.Region) int {
	return int(min((r.Bytes+pageBytes-1)/pageBytes, maxRegionPages))
}

// occupied tells for each chunk of a region whether it holds code.
func occupied(r wire.Region) []bool {
	chunks := make([]bool, pagesOf(r)*pageChunks)
	for _, im := range r.Images {
		first, last := im.Offset/chunkBytes, (im.Offset+im.Bytes+chunkBytes-1)/chunkBytes
		for i := first; i < min(last, uint64(len(chunks))); i++ {
			chunks[i] = true
		}
	}
	return chunks
}

// density divides the chunks of regions, in the order of addresses, into n runs
// of the same length and returns the share of each that holds code, 0 to 1.
func density(regions []wire.Region, n int) []float64 {
	var all []bool
	for _, r := range regions {
		all = append(all, occupied(r)...)
	}
	if len(all) == 0 {
		return nil
	}
	shares := make([]float64, n)
	for i := range shares {
		lo, hi := i*len(all)/n, (i+1)*len(all)/n
		hi = max(hi, lo+1)
		var used int
		for _, u := range all[lo:min(hi, len(all))] {
			if u {
				used++
			}
		}
		shares[i] = float64(used) / float64(hi-lo)
	}
	return shares
}
