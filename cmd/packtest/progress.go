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
	began   map[string]time.Time // when a thing that goes on was begun
	boots   boots
}

// boots is how far a run's boots have come.
type boots struct {
	done, total int
	began       time.Time
}

// left is an estimate of how long the rest takes; 0 if nothing is known.
func (b boots) left(now time.Time) time.Duration {
	if b.done == 0 || b.total <= b.done {
		return 0
	}
	return now.Sub(b.began) / time.Duration(b.done) * time.Duration(b.total-b.done)
}

func (b boots) String() string { return fmt.Sprintf("boots %d/%d", b.done, b.total) }

// barWidth leaves room for words on 80 columns.
const barWidth = 10

func newProgress(stderr io.Writer) *progress {
	p := &progress{out: stderr, stderr: stderr, going: map[string]*mpb.Bar{}, what: map[string]*atomic.Pointer[string]{}, quiet: map[string]time.Time{}, began: map[string]time.Time{}}
	if isTerminal(stderr) && os.Getenv("TERM") != "dumb" {
		p.bars = mpb.New(mpb.WithOutput(stderr), mpb.WithWidth(barWidth), mpb.WithRefreshRate(200*time.Millisecond))
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
	switch e.State {
	case lab.Going:
		p.goOn(key, e)
		return
	case lab.Begun:
		p.begin(key, e)
		return
	case lab.Noted:
		p.line(e, e.Text)
		return
	}
	p.drop(key)
	text := e.Text
	if e.Stage == lab.StageBoot {
		p.boots.done++
		text += fmt.Sprintf(" (%d of %d", p.boots.done, p.boots.total)
		if left := p.boots.left(e.At); left > 0 {
			text += fmt.Sprintf(", about %s left", left.Round(time.Second))
		}
		text += ")"
		p.overall(e)
	}
	p.line(e, text)
}

// begin notes that a thing has begun. A boot is over within seconds, and where
// there is no terminal the line at its end is enough.
func (p *progress) begin(key string, e lab.Event) {
	p.quiet[key], p.began[key] = e.At, e.At
	if e.Stage == lab.StageBoot {
		if e.Done == 0 { // the first of a run, or of its next part
			p.boots = boots{began: e.At}
		}
		p.boots.total = e.Total
		p.overall(e)
		e.Done, e.Total = 0, 0 // which of all it is says nothing of how far it is
	}
	switch {
	case p.bars != nil:
		p.show(key, e, e.Text)
	case e.Stage != lab.StageBoot:
		p.line(e, e.Text)
	}
}

func (p *progress) goOn(key string, e lab.Event) {
	text := e.Text + fraction(e)
	if e.Console {
		text = "console: " + e.Text
	}
	if p.bars != nil {
		if !e.Console {
			text = strings.TrimSpace(fraction(e) + " " + e.Text)
		}
		p.show(key, e, text)
		return
	}
	if e.At.Sub(p.quiet[key]) >= quietTime {
		p.quiet[key] = e.At
		if began, ok := p.began[key]; ok {
			text += fmt.Sprintf(", for %s", e.At.Sub(began).Round(time.Second))
		}
		p.line(e, text)
	}
}

// overall shows how far all boots together are, on a terminal.
func (p *progress) overall(e lab.Event) {
	if p.bars == nil || p.boots.total < 2 {
		return
	}
	text := p.boots.String()
	if left := p.boots.left(e.At); left > 0 {
		text += fmt.Sprintf(", about %s left", left.Round(time.Second))
	}
	p.show("boots", lab.Event{At: e.At, Stage: "run", Done: p.boots.done, Total: p.boots.total}, text)
}

// show makes or changes the bar of a thing that goes on.
func (p *progress) show(key string, e lab.Event, text string) {
	b := p.going[key]
	if b == nil {
		what := new(atomic.Pointer[string])
		p.what[key] = what
		// A bar that is made with a total is over when it gets there; ours has
		// one phase after another.
		b = p.bars.AddBar(0,
			mpb.PrependDecorators(decor.Name(subject(e), decor.WC{W: 28, C: decor.DindentRight}), decor.Elapsed(decor.ET_STYLE_MMSS)),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
				if s := what.Load(); s != nil {
					return *s
				}
				return ""
			})))
		p.going[key] = b
	}
	text = clip(text, 60)
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
	if r := []rune(s); len(r) > n {
		return string(r[:n-3]) + "..."
	}
	return s
}
