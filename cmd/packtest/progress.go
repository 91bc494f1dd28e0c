// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"packtest/lab"
	"packtest/results"
)

// listener is told of a run's events, and of its end.
type listener interface {
	event(lab.Event)
	// close puts the terminal right, before anything else is written.
	close()
	// ended and failed are the last word: that what was begun came to its end, or
	// what kept it from that. rec is nil if there is no record.
	ended(dir string, rec *results.Record, code int)
	failed(dir string, rec *results.Record, err error)
}

// newListener shows progress as mode says: json, plain lines, or whatever
// suits stderr.
func newListener(mode string, stderr io.Writer) listener {
	switch mode {
	case "json":
		return &jsonProgress{out: stderr, shown: map[string]time.Time{}, now: time.Now}
	case "plain":
		return newProgress(struct{ io.Writer }{stderr}) // no terminal
	}
	return newProgress(stderr)
}

// progress shows a run's events: lines everywhere, and on a terminal a bar for
// each thing that is under way.
type progress struct {
	out     io.Writer
	stderr  io.Writer     // where out ends up, whatever is in between
	bars    *mpb.Progress // nil where there is no terminal
	going   map[string]*mpb.Bar
	what    map[string]*atomic.Pointer[string] // what a bar says; mpb reads it from a goroutine of its own
	started time.Time
	quiet   map[string]time.Time // when a line was last printed for a thing
}

func newProgress(stderr io.Writer) *progress {
	p := &progress{out: stderr, stderr: stderr, going: map[string]*mpb.Bar{}, what: map[string]*atomic.Pointer[string]{}, quiet: map[string]time.Time{}}
	if isTerminal(stderr) && os.Getenv("TERM") != "dumb" {
		p.bars = mpb.New(mpb.WithOutput(stderr), mpb.WithWidth(30), mpb.WithRefreshRate(200*time.Millisecond))
		p.out = p.bars
	}
	return p
}

// Without a terminal, a thing that goes on for long gets a line this often.
const quietTime = 30 * time.Second

func (p *progress) event(e lab.Event) {
	if p.started.IsZero() {
		p.started = e.At
	}
	key := fmt.Sprint(e.Stage, e.Arch, e.Variant, e.Boot)
	if e.State == lab.Going {
		p.goOn(key, e)
		return
	}
	p.drop(key)
	if e.State == lab.Begun {
		p.quiet[key] = e.At
		if p.bars != nil {
			return // its bar will show it
		}
		if e.Stage == lab.StageBoot {
			return // over within seconds; the line at its end is enough
		}
	}
	p.line(e, e.Text)
}

func (p *progress) goOn(key string, e lab.Event) {
	if p.bars == nil {
		if e.At.Sub(p.quiet[key]) >= quietTime {
			p.quiet[key] = e.At
			p.line(e, e.Text+fraction(e))
		}
		return
	}
	b := p.going[key]
	if b == nil {
		what := new(atomic.Pointer[string])
		p.what[key] = what
		// A bar that is made with a total is over when it gets there; ours has
		// one phase after another.
		b = p.bars.AddBar(0,
			mpb.PrependDecorators(decor.Name(subject(e), decor.WC{W: 28, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
				if s := what.Load(); s != nil {
					return *s
				}
				return ""
			})))
		p.going[key] = b
	}
	text := strings.TrimSpace(fraction(e) + " " + clip(e.Text, 40))
	p.what[key].Store(&text)
	b.SetTotal(int64(e.Total), false)
	b.SetCurrent(int64(e.Done))
}

func (p *progress) drop(key string) {
	if b := p.going[key]; b != nil {
		b.Abort(true)
		b.Wait()
		delete(p.going, key)
	}
}

// close takes the bars away.
func (p *progress) close() {
	for key := range p.going {
		p.drop(key)
	}
	if p.bars != nil {
		p.bars.Wait()
		p.bars, p.out = nil, p.stderr
	}
}

func (p *progress) ended(dir string, _ *results.Record, _ int) {
	fmt.Fprintf(p.out, "\npacktest: %s: record.json, report.txt, report.html, consoles and configs\n", dir)
}

// failed says nothing: the error itself is about to be.
func (p *progress) failed(string, *results.Record, error) {}

// line prints "[ 12s] build s390x pack: ...".
func (p *progress) line(e lab.Event, text string) {
	s := subject(e)
	state := ""
	switch e.State {
	case lab.Failed:
		state = "FAILED: "
	case lab.Begun:
		state = "begun "
	}
	if s != "" {
		s += ": "
	}
	fmt.Fprintf(p.out, "[%5s] %s%s%s\n", e.At.Sub(p.started).Round(time.Second), s, state, text)
}

func subject(e lab.Event) string {
	parts := []string{}
	for _, s := range []string{string(e.Stage), e.Arch, e.Variant} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Boot > 0 {
		parts = append(parts, fmt.Sprintf("#%d", e.Boot))
	}
	return strings.Join(parts, " ")
}

func fraction(e lab.Event) string {
	s := ""
	if e.Total > 0 {
		s = fmt.Sprintf(" %d/%d", e.Done, e.Total)
	} else if e.Done > 0 {
		s = fmt.Sprintf(" %d", e.Done)
	}
	if e.Left > 0 {
		s += fmt.Sprintf(", about %s left", e.Left.Round(time.Second))
	}
	return s
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n-3] + "..."
	}
	return s
}
