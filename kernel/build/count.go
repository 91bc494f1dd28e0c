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
	started     time.Time
	now         func() time.Time
	report      func(Progress)
}

// line counts an object, or names a step.
func (c *counter) line(line string) {
	if m := objectLine.FindStringSubmatch(line); m != nil {
		c.done++
		if c.total > 0 && c.done > c.total {
			c.total = c.done // the dry run can't see the last few
		}
		c.report(Progress{Done: c.done, Total: c.total, ETA: c.eta(), What: m[1]})
		return
	}
	// "  LD      vmlinux" and such: no object, but where the time goes.
	if strings.HasPrefix(line, "  LD ") || strings.HasPrefix(line, "  OBJTOOL") || strings.HasPrefix(line, "  BTF") {
		c.report(Progress{Done: c.done, Total: c.total, ETA: c.eta(), What: strings.Join(strings.Fields(line), " ")})
	}
}

// An ETA from less than this would be a guess.
const (
	etaObjects = 20
	etaTime    = 5 * time.Second
)

// eta is what is left at the rate so far, or negative if it can't be told.
func (c *counter) eta() time.Duration {
	elapsed := c.now().Sub(c.started)
	if c.total == 0 || c.done < etaObjects || elapsed < etaTime {
		return -1
	}
	return elapsed * time.Duration(c.total-c.done) / time.Duration(c.done)
}
