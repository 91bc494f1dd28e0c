// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bytes"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// quietAfter is how long a guest may say nothing before the last line of its
// console is told instead, and how often that is looked at.
const quietAfter = 5 * time.Second

// consoleWatch tells whoever listens what a guest's console said last while the
// guest itself says nothing: while it boots, or hangs.
type consoleWatch struct {
	heard atomic.Int64 // when the guest last said something, since begun
	begun time.Time
	done  chan struct{}
	ended chan struct{}
}

func (r *run) watchConsole(b *boot, path string) *consoleWatch {
	w := &consoleWatch{begun: time.Now(), done: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		tick := time.NewTicker(quietAfter)
		defer tick.Stop()
		for last := ""; ; {
			select {
			case <-w.done:
				return
			case <-tick.C:
			}
			if time.Since(w.begun)-time.Duration(w.heard.Load()) < quietAfter {
				continue
			}
			if line := lastLine(path); line != "" && line != last {
				last = line
				r.emit(Event{Stage: StageBoot, State: Going, Arch: b.arch, Variant: b.variant, Boot: b.number, Text: line, Console: true})
			}
		}
	}()
	return w
}

// beat says that the guest has said something.
func (w *consoleWatch) beat() { w.heard.Store(int64(time.Since(w.begun))) }

func (w *consoleWatch) stop() {
	close(w.done)
	<-w.ended
}

// lastLine returns the last line of a console that holds anything, without what
// a terminal would make of it; "" if there is none yet.
func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const enough = 4096
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-enough), io.SeekStart)
	}
	b, err := io.ReadAll(io.LimitReader(f, 2*enough))
	if err != nil {
		return ""
	}
	lines := bytes.Split(b, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		line := bytes.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r == '\ufffd' {
				return -1
			}
			return r
		}, lines[i])
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return string(line)
		}
	}
	return ""
}
