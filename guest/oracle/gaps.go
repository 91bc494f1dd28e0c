// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"

	"packtest/guest/probe"
	"packtest/guest/wire"
)

// Text is what an architecture's code looks like in memory.
type Text struct {
	// Illegal is the byte that fills what holds no code: int3 on x86_64, and
	// 0x0000, which is no instruction, on s390x. The kernels' JITs fill with it
	// (jit_fill_hole in arch/*/net/bpf_jit_comp.c), and so does what invalidates
	// freed code, so that new and freed space look alike.
	Illegal byte
	Order   binary.ByteOrder
}

// TextOf returns how code looks on arch.
func TextOf(arch string) (Text, error) {
	switch arch {
	case "x86_64":
		return Text{0xcc, binary.LittleEndian}, nil
	case "s390x":
		return Text{0x00, binary.BigEndian}, nil
	}
	return Text{}, fmt.Errorf("no illegal instruction is known for architecture %q", arch)
}

// What stands around a program's code besides illegal instructions.
const (
	// headerBytes is the number of bytes before it, in 4 bytes, and the padding
	// to 8 (struct bpf_binary_header).
	headerBytes = 8
	// entryBytes is an entry of the exception table behind it: the instruction's
	// address against the entry's own in 4 bytes, and 8 more
	// (struct exception_table_entry, on both architectures).
	entryBytes = 12
	// maxHole is the farthest that a header can be from its program.
	maxHole = probe.PageBytes
)

// Gaps holds if everything in spans that is no program's code is illegal
// instructions. A program may have its header before it, which must tell the
// truth, and its exception table behind it, of which every entry must belong to
// it. Bytes in other are somebody else's, such as trampolines; those that are as
// they are in before, a look at the same memory before the first program came, by
// where a span begins, are too. images are all there are, in the order of addresses.
func Gaps(t Text, spans []Span, images []Image, other []Range, before map[uint64]Span) []wire.Finding {
	g := gaps{t: t, other: other}
	for _, s := range spans {
		g.span, g.before = s, before[s.Start]
		g.look(images)
	}
	list := finding("executable-garbage", "executable memory outside of programs is not filled with illegal instructions", g.garbage)
	return append(list, finding("header", "the length before a program's code is not true", g.headers)...)
}

// look looks between the images in the span.
func (g *gaps) look(images []Image) {
	span := g.span
	first := sort.Search(len(images), func(i int) bool { return images[i].End > span.Start })
	at := span.Start
	var last *Image
	for i := first; i < len(images) && images[i].Start < span.End(); i++ {
		im := images[i]
		limit := span.End()
		if i+1 < len(images) && images[i+1].Start < limit {
			limit = images[i+1].Start
		}
		g.gap(at, max(im.Start, at), last, &im, limit)
		at = max(at, im.End)
		last = &images[i]
	}
	if at < span.End() {
		g.gap(at, span.End(), last, nil, 0)
	}
}

type gaps struct {
	t                Text
	other            []Range
	span, before     Span
	garbage, headers []string
}

// gap looks at the bytes from start to end, between the images last and next,
// either of which may be nil. limit is where the image behind next begins.
func (g *gaps) gap(start, end uint64, last, next *Image, limit uint64) {
	if last != nil {
		start = g.exceptions(start, end, last)
	}
	header := false
	for at := start; at < end; {
		if at += g.illegal(at, end); at >= end {
			return
		}
		if r, ok := g.others(at); ok {
			at = r.End
			continue
		}
		word := at &^ (headerBytes - 1)
		if size, ok := g.header(word, end, next); ok && !header {
			header = true
			if word+size < next.End || word+size > limit {
				g.headers = append(g.headers, fmt.Sprintf("%#x: length %d, before %s; the next program or the end is at %#x", word, size, next, limit))
			}
			at = word + headerBytes
			continue
		}
		garbage := at
		for at < end && g.byte(at) != g.t.Illegal {
			if _, ok := g.others(at); ok {
				break
			}
			at++
		}
		if !g.unchanged(garbage, at) {
			g.garbage = append(g.garbage, g.tell(garbage, at, last, next))
		}
	}
}

func (g *gaps) byte(addr uint64) byte { return g.span.Bytes[addr-g.span.Start] }

// illegal counts the illegal instructions at addr.
func (g *gaps) illegal(addr, end uint64) uint64 {
	for i, b := range g.span.Bytes[addr-g.span.Start : end-g.span.Start] {
		if b != g.t.Illegal {
			return uint64(i)
		}
	}
	return end - addr
}

// header says whether the word may be next's header, and what it tells.
func (g *gaps) header(word, end uint64, next *Image) (uint64, bool) {
	if next == nil || word < g.span.Start || word+headerBytes > end || next.Start-word > maxHole {
		return 0, false
	}
	b := g.span.Bytes[word-g.span.Start:][:headerBytes]
	// The padding is filled as all else is.
	if !bytes.Equal(b[4:], bytes.Repeat([]byte{g.t.Illegal}, 4)) {
		return 0, false
	}
	return uint64(g.t.Order.Uint32(b)), true
}

// exceptions returns where the exception table of im ends, which begins at the
// first multiple of 4 behind its code; that is start if there is none.
func (g *gaps) exceptions(start, end uint64, im *Image) uint64 {
	at := (start + 3) &^ 3
	for at+entryBytes <= end {
		delta := int32(g.t.Order.Uint32(g.span.Bytes[at-g.span.Start:]))
		insn := at + uint64(int64(delta))
		if insn < im.Start || insn >= im.End {
			break
		}
		at += entryBytes
		start = at
	}
	return start
}

// others returns somebody else's range at addr, if there is one.
func (g *gaps) others(addr uint64) (Range, bool) {
	for _, r := range g.other {
		if r.contains(addr) {
			return r, true
		}
	}
	return Range{}, false
}

// unchanged says whether all bytes from start to end are what they were before.
func (g *gaps) unchanged(start, end uint64) bool {
	b := g.before
	return start >= b.Start && end <= b.End() &&
		bytes.Equal(b.Bytes[start-b.Start:end-b.Start], g.span.Bytes[start-g.span.Start:end-g.span.Start])
}

func (g *gaps) tell(start, end uint64, last, next *Image) string {
	const show = 16
	b := g.span.Bytes[start-g.span.Start:][:min(end-start, show)]
	text := fmt.Sprintf("%#x: length %d, % x", start, end-start, b)
	if last != nil {
		text += fmt.Sprintf("; %d behind %s", start-last.End, last)
	}
	if next != nil {
		text += fmt.Sprintf("; %d before %s", next.Start-start, next)
	}
	return text
}
