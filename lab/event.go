// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import "time"

// Stage is a step on the way of the data.
type Stage string

// The stages, in the order in which a run passes them.
const (
	StageSource Stage = "source"
	StageSeries Stage = "series"
	StageBuild  Stage = "build"
	StageBoot   Stage = "boot"
)

// State is how far the thing that an event is about has come.
type State string

// The states of a thing.
const (
	Begun    State = "begun"
	Going    State = "going"
	Finished State = "finished"
	Failed   State = "failed"
	// Noted: something a reader of the run should know, such as a retry.
	Noted State = "noted"
)

// Event tells what a run is doing. Rendering is left to whoever listens; events
// of one run come one at a time.
type Event struct {
	At      time.Time
	Stage   Stage
	State   State
	Arch    string // empty if the event is about no cell
	Variant string
	Boot    int // the cell's boot, counted from 1; 0 if about none
	Text    string
	// Console is set if Text is the last line of a guest's console: the guest has
	// said nothing itself for a while.
	Console bool
	// Done of Total units are finished; Total is 0 if that isn't known.
	Done, Total int
	// Left is an estimate of the time left, 0 if there is none.
	Left time.Duration
}
