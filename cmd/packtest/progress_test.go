// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"packtest/internal/fault"
	"packtest/lab"
	"packtest/results"
)

func TestJSONProgress(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b bytes.Buffer
	p := newListener("json", &b)
	p.event(lab.Event{At: at, Stage: lab.StageBuild, State: lab.Begun, Arch: "s390x", Variant: "pack"})
	for i := range 5 {
		p.event(lab.Event{At: at.Add(time.Duration(i) * 400 * time.Millisecond), Stage: lab.StageBuild, State: lab.Going, Arch: "s390x", Variant: "pack",
			Text: "CC \"a\"\nb", Done: i, Total: 5, Left: 2500 * time.Millisecond})
	}
	p.event(lab.Event{At: at, State: lab.Noted, Text: "a boot was tried again"})
	p.close()
	p.ended("results/x", &results.Record{ID: "x", Finished: at, Verdict: results.Regressed, Why: "worse"}, 1)
	p.(*jsonProgress).now = func() time.Time { return at }
	p.failed("results/x", &results.Record{ID: "x", Verdict: results.HarnessFailed}, errors.New("no space"))
	p.failed("", nil, fault.Inputf("no plan"))
	want := []string{
		`{"time":"2026-01-02T03:04:05Z","stage":"build","state":"begun","arch":"s390x","variant":"pack"}`,
		`{"time":"2026-01-02T03:04:05Z","stage":"build","state":"going","arch":"s390x","variant":"pack","text":"CC \"a\"\nb","total":5,"left_seconds":2.5}`,
		`{"time":"2026-01-02T03:04:06.2Z","stage":"build","state":"going","arch":"s390x","variant":"pack","text":"CC \"a\"\nb","done":3,"total":5,"left_seconds":2.5}`,
		`{"time":"2026-01-02T03:04:05Z","state":"noted","text":"a boot was tried again"}`,
		`{"time":"2026-01-02T03:04:05Z","stage":"run","state":"finished","text":"worse","id":"x","folder":"results/x","verdict":"regressed","exit_code":1}`,
		`{"time":"2026-01-02T03:04:05Z","stage":"run","state":"failed","text":"no space","id":"x","folder":"results/x","verdict":"harness-failed","exit_code":3}`,
		`{"time":"2026-01-02T03:04:05Z","stage":"run","state":"failed","text":"no plan","exit_code":2}`,
	}
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, l := range got {
		if !json.Valid([]byte(l)) {
			t.Errorf("no JSON: %s", l)
		}
	}
}

func TestPlainProgressHasNoBars(t *testing.T) {
	if p := newListener("plain", &bytes.Buffer{}).(*progress); p.bars != nil {
		t.Error("plain lines with bars")
	}
}

// events are a run of two boots, of which one takes long to say anything.
func events(p listener) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	say := func(after time.Duration, e lab.Event) {
		e.At = at.Add(after)
		p.event(e)
	}
	build := lab.Event{Stage: lab.StageBuild, Arch: "s390x", Variant: "pack"}
	build.State = lab.Begun
	say(0, build)
	build.State, build.Text, build.Done, build.Total, build.Left = lab.Going, "CC kernel/bpf/core.o", 50, 100, time.Minute
	say(40*time.Second, build)
	build.State, build.Text = lab.Finished, "100 objects compiled in 1m0s"
	say(60*time.Second, build)
	boot := func(n int) lab.Event {
		return lab.Event{Stage: lab.StageBoot, Arch: "s390x", Variant: "pack", Boot: n, Text: "load"}
	}
	for i := range 2 {
		e := boot(i + 1)
		e.State, e.Done, e.Total = lab.Begun, i, 2
		say(60*time.Second, e)
	}
	e := boot(1)
	e.State, e.Text, e.Console = lab.Going, "[    3.1] Freeing unused kernel memory", true
	say(100*time.Second, e)
	e = boot(2)
	e.State, e.Text, e.Done, e.Total = lab.Finished, "load: done", 2, 2
	say(110*time.Second, e)
	e = boot(1)
	e.State, e.Text, e.Done, e.Total = lab.Failed, "load: hang", 1, 2
	say(200*time.Second, e)
	p.close()
}

func TestPlainProgress(t *testing.T) {
	var b bytes.Buffer
	events(newListener("plain", &b))
	want := `[   0s] build s390x pack: begun 
[  40s] build s390x pack: CC kernel/bpf/core.o 50/100, about 1m0s left, for 40s
[ 1m0s] build s390x pack: 100 objects compiled in 1m0s
[1m40s] boot s390x pack #1: console: [    3.1] Freeing unused kernel memory, for 40s
[1m50s] boot s390x pack #2: load: done (1 of 2, about 50s left)
[3m20s] boot s390x pack #1: FAILED: load: hang (2 of 2)
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

// On a terminal there is a bar for each thing that goes on, and one for all
// boots; the lines stand above them, and nothing is left of the bars. All of it
// has room on 80 columns.
func TestProgressOnATerminal(t *testing.T) {
	screen, terminal := pseudoTerminal(t, 80)
	t.Setenv("TERM", "xterm")
	shown := make(chan string)
	go func() {
		b, _ := io.ReadAll(screen) // ends with an error when the terminal is closed
		shown <- string(b)
	}()
	p := newProgress(terminal)
	if p.bars == nil {
		t.Fatal("a terminal without bars")
	}
	events(slow{p})
	if len(p.going) != 0 || p.bars != nil {
		t.Errorf("bars are left: %v", p.going)
	}
	terminal.Close()
	text := <-shown
	for _, want := range []string{"build s390x pack", "50/100, about 1m0s left CC", "boots 1/2, about 50s left", "console: [    3.1] Free", "load: done (1 of 2"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing shows %q:\n%q", want, text)
		}
	}
}

// pseudoTerminal opens a terminal of so many columns and the screen it writes to.
func pseudoTerminal(t *testing.T, columns uint16) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	n, err := unix.IoctlGetUint32(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { terminal.Close() })
	return screen, terminal
}

// slow gives bars the time to be drawn.
type slow struct{ listener }

func (s slow) event(e lab.Event) {
	s.listener.event(e)
	time.Sleep(450 * time.Millisecond) // the bars are drawn five times a second
}
