// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"runtime"
	"strconv"

	"packtest/guest/probe"
	"packtest/guest/wire"
	"packtest/metric"
)

// counted is what a processor's counters say of a window, or why they say
// nothing.
type counted struct {
	counts probe.ITLBCounts
	err    error
}

// counters count in the thread that opened them: *probe.Counters.
type counters interface {
	Start() error
	Stop() error
	Read() (probe.ITLBCounts, error)
	Close() error
}

// openCounters opens a processor's counters.
func openCounters(k probe.Kernel) func() (counters, error) {
	return func() (counters, error) {
		c, err := k.OpenITLBCounters()
		if err != nil {
			return nil, err // and not a counters that holds nil
		}
		return c, nil
	}
}

// countWindow runs a loop between its edges with the processor's counters on,
// if it has any: that it has none is no error of the loop.
func countWindow(open func() (counters, error), l *loop, rounds int, e edges) (counted, error) {
	// Counters belong to a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := open()
	if err != nil {
		return counted{err: err}, l.run(rounds, e)
	}
	defer c.Close()
	var start, stop error
	around := edges{
		begin:   func() { start = c.Start(); e.begin() },
		between: e.between,
		end:     func() { e.end(); stop = c.Stop() },
	}
	if err := l.run(rounds, around); err != nil {
		return counted{}, err
	}
	if err := errors.Join(start, stop); err != nil {
		return counted{err: err}, nil
	}
	counts, err := c.Read()
	return counted{counts, err}, nil
}

const (
	pmuHits  = "itlb_pmu_second_level_hits"
	pmuWalks = "itlb_pmu_walks"
)

// reportCounted reports what was counted in the window w, and what was not.
func reportCounted(r Reporter, w wire.Window, c counted) {
	if c.err != nil {
		r.Unmeasured(pmuHits, c.err.Error())
		r.Unmeasured(pmuWalks, c.err.Error())
		return
	}
	report := func(name, event string, n uint64) {
		r.Sample(metric.New(name, map[string]string{
			"form": w.Form, "loaded": strconv.Itoa(w.Loaded), "hot": strconv.Itoa(w.Hot), "event": event,
		}, 1000*float64(n)/float64(c.counts.Instructions)))
	}
	report(pmuWalks, c.counts.WalksEvent, c.counts.Walks)
	if c.counts.HitsEvent == "" {
		r.Unmeasured(pmuHits, "the processor doesn't count what its second level serves to instruction fetches")
		return
	}
	report(pmuHits, c.counts.HitsEvent, c.counts.Hits)
}
