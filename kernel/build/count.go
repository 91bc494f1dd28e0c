// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"regexp"
	"strings"
	"time"
)

// objectLine is what kbuild prints for an object of the kernel; the commands of
// a dry run hold the same text. Paths from the root are tools for the host.
var objectLine = regexp.MustCompile(`^\s\s(?:CC|AS)(?: \[M\])?\s+([^/'\s][^'\s]*\.o)$`)

var dryObject = regexp.MustCompile(`echo '\s\s(?:CC|AS)(?: \[M\])?\s+[^/'\s][^'\s]*\.o'`)

// counter follows a build by the lines it prints.
type counter struct {
	done, total int
	// before is how many were done when started was, and most how many there
	// can be if the estimate was one.
	before, most int

	started time.Time
	now     func() time.Time
	report  func(Progress)
}

// begin says that some more objects are left; 0 for unknown.
func (c *counter) begin(left int) {
	c.started, c.before, c.total = c.now(), c.done, 0
	if left > 0 {
		c.total = c.done + left
		c.most = c.total + left/10
	}
}

// line counts an object, or names a step.
func (c *counter) line(line string) {
	if m := objectLine.FindStringSubmatch(line); m != nil {
		c.done++
		switch {
		case c.total == 0 || c.done <= c.total:
		case c.done <= c.most:
			c.total = c.done // an estimate misses the last few
		default:
			c.total = 0 // it was no estimate at all
		}
		c.report(Progress{Done: c.done, Total: c.total, ETA: c.eta(), What: m[1]})
		return
	}
	// "  LD      vmlinux" and such: no object, but where the time goes.
	if f := strings.Fields(line); len(f) == 2 && f[0] == "LD" && !strings.HasPrefix(f[1], "/") {
		c.report(Progress{Done: c.done, Total: c.total, ETA: c.eta(), What: "LD " + f[1]})
	}
}

// An ETA from less than this would be a guess.
const (
	etaObjects = 20
	etaTime    = 5 * time.Second
)

// eta is what is left at the rate so far, or negative if it can't be told.
func (c *counter) eta() time.Duration {
	elapsed, done := c.now().Sub(c.started), c.done-c.before
	if c.total == 0 || done < etaObjects || elapsed < etaTime {
		return -1
	}
	return elapsed * time.Duration(c.total-c.done) / time.Duration(done)
}
