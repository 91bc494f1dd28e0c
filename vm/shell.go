// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// shellWord on the kernel's command line makes the guest's program start a
// shell on the console instead of talking over the port.
const shellWord = "packtest.shell"

// firstLine begins what the guest's program prints before it starts the shell.
// From then on the console can be read from; what is sent earlier may be lost.
const firstLine = "packguest: "

// Shell boots m, connects in and out to its console, and returns when the guest
// is switched off, or when the user types Ctrl-A x. A terminal is put into raw
// mode, so that every key, Ctrl-C included, goes to the guest. The end of in
// ends the guest's shell, as Ctrl-D would; so a file or a pipe of commands works.
func Shell(ctx context.Context, m Machine, in *os.File, out io.Writer) error {
	if err := m.prepare(); err != nil {
		return fmt.Errorf("shell on %s machine: %w", m.Arch, err)
	}
	// Warnings and worse belong on the screen, the rest is in dmesg.
	m.Cmdline = append(m.Cmdline[:len(m.Cmdline):len(m.Cmdline)], shellWord, "loglevel=6")
	if fd := int(in.Fd()); term.IsTerminal(fd) {
		old, err := term.MakeRaw(fd)
		if err != nil {
			return fmt.Errorf("shell on %s machine: make the terminal raw: %w", m.Arch, err)
		}
		defer func() { _ = term.Restore(fd, old) }()
	}
	gate := newGate(out)
	r, err := start(ctx, &m, gate)
	if err != nil {
		return fmt.Errorf("shell on %s machine: %w", m.Arch, err)
	}
	k := &keyboard{quit: make(chan struct{}), ended: make(chan struct{})}
	go k.pump(in, r.conn, gate.open)
	// Another program may print another line.
	defer time.AfterFunc(m.Limits.Boot, gate.unlock).Stop()
	err = r.attend(ctx, k)
	if end := new(EndError); ctx.Err() != nil && errors.As(err, &end) && end.Ending == QEMUDied {
		err = context.Cause(ctx) // it ends QEMU too, which may be seen first
	}
	r.finish(nil)
	if err != nil {
		return fmt.Errorf("shell on %s machine: %w", m.Arch, err)
	}
	return nil
}

// attend returns when the shell is over, with an error unless the guest
// switched itself off or the user left.
func (r *running) attend(ctx context.Context, k *keyboard) error {
	s := &r.seen
	panicked, ended := r.console.panicked, k.ended
	var silence <-chan time.Time
	beats := 0
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-k.quit:
			return nil
		case <-r.qemu.Done():
			return &EndError{QEMUDied, r.qemuSaid()}
		case err := <-r.console.failed:
			return &EndError{DiskFull, fmt.Sprintf("write the console: %v", err)}
		case e := <-r.mon.events:
			if s.event(e) {
				return r.shellEnd()
			}
		case <-panicked:
			panicked = nil
			silence = time.After(r.m.Limits.LastWords)
		case <-ended:
			ended, beats = nil, r.pulse.count()
			silence = time.After(r.m.Limits.Silence)
		case <-silence:
			if panicked == nil {
				return r.shellEnd()
			}
			if n := r.pulse.count(); n != beats {
				beats, silence = n, time.After(r.m.Limits.Silence)
				continue
			}
			return &EndError{Hang, "the shell did not end with its input"}
		}
	}
}

// shellEnd says what a guest's end was: a panic is an error, switching off not.
func (r *running) shellEnd() error {
	if e := worst(r.console.events()); e != nil {
		return &EndError{Panic, e.Title + in(e)}
	}
	switch r.seen.stop {
	case stopShutdown:
		return nil
	case stopPanic:
		return &EndError{Panic, r.seen.detail}
	}
	return &EndError{QEMUDied, r.seen.detail}
}

// gate passes the console on and opens when the guest can be typed to.
type gate struct {
	out  io.Writer
	open chan struct{}
	once sync.Once
	last []byte
}

func newGate(out io.Writer) *gate { return &gate{out: out, open: make(chan struct{})} }

// Write implements io.Writer.
func (g *gate) Write(b []byte) (int, error) {
	g.last = append(g.last, b...)
	if bytes.Contains(g.last, []byte(firstLine)) {
		g.unlock()
	}
	if keep := len(firstLine); len(g.last) > keep {
		g.last = append(g.last[:0], g.last[len(g.last)-keep:]...)
	}
	return g.out.Write(b)
}

func (g *gate) unlock() { g.once.Do(func() { close(g.open) }) }

// keyboard is what the user types, or a file of it.
type keyboard struct {
	quit  chan struct{} // closed by Ctrl-A x
	ended chan struct{} // closed when the input has ended
}

const (
	ctrlA = 0x01
	ctrlD = 0x04
)

// pump copies in to the console until its end or Ctrl-A x. It may be left
// behind in a read, which nothing can interrupt on a terminal.
func (k *keyboard) pump(in io.Reader, console io.Writer, open <-chan struct{}) {
	keys := make(chan []byte)
	go func() {
		defer close(keys)
		buf := make([]byte, 4096)
		for {
			n, err := in.Read(buf)
			if n > 0 {
				keys <- bytes.Clone(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	var esc escape
	var waiting []byte
	lineStart := true
	for keys != nil || len(waiting) > 0 {
		// What is typed early is kept until the guest reads, but Ctrl-A x
		// works from the start.
		if open == nil && len(waiting) > 0 {
			_, _ = console.Write(waiting)
			waiting = nil
			continue
		}
		select {
		case <-open:
			open = nil
		case b, ok := <-keys:
			if !ok {
				keys = nil
				waiting = append(waiting, ctrlD)
				if !lineStart {
					// The first one only ends the line.
					waiting = append(waiting, ctrlD)
				}
				continue
			}
			b, quit := esc.filter(b)
			if quit {
				close(k.quit)
				return
			}
			if len(b) > 0 {
				lineStart = b[len(b)-1] == '\n'
			}
			waiting = append(waiting, b...)
		}
	}
	close(k.ended)
}

// escape finds Ctrl-A x among the keys. Ctrl-A Ctrl-A is one Ctrl-A.
type escape struct{ pending bool }

// filter returns what is for the guest.
func (e *escape) filter(b []byte) (rest []byte, quit bool) {
	for _, c := range b {
		switch {
		case e.pending && c == 'x':
			return rest, true
		case e.pending && c == ctrlA:
			rest = append(rest, ctrlA)
			e.pending = false
		case e.pending:
			rest = append(rest, ctrlA, c)
			e.pending = false
		case c == ctrlA:
			e.pending = true
		default:
			rest = append(rest, c)
		}
	}
	return rest, false
}
