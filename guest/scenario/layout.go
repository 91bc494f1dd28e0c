// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"fmt"
	"slices"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/wire"
	"packtest/metric"
)

// chunkBytes is what a pack is handed out in (BPF_PROG_CHUNK_SIZE). A program's
// header is at the beginning of the chunk its code begins in: the kernel finds
// it by rounding the code's address down.
const chunkBytes = 64

// textLayout is where JIT code lies, put together from three sources that do
// not know of each other: the programs' own addresses, the vmalloc areas, and
// the page table. Which areas hold code is seen from the addresses in them,
// never from who asked for them, so that a rewritten allocator is seen as well.
type textLayout struct {
	wire.Layout
	mapped []mappedProgram
	// leaves is how many page-table entries map code.
	leaves int
	// faults are broken rules.
	faults []wire.Finding
}

// mappedProgram is a program and the page-table entry under its first byte.
type mappedProgram struct {
	id   uint32
	leaf uint64 // bytes; 0 if nothing maps it
}

// newTextLayout puts the layout together and applies the rules that hold
// whatever the allocator: code lies in some area of memory, no two images
// share a byte, and all code can be executed and not written.
func newTextLayout(step string, infos []bpf.Info, areas []probe.Area, table probe.PageTable) *textLayout {
	l := &textLayout{Layout: wire.Layout{Step: step}}
	images := oracle.Images(infos)
	for _, in := range infos {
		if len(in.Functions) > 0 {
			m, _ := table.Find(in.Functions[0].Address)
			l.mapped = append(l.mapped, mappedProgram{in.ID, m.LeafBytes})
		}
	}
	l.place(images, areas, table)
	l.leaves = countLeaves(images, table)
	l.faults = slices.Concat(oracle.Overlaps(images), oracle.Placed(images, areas), oracle.Protected(images, table))
	return l
}

// place sorts images into areas, and leaves out those that lie in none.
func (l *textLayout) place(images []oracle.Image, areas []probe.Area, table probe.PageTable) {
	region := map[int]int{} // index of an area to index of its region
	for _, im := range images {
		a := probe.FindArea(areas, im.Start)
		if a < 0 || !areas[a].Contains(im.End-1) {
			continue
		}
		n, ok := region[a]
		if !ok {
			n = len(l.Regions)
			region[a] = n
			m, _ := table.Find(areas[a].Start)
			l.Regions = append(l.Regions, wire.Region{Start: areas[a].Start, Bytes: areas[a].Bytes(), PageBytes: m.LeafBytes})
		}
		r := &l.Regions[n]
		r.Images = append(r.Images, wire.Image{Offset: im.Start - r.Start, Bytes: im.End - im.Start, Type: im.Type.String(), ID: im.Program})
	}
}

// countLeaves counts the page-table entries under images.
func countLeaves(images []oracle.Image, table probe.PageTable) int {
	n := 0
	var last uint64 // end of the last entry that was counted
	for _, im := range images {
		for addr := max(im.Start, last); addr < im.End; addr = last {
			m, ok := table.Find(addr)
			if !ok {
				break
			}
			n++
			last = addr - addr%m.LeafBytes + m.LeafBytes
		}
	}
	return n
}

// pagesHeld counts the pages of r that hold at least one byte of code.
func pagesHeld(r wire.Region) int {
	return unitsHeld(r, probe.PageBytes, func(im wire.Image) uint64 { return im.Offset + im.Bytes })
}

// chunksHeld counts the chunks of r that programs take up. A program's code
// begins at a random place in its first chunk, so that it may end before or
// after the end of its last but one; the kernel takes the same number of chunks
// in either case, and that many are counted.
func chunksHeld(r wire.Region) int {
	const header = 8 // sizeof(struct bpf_binary_header)
	return unitsHeld(r, chunkBytes, func(im wire.Image) uint64 {
		whole := (im.Bytes + header + chunkBytes - 1) / chunkBytes * chunkBytes
		return max(im.Offset+im.Bytes, im.Offset/chunkBytes*chunkBytes+whole)
	})
}

// unitsHeld counts the naturally aligned units of size bytes that images take
// up, from their beginning to end(image), counting none twice. Images are in
// the order of addresses; areas begin at a page.
func unitsHeld(r wire.Region, size uint64, end func(wire.Image) uint64) int {
	n := 0
	var next uint64 // the first unit that was not counted yet
	for _, im := range r.Images {
		first := max(im.Offset/size, next)
		next = max((end(im)+size-1)/size, first)
		n += int(next - first)
	}
	return n
}

func programsIn(r wire.Region) int {
	ids := map[uint32]bool{}
	for _, im := range r.Images {
		ids[im.ID] = true
	}
	return len(ids)
}

// report sends the layout, its figures and its faults.
func (l *textLayout) report(env *Env) {
	env.Report.Layout(l.Layout)
	used, mappedBytes, pages := uint64(0), uint64(0), 0
	packs := 0
	for _, r := range l.Regions {
		mappedBytes += r.Bytes
		for _, im := range r.Images {
			used += im.Bytes
		}
		pages += pagesHeld(r)
		if programsIn(r) > 1 {
			env.Report.Sample(metric.New("pack_occupancy", map[string]string{"pack": fmt.Sprint(packs)},
				100*float64(chunksHeld(r))*chunkBytes/float64(r.Bytes)))
			packs++
		}
	}
	sizes := map[uint64]int{}
	for _, m := range l.mapped {
		sizes[m.leaf]++
	}
	n := float64(len(l.mapped))
	emit := func(name string, v float64) { env.Report.Sample(metric.New(name, nil, v)) }
	emit("programs", n)
	emit("jit_pages", float64(pages))
	emit("jit_bytes_used", float64(used))
	emit("jit_bytes_mapped", float64(mappedBytes))
	if pages > 0 {
		emit("jit_utilisation", 100*float64(used)/float64(mappedBytes))
		emit("programs_per_page", n/float64(pages))
	}
	emit("packs", float64(packs))
	if packs == 0 {
		env.Report.Unmeasured("pack_occupancy", "no area holds code of more than one program")
	}
	emit("programs_mapped_4k", float64(sizes[probe.PageBytes]))
	emit("programs_mapped_2m", float64(len(l.mapped)-sizes[probe.PageBytes]-sizes[0]))
	emit("text_mappings", float64(l.leaves))
	for _, f := range l.faults {
		env.Report.Finding(f)
	}
}
