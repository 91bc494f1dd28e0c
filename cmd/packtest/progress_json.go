// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"packtest/internal/fault"
	"packtest/lab"
	"packtest/results"
)

// jsonProgress writes a run's events as JSON Lines, for CI. The last line has the
// exit code, however the run ended. What else goes to standard error, such as an
// error message, is no JSON and does not begin with a brace.
type jsonProgress struct {
	out   io.Writer
	shown map[string]time.Time // when a thing that goes on was last written
	now   func() time.Time
}

// progressLine is one line. Fields are added freely and keep their meaning.
type progressLine struct {
	Time time.Time `json:"time"`
	// Stage is source, series, build, boot, or run for the last line; empty for
	// what is about no stage. State is lab's.
	Stage   string `json:"stage,omitempty"`
	State   string `json:"state"`
	Arch    string `json:"arch,omitempty"`
	Variant string `json:"variant,omitempty"`
	Boot    int    `json:"boot,omitempty"`
	Text    string `json:"text,omitempty"`
	// Done of Total; Total is left out where it is not known.
	Done  int `json:"done,omitempty"`
	Total int `json:"total,omitempty"`
	// LeftSeconds is an estimate, left out where there is none.
	LeftSeconds float64 `json:"left_seconds,omitempty"`
	// Of the last line alone.
	ID       string `json:"id,omitempty"`
	Folder   string `json:"folder,omitempty"`
	Verdict  string `json:"verdict,omitempty"`
	ExitCode *int   `json:"exit_code,omitempty"`
}

// jsonRest is how often, at most, a thing that goes on gets a line.
const jsonRest = time.Second

func (p *jsonProgress) event(e lab.Event) {
	key := fmt.Sprint(e.Stage, e.Arch, e.Variant, e.Boot)
	if e.State == lab.Going {
		if e.At.Sub(p.shown[key]) < jsonRest {
			return
		}
		p.shown[key] = e.At
	}
	p.write(progressLine{Time: e.At.UTC(), Stage: string(e.Stage), State: string(e.State), Arch: e.Arch, Variant: e.Variant,
		Boot: e.Boot, Text: e.Text, Done: e.Done, Total: e.Total, LeftSeconds: e.Left.Seconds()})
}

func (p *jsonProgress) close() {}

func (p *jsonProgress) ended(dir string, rec *results.Record, code int) {
	p.write(progressLine{Time: rec.Finished, Stage: "run", State: string(lab.Finished), Text: rec.Why, ID: rec.ID, Folder: dir,
		Verdict: string(rec.Verdict), ExitCode: &code})
}

func (p *jsonProgress) failed(dir string, rec *results.Record, err error) {
	code := fault.Of(err).ExitCode()
	l := progressLine{Time: p.now().UTC(), Stage: "run", State: string(lab.Failed), Text: saying(err), Folder: dir, ExitCode: &code}
	if rec != nil {
		l.ID, l.Verdict = rec.ID, string(rec.Verdict)
	}
	p.write(l)
}

func (p *jsonProgress) write(l progressLine) {
	b, err := json.Marshal(l)
	if err != nil {
		return // a time beyond the year 9999; nobody is told of progress twice
	}
	fmt.Fprintf(p.out, "%s\n", b)
}
