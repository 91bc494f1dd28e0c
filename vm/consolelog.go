// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"packtest/vm/console"
)

// consoleLog takes what the guest prints: into a file, through the scanner, and
// as a sign of life.
type consoleLog struct {
	file  *os.File
	limit int64
	pulse *pulse
	also  io.Writer // for an interactive console; may be nil

	mu      sync.Mutex
	scanner console.Scanner
	written int64

	failed   chan error    // gets the first error of writing; has room for it
	panicked chan struct{} // closed when a panic begins
	done     chan struct{} // closed when the console has ended
}

func newConsoleLog(path string, limit int64, p *pulse, also io.Writer) (*consoleLog, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create console: %w", err)
	}
	begin := time.Now()
	scanner := console.Scanner{Clock: func() time.Duration { return time.Since(begin) }}
	return &consoleLog{file: f, scanner: scanner, limit: limit, pulse: p, also: also, failed: make(chan error, 1),
		panicked: make(chan struct{}), done: make(chan struct{})}, nil
}

// pump reads until the console ends. It goes on reading when the file can't be
// written any more: a guest whose console is not read stands still.
func (c *consoleLog) pump(r io.Reader) {
	defer close(c.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			c.pulse.beat()
			c.take(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

func (c *consoleLog) take(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.also != nil {
		_, _ = c.also.Write(b)
	}
	before := c.scanner.Panicked()
	_, _ = c.scanner.Write(b)
	if !before && c.scanner.Panicked() {
		close(c.panicked)
	}
	c.save(b)
}

func (c *consoleLog) save(b []byte) {
	if c.written >= c.limit {
		return
	}
	if rest := c.limit - c.written; int64(len(b)) > rest {
		b = append(append([]byte(nil), b[:rest]...), fmt.Sprintf("\n[packtest: the console is longer than %d bytes; the rest is dropped]\n", c.limit)...)
	}
	n, err := c.file.Write(b)
	c.written += int64(n)
	if err != nil {
		c.written = c.limit
		c.fail(err)
	}
}

// fail notes the first error of writing the file.
func (c *consoleLog) fail(err error) {
	select {
	case c.failed <- err:
	default:
	}
}

// events returns the events so far.
func (c *consoleLog) events() []console.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scanner.Events()
}

// close closes the file; the pump must have ended.
func (c *consoleLog) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scanner.Flush()
	return c.file.Close()
}

// pulse counts the guest's signs of life.
type pulse struct{ beats atomic.Int64 }

func (p *pulse) beat() { p.beats.Add(1) }

func (p *pulse) count() int { return int(p.beats.Load()) }
