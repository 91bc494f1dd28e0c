// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Counters counts a processor's iTLB events in the thread that opened it. All
// are in one group, so that they count the same instructions.
type Counters struct {
	fds    []int // the group's leader, which counts instructions, first
	events iTLBEvents
}

// ITLBCounts is what was counted between Start and Stop, in user mode and the
// kernel or the kernel alone (KernelOnly).
type ITLBCounts struct {
	Instructions uint64
	// Hits are first-level misses that the second level served; HitsEvent is ""
	// if the processor doesn't count them.
	Hits      uint64
	HitsEvent string // as perf takes it: "r2085"
	// Walks are page walks for instruction fetches.
	Walks      uint64
	WalksEvent string
	KernelOnly bool
}

// OpenITLBCounters opens the counters for the calling thread, which must stay
// the goroutine's (runtime.LockOSThread) until they are closed. Every error is
// a reason why there is nothing to be measured on this machine.
func (k Kernel) OpenITLBCounters() (*Counters, error) {
	const devices = "/sys/bus/event_source/devices"
	if _, err := os.Stat(k.path(devices)); err != nil {
		return nil, fmt.Errorf("the kernel has no performance events (PERF_EVENTS): %w", err)
	}
	pmu := devices + "/" + corePMU(k.arch())
	text, err := k.readString(pmu + "/type")
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the kernel found no PMU: there is no %s (an emulated processor, or a VM without a virtual PMU)", pmu)
	}
	if err != nil {
		return nil, fmt.Errorf("type of the PMU: %w", err)
	}
	kind, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("type of the PMU: %s: %w", pmu, err)
	}
	cpu, err := k.CPU()
	if err != nil {
		return nil, fmt.Errorf("which processor: %w", err)
	}
	events, err := iTLBEventsOf(cpu)
	if err != nil {
		return nil, err
	}
	c := &Counters{events: events}
	for _, e := range events.list() {
		if e.kind == pmuType {
			e.kind = uint32(kind)
		}
		if err := c.add(e); err != nil {
			return nil, errors.Join(k.explain(e, cpu, err), c.Close())
		}
	}
	return c, nil
}

// list returns the events in the order of the group.
func (e iTLBEvents) list() []perfEvent {
	l := []perfEvent{e.instructions, e.walks}
	if e.hits != nil {
		l = append(l, *e.hits)
	}
	return l
}

// add opens an event in the group.
func (c *Counters) add(e perfEvent) error {
	attr := unix.PerfEventAttr{Type: e.kind, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: e.config,
		Read_format: unix.PERF_FORMAT_GROUP | unix.PERF_FORMAT_TOTAL_TIME_ENABLED | unix.PERF_FORMAT_TOTAL_TIME_RUNNING}
	if c.events.excludes {
		attr.Bits |= unix.PerfBitExcludeUser | unix.PerfBitExcludeHv
	}
	leader := -1
	if len(c.fds) > 0 {
		leader = c.fds[0]
	} else {
		attr.Bits |= unix.PerfBitDisabled
	}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, leader, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return err
	}
	c.fds = append(c.fds, fd)
	return nil
}

// explain says what an error of perf_event_open(2) means.
func (k Kernel) explain(e perfEvent, cpu CPU, err error) error {
	what := fmt.Sprintf("count %s on %s", e, cpu)
	switch {
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%s: the kernel has no performance events (PERF_EVENTS): %w", what, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		level, lerr := k.readString("/proc/sys/kernel/perf_event_paranoid")
		if lerr != nil {
			level = "unknown"
		}
		return fmt.Errorf("%s: not permitted (kernel.perf_event_paranoid is %s): %w", what, level, err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s: the PMU doesn't offer it, alone or with the others at once: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Start begins counting, and goes on from what was counted before.
func (c *Counters) Start() error { return c.control(unix.PERF_EVENT_IOC_ENABLE, "start") }

// Stop ends counting.
func (c *Counters) Stop() error { return c.control(unix.PERF_EVENT_IOC_DISABLE, "stop") }

func (c *Counters) control(request uint, what string) error {
	if err := unix.IoctlSetInt(c.fds[0], request, unix.PERF_IOC_FLAG_GROUP); err != nil {
		return fmt.Errorf("%s the iTLB counters: %w", what, err)
	}
	return nil
}

// Read returns what was counted between all Starts and Stops. Counters that
// shared the PMU with others, and counted part of the time, are an error: what
// they missed could only be guessed.
func (c *Counters) Read() (ITLBCounts, error) {
	b := make([]byte, 8*(3+len(c.fds)))
	n, err := unix.Read(c.fds[0], b)
	if err != nil {
		return ITLBCounts{}, fmt.Errorf("read the iTLB counters: %w", err)
	}
	values, err := parseGroup(b[:n], len(c.fds))
	if err != nil {
		return ITLBCounts{}, fmt.Errorf("read the iTLB counters: %w", err)
	}
	counts := ITLBCounts{Instructions: values[0], Walks: values[1], WalksEvent: c.events.walks.String(), KernelOnly: c.events.excludes}
	if c.events.hits != nil {
		counts.Hits, counts.HitsEvent = values[2], c.events.hits.String()
	}
	return counts, nil
}

// parseGroup takes what a group of n counters reads as: n itself, the time it
// was enabled and the time it ran, and the values.
func parseGroup(b []byte, n int) ([]uint64, error) {
	list := make([]uint64, 3+n)
	if err := binary.Read(bytes.NewReader(b), binary.NativeEndian, list); err != nil || len(b) != 8*len(list) || list[0] != uint64(n) {
		return nil, fmt.Errorf("%d bytes are not what %d counters in a group give", len(b), n)
	}
	enabled, running, values := list[1], list[2], list[3:]
	switch {
	case running != enabled:
		return nil, fmt.Errorf("they ran %d of %d ns: others use the PMU", running, enabled)
	case running == 0:
		return nil, fmt.Errorf("they never ran")
	case values[0] == 0:
		return nil, fmt.Errorf("they counted no instruction in %d ns", running)
	}
	return values, nil
}

// Close ends counting for good.
func (c *Counters) Close() error {
	var err error
	for _, fd := range c.fds {
		err = errors.Join(err, unix.Close(fd))
	}
	c.fds = nil
	return err
}
