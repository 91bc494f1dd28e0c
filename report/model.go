// SPDX-License-Identifier: GPL-2.0-or-later

// Package report makes one document of a run's record and writes it as text, as
// a self-contained HTML page, as Markdown and as JSON. It invents no figure:
// everything shown stands in the record or follows from it through package
// compare. How kernels are built or booted is not its business.
package report

import (
	"time"

	"packtest/guest/wire"
	"packtest/results"
)

// Document is what a report says, in order, whatever it is written as.
type Document struct {
	Title   string
	Verdict results.Verdict
	Why     string // one sentence for the verdict
	// Context says in one line what was run.
	Context string
	// Leads are the most telling figures, one line for every architecture.
	Leads    []Lead
	Sections []Section
	// Checks are the same as test reports list it: one by one, by architecture.
	Checks []Check
	// Started is when the run began; zero if that is not known.
	Started time.Time
}

// Lead is one architecture's most telling figures.
type Lead struct{ Arch, Says string }

// Section is a titled part of a document.
type Section struct {
	ID    string // for links; stable
	Title string
	// Detail sections are left out of the text form, which is kept short.
	Detail bool
	Blocks []Block
}

// Block is one of Para, Table, Facts, List, Plot and Maps.
type Block interface{ isBlock() }

// Tone says how a piece of text is to be taken.
type Tone string

// The tones; no tone is plain text.
const (
	Good  Tone = "good"
	Bad   Tone = "bad"
	Muted Tone = "muted"
)

// Para is a paragraph.
type Para struct {
	Text   string
	Tone   Tone
	Detail bool // left out of the text form
}

// Table is a table: a caption, a head and rows. The first column names the row;
// the others hold figures, aligned to the right.
type Table struct {
	Caption string
	Columns []Column
	Rows    []Row
}

// Column is one column of a table.
type Column struct {
	Title  string
	Detail bool // left out of the text form
	Words  bool // no figures: the page aligns it to the left
}

// Row is one row of a table.
type Row struct {
	Cells  []Cell
	Detail bool // left out of the text form
}

// Cell is one cell: its text, and in forms that have room a longer one.
type Cell struct {
	Text string
	Tone Tone
	// Hint is shown on hovering, or not at all.
	Hint string
}

// Facts are names with values.
type Facts struct{ Items []Fact }

// Fact is one of Facts.
type Fact struct {
	Name, Value string
	Detail      bool // left out of the text form
}

// List is a list of items, each with an optional text kept as it is.
type List struct{ Items []Item }

// Item is one of a List.
type Item struct {
	Text string
	Tone Tone
	// Evidence is preformatted text from the guest's console or the compiler.
	Evidence string
	Detail   bool // left out of the text form
}

// Plot is a line plot: every series against the same axis.
type Plot struct {
	Title          string
	XLabel, YLabel string
	XUnit, YUnit   string
	Series         []Series
	LogX           bool // a logarithmic axis
	Detail         bool // left out of the text form
}

// Series is one line of a plot. Y is in Plot.YUnit as the metric has it.
type Series struct {
	Name   string
	X, Y   []float64
	Detail bool // left out of the text form
}

// Maps are pictures of the memory that holds JIT code, to be seen side by side.
type Maps struct {
	Caption string
	Maps    []Map
}

// Map is where programs lay in one kernel at one moment.
type Map struct {
	Arch, Variant, Scenario string
	wire.Layout
}

func (Para) isBlock()  {}
func (Table) isBlock() {}
func (Facts) isBlock() {}
func (List) isBlock()  {}
func (Plot) isBlock()  {}
func (Maps) isBlock()  {}
