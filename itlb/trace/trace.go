// SPDX-License-Identifier: GPL-2.0-or-later

// Package trace is what packtest's QEMU plugin saw of a guest's instruction
// fetches: the events, and the file they come in. What a TLB would have made of
// them is left to package itlb.
package trace

// PageBytes is the size of the pages that a trace counts in, on both
// architectures.
const PageBytes = 4096

// Kind says what an event is.
type Kind uint8

const (
	// Fetch is a run of instructions fetched from one page.
	Fetch Kind = iota
	// Flush is an instruction that drops TLB entries; Event.Page holds its FlushKind.
	Flush
	// Lap is the guest's mark between two rounds of one window.
	Lap
)

// FlushKind says what a flush drops, as far as the plugin could see.
type FlushKind uint64

const (
	// FlushAll drops every entry, global ones included.
	FlushAll FlushKind = iota + 1
	// FlushNonGlobal drops every entry that is not global (a plain cr3 write).
	FlushNonGlobal
	// FlushPage drops the entries of one page, which the trace does not name.
	FlushPage
	// FlushUnknown may drop anything from nothing to all: the instruction was
	// seen, its operands were not. A simulator gives both bounds.
	FlushUnknown
	// FlushSpace drops nothing: the instruction changed the address space, and an
	// entry belongs to its own (s390x: a control register was loaded).
	FlushSpace

	// LastFlush is the greatest kind there is.
	LastFlush = FlushSpace
)

// Event is one thing that happened on one virtual CPU. Events of one CPU are in
// the order in which they happened; two Fetches in a row are of different pages.
type Event struct {
	// Page is the fetched virtual address / PageBytes; of a Flush, its FlushKind.
	Page uint64
	// Instructions is how many were executed from the page before the CPU left
	// it; 0 for what is no Fetch.
	Instructions uint32
	Kind         Kind
	CPU          uint8
}
