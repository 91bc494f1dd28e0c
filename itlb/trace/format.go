// SPDX-License-Identifier: GPL-2.0-or-later

package trace

import (
	"encoding/binary"
	"fmt"
)

// The file format; docs/trace.md describes it byte by byte. All numbers of a
// fixed size are little-endian.
const (
	magic         = "packtrc\n"
	formatVersion = 1

	// maxChunk bounds the events of one chunk, so that a damaged length can't
	// make a reader allocate much.
	maxChunk = 1 << 16
	maxEvent = 2 * binary.MaxVarintLen64

	tagWindow  = 'W' // a window begins
	tagEvents  = 'E' // events of one CPU
	tagFinish  = 'F' // the window's totals; ends a section
	tagFailure = 'X' // what makes the file invalid; ends a section
	tagEnd     = 'Z' // the end of the file; a section of its own

	codeLap = 0 // of an event that is no fetch; the others are a FlushKind

	// maxPage is the greatest page of a 64-bit address.
	maxPage = 1<<(64-12) - 1
)

// Header says where a trace is from.
type Header struct {
	// Arch is the guest's architecture, "x86_64" or "s390x".
	Arch string
	// Interface is the version of QEMU's plugin interface: 1 shows no operands,
	// 4 does.
	Interface int
	// CPUs is how many virtual CPUs the machine started with.
	CPUs int
	// Tag is what the host told the plugin to keep: which kernel image ran.
	Tag string
	// Build identifies the plugin: a hash of its source and of how it was built.
	Build string
}

// Totals are the sums that a window ends with.
type Totals struct {
	Fetches, Flushes, Laps uint64
	// Instructions is the sum over all fetches.
	Instructions uint64
}

func (t *Totals) add(e *Event) {
	switch e.Kind {
	case Fetch:
		t.Fetches++
		t.Instructions += uint64(e.Instructions)
	case Flush:
		t.Flushes++
	case Lap:
		t.Laps++
	}
}

// cpuState is what the coding of a CPU's next event depends on.
type cpuState struct {
	page    uint64 // of the last fetch in this window
	inFetch bool   // that fetch was the last event
}

// appendEvent appends the coded form of e to b.
func (s *cpuState) appendEvent(b []byte, e *Event) ([]byte, error) {
	switch e.Kind {
	case Fetch:
		if e.Page > maxPage {
			return nil, fmt.Errorf("page %#x is of no 64-bit address", e.Page)
		}
		if s.inFetch && e.Page == s.page {
			return nil, fmt.Errorf("two fetches in a row from page %#x", e.Page)
		}
		step := int64(e.Page - s.page)
		b = binary.AppendUvarint(b, uint64(step<<1^step>>63)<<1)
		b = binary.AppendUvarint(b, uint64(e.Instructions))
		s.page, s.inFetch = e.Page, true
	case Lap:
		b = append(b, codeLap<<1|1)
		s.inFetch = false
	case Flush:
		if k := FlushKind(e.Page); k < FlushAll || k > LastFlush {
			return nil, fmt.Errorf("unknown kind of flush %d", e.Page)
		}
		b = append(b, byte(e.Page)<<1|1)
		s.inFetch = false
	default:
		return nil, fmt.Errorf("unknown kind of event %d", e.Kind)
	}
	return b, nil
}

// decode decodes one event from the front of b and returns the rest.
func (s *cpuState) decode(b []byte, e *Event) ([]byte, error) {
	head, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, fmt.Errorf("cut off or malformed number")
	}
	b = b[n:]
	if head&1 == 1 {
		s.inFetch = false
		e.Instructions = 0
		switch code := head >> 1; {
		case code == codeLap:
			e.Kind, e.Page = Lap, 0
		case code <= uint64(LastFlush):
			e.Kind, e.Page = Flush, code
		default:
			return nil, fmt.Errorf("unknown event code %d", code)
		}
		return b, nil
	}
	zigzag := head >> 1
	page := s.page + uint64(int64(zigzag>>1)^-int64(zigzag&1))
	count, n := binary.Uvarint(b)
	switch {
	case n <= 0:
		return nil, fmt.Errorf("cut off or malformed number")
	case count > 1<<32-1:
		return nil, fmt.Errorf("%d instructions in one fetch", count)
	case page > maxPage:
		return nil, fmt.Errorf("page %#x is of no 64-bit address", page)
	case s.inFetch && page == s.page:
		return nil, fmt.Errorf("two fetches in a row from page %#x", page)
	}
	s.page, s.inFetch = page, true
	e.Kind, e.Page, e.Instructions = Fetch, page, uint32(count)
	return b[n:], nil
}
