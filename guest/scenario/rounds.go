// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

const (
	// leakRounds is how often a round is done before anything is told that grew in
	// each, and surelyNone how often if nothing did.
	leakRounds, surelyNone = 10, 5
	// leakPrograms is how many programs a round loads and frees.
	leakPrograms = 3
	// leastPages is the least growth in every round that counts, of what is counted
	// in pages; of objects any does.
	leastPages, leastObjects = 4096, 1
	// lateness is how long the kernel has to free what goes after the charge.
	lateness = 50 * time.Millisecond
)

// grow does the same round again and again, each of which gives back what it
// takes, and looks whether the kernel's memory grows nevertheless: cache by cache
// to the object, and what is counted in pages. One object that is lost in every
// round is enough. before is what there is when a round is over. It returns the
// kernel's SUnreclaim after each round, if that is shown.
func (a *attack) grow(ctx context.Context, what string, before figures, round func() error) ([]int64, error) {
	slabs, err := a.env.Kernel.Slabs()
	if errors.Is(err, fs.ErrNotExist) {
		a.env.Report.Unmeasured("attack_looks", "whether single objects are lost: the kernel doesn't count them (CONFIG_SLUB_DEBUG): "+err.Error())
		slabs = &probe.Slabs{}
	} else if err != nil {
		return nil, err
	}
	defer slabs.Close()
	pages, objects := map[string][]int64{}, map[string][]int64{}
	what = fmt.Sprintf("round of %s", what)
	var found []wire.Finding
	for n := range leakRounds {
		if err := round(); err != nil {
			return nil, err
		}
		if _, err := a.reader.settle(ctx, before, nil); err != nil {
			return nil, err
		}
		time.Sleep(lateness)
		caches, err := slabs.Count()
		if err != nil {
			return nil, err
		}
		for _, c := range caches {
			name := "slab " + c.Cache
			objects[name] = append(objects[name], c.Objects*c.Bytes)
		}
		m, err := a.env.Kernel.Meminfo()
		if err != nil {
			return nil, err
		}
		for _, name := range []string{"SUnreclaim", "VmallocUsed", "PageTables", "KernelStack"} {
			if v, ok := m[name]; ok {
				pages[name] = append(pages[name], v)
			}
		}
		if n+1 < surelyNone {
			continue
		}
		found = append(oracle.Leaks(pages, leastPages, what), oracle.Leaks(objects, leastObjects, what)...)
		if len(found) == 0 {
			break
		}
	}
	a.watch.report(found)
	return pages["SUnreclaim"], nil
}

// growLoading is grow for the ways that programs take through the JIT: small ones
// first, and then the others.
func (l *limitAttack) growLoading(ctx context.Context) error {
	calling, err := l.calling()
	if err != nil {
		return err
	}
	small := func() error { return l.add(ctx, 0, leakPrograms, l.fleet.Small) }
	s, err := l.grow(ctx, fmt.Sprintf("%d programs", leakPrograms), l.before, l.passing(ctx, small))
	if err != nil {
		return err
	}
	if n := len(s); n >= surelyNone {
		l.env.Report.Sample(metric.New("slab_growth", nil, float64(s[n-1]-s[1])/float64(n-2)))
	} else {
		l.env.Report.Unmeasured("slab_growth", "/proc/meminfo has no SUnreclaim")
	}
	// Of more than a page, and through the dispatcher.
	xdp, err := l.fleet.Of(bpf.XDP, 3*probe.PageBytes, 0)
	if err != nil {
		return err
	}
	finished := func() error {
		if err := errors.Join(l.load(calling), l.load(xdp)); err != nil {
			return err
		}
		return l.dispatch(l.set.programs[1])
	}
	if _, err := l.grow(ctx, "a program with a subprogram, and one in the dispatcher", l.before, l.passing(ctx, finished)); err != nil {
		return err
	}
	blinded := func() error {
		if err := l.env.Kernel.SetSysctl("net.core.bpf_jit_harden", "2"); err != nil {
			return err
		}
		return errors.Join(l.load(calling), l.env.Kernel.SetSysctl("net.core.bpf_jit_harden", "0"), l.refuse())
	}
	_, err = l.grow(ctx, "a blinded program with a subprogram, and one that is refused", l.before, l.passing(ctx, blinded))
	return err
}

// passing makes a round of what loads programs: they are run, and freed.
func (l *limitAttack) passing(ctx context.Context, load func() error) func() error {
	return func() error {
		if err := load(); err != nil {
			return err
		}
		if err := l.checkFast(ctx); err != nil {
			return err
		}
		l.set.close()
		return nil
	}
}

// calling returns a program of the fleet with one subprogram, which is compiled
// apart from it.
func (a *attack) calling() (fleet.Program, error) {
	const enough = 1000
	for i := range enough {
		p, err := a.fleet.Program(i)
		if err != nil || p.Functions == 2 && p.TargetBytes < probe.PageBytes && p.Type != bpf.Kprobe {
			return p, err
		}
	}
	return fleet.Program{}, fmt.Errorf("none of the fleet's first %d programs has one subprogram", enough)
}

// dispatch runs an XDP program through the dispatcher, which only repeated runs
// go through.
func (a *attack) dispatch(p program) error {
	got, err := bpf.TestRun(p.fd, make([]byte, p.Packet()), nil, 2)
	if err != nil {
		return err
	}
	a.runs++
	if what := differs("the XDP program", got, p.Answer); what != "" {
		a.watch.report([]wire.Finding{{Kind: "wrong-answer", Title: "a program in the dispatcher gives a wrong answer", Evidence: what}})
	}
	return nil
}

// refuse has a program refused after it was compiled, for want of room below the
// limit, if unprivileged users may load any.
func (l *limitAttack) refuse() error {
	if !l.open {
		return nil
	}
	charged, err := l.reader.charged()
	if err != nil {
		return err
	}
	p, err := l.fleet.Small(0)
	if err != nil {
		return err
	}
	if err := l.setLimit(max(charged+1, 1)); err != nil {
		return err
	}
	var fd int
	errno := unix.EAGAIN
	err = unprivileged(func() error {
		for errno == unix.EAGAIN || errno == unix.EINTR {
			fd, errno = bpf.NewLoadOnce(p.Type, p.Name, p.Code).Call()
		}
		return nil
	})
	switch {
	case errno == 0:
		// Which fill tells; here it is only not to stay.
		err = errors.Join(err, bpf.Close(fd))
	case errno != errNoSupport && errno != unix.ENOMEM:
		err = errors.Join(err, fmt.Errorf("load a program without privileges: %w", errno))
	}
	return errors.Join(err, l.setLimit(1_000_000_000))
}
