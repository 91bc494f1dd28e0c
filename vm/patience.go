// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// lapse is a stretch of time.
type lapse struct {
	// guest is the part of it that a limit counts: the guest could have run.
	guest time.Duration
	// wall is all of it.
	wall time.Duration
}

func (l lapse) since(earlier lapse) lapse {
	return lapse{guest: l.guest - earlier.guest, wall: l.wall - earlier.wall}
}

// over tells whether a limit has passed, and whether it was the host that let it
// pass: so many times on its own clock before the guest had used it up.
func (l lapse) over(limit time.Duration, starved int) (over, byHost bool) {
	if l.guest >= limit {
		return true, false
	}
	byHost = l.wall >= time.Duration(starved)*limit
	return byHost, byHost
}

// denied says how much of the time the host had no processor, if that is worth
// a word.
func (l lapse) denied() string {
	if lost := l.lost(); lost > l.wall/10 {
		return fmt.Sprintf(" (besides %v in which the host had no processor for it)", lost.Round(time.Second))
	}
	return ""
}

// lost is the part that the guest did not have.
func (l lapse) lost() time.Duration { return l.wall - l.guest }

const (
	// lookEvery is how often the limits are looked at.
	lookEvery = 100 * time.Millisecond
	// lookLate is the most that one look counts. If we come later than that, it
	// was we who stood still, and what the guest did meanwhile is yet to be read.
	lookLate = 2 * lookEvery
)

// patience counts the time of a guest. A host that is busy, stopped or asleep is
// not to look like a kernel that hangs: what doesn't count is the time in which
// a thread of QEMU's waited for a processor, QEMU was stopped, another guest had
// the host's processors, or we ourselves were not looking.
type patience struct {
	proc   string // "/proc", unless a test has another
	pid    int
	last   time.Time
	now    lapse
	past   history
	waited map[string]time.Duration // by thread
	stolen time.Duration
}

func newPatience(proc string, pid int, start time.Time) *patience {
	p := &patience{proc: proc, pid: pid, last: start}
	p.lost()
	return p
}

// look adds the time since it was last called.
func (p *patience) look(now time.Time) {
	passed := max(now.Sub(p.last), 0)
	p.last = now
	own := time.Duration(0)
	if !p.stopped() {
		lost := p.lost()
		if lost > passed {
			// A wait is told of when it is over: what it had of the time before the
			// last look was taken for the guest's.
			p.now.guest = p.past.takeBack(max(p.now.wall-(lost-passed), 0))
		}
		own = min(passed-lost, lookLate)
	}
	p.now.wall += passed
	p.now.guest += max(own, 0)
	p.past.add(p.now)
}

// lost returns how much of the time since its last call the host denied QEMU,
// or before that, in a wait that is over now. What the host doesn't tell counts
// as nothing lost.
func (p *patience) lost() time.Duration {
	before := p.waited
	p.waited = map[string]time.Duration{}
	var longest time.Duration
	tasks, _ := filepath.Glob(filepath.Join(p.proc, strconv.Itoa(p.pid), "task", "*", "schedstat"))
	for _, path := range tasks {
		// Nanoseconds on a processor, nanoseconds waiting for one, turns.
		b, err := os.ReadFile(path)
		if f := bytes.Fields(b); err == nil && len(f) == 3 {
			p.waited[path] = nanoseconds(f[1])
			if old, ok := before[path]; ok {
				longest = max(longest, p.waited[path]-old)
			}
		}
	}
	stolen := p.stolen
	p.stolen = p.steal()
	return longest + p.stolen - stolen
}

// stopped says whether QEMU was stopped by a signal.
func (p *patience) stopped() bool {
	b, err := os.ReadFile(filepath.Join(p.proc, strconv.Itoa(p.pid), "stat"))
	i := bytes.LastIndexByte(b, ')')
	return err == nil && i > 0 && i+2 < len(b) && (b[i+2] == 'T' || b[i+2] == 't')
}

// steal returns how long the hypervisor below us let a processor wait, on the
// average of all.
func (p *patience) steal() time.Duration {
	b, err := os.ReadFile(filepath.Join(p.proc, "stat"))
	line, _, _ := bytes.Cut(b, []byte("\n"))
	// cpu user nice system idle iowait irq softirq steal, in hundredths of a second.
	f := bytes.Fields(line)
	if err != nil || len(f) < 9 {
		return p.stolen
	}
	n, err := strconv.ParseInt(string(f[8]), 10, 64)
	if err != nil {
		return p.stolen
	}
	return time.Duration(n) * 10 * time.Millisecond / time.Duration(runtime.NumCPU())
}

func nanoseconds(b []byte) time.Duration {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return time.Duration(n)
}
