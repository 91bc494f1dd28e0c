// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/probe"
)

// site is where faults are injected.
type site struct {
	name string
	ways []way
	// fresh says that only operations that make executable memory are of interest.
	fresh bool
}

// way is one way in which the calls at a site fail.
type way struct {
	choose func(*probe.Faults) error
	// lasting says that all calls fail from one on. Then what succeeds does so as
	// well with a later one.
	lasting bool
	// before is called before each point, and after in the end, if they are there.
	before, after func() error
}

// sites returns where this kernel can inject faults.
func (f *faultAttack) sites() []site {
	shortage := way{choose: (*probe.Faults).Shortage, lasting: true}
	if f.watch.top != 0 {
		var h reserve
		shortage.before, shortage.after = h.grow, h.release
	}
	list := []site{
		{name: "slab", ways: []way{{choose: (*probe.Faults).Slab}}},
		{name: "pages", ways: []way{{choose: (*probe.Faults).Pages}}},
		{name: "no_more_pages", ways: []way{shortage}, fresh: true},
	}
	if f.env.Arch == "x86_64" && exists("/proc/lockdep_stats") {
		f.env.Report.Unmeasured("faults_injected", "functions: the injector sits in a breakpoint and draws a random number there, about which lockdep complains")
		return list
	}
	n := len(list)
	for _, name := range f.injector.Functions {
		if handlesCode(name) {
			list = append(list, site{name: name, ways: functionWays(name)})
		}
	}
	if len(list) == n {
		f.env.Report.Unmeasured("faults_injected", "functions: none that writes, protects or allocates code may be made to fail in this kernel")
	}
	return list
}

// functionWays are how the calls of a function fail: one, with errors that
// callers may tell apart; and all from one on, so that what undoes the first fails
// as well.
func functionWays(name string) []way {
	const all = 1000
	var list []way
	for _, e := range []struct {
		errno unix.Errno
		times int
	}{{unix.ENOMEM, 1}, {unix.EINVAL, 1}, {unix.EOPNOTSUPP, all}} {
		list = append(list, way{choose: func(p *probe.Faults) error { return p.Function(name, e.errno, e.times) }, lasting: e.times == all})
	}
	return list
}

// handlesCode says whether a function that may be made to fail is, by its name,
// one that allocators call to get, write, protect or give back code, whatever they
// call it. System calls may fail too, on all kernels, and are not meant.
func handlesCode(name string) bool {
	words := []string{"jit", "pack", "text_", "module_alloc", "execmem", "set_memory_", "set_direct_map_"}
	return !strings.Contains(name, "sys_") && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
}

// reserve is memory of the kernel's that is taken so that the next that it takes is
// some whose protection was never changed. To change it, the direct map's entry of
// 2 MiB is taken to pieces, which needs a page, once.
type reserve []*bpf.Array

// reserveBytes is more than what has lain in pieces since the last time: a pack, and
// what a load takes beside it.
const reserveBytes = 4 << 20

func (h *reserve) grow() error {
	a, err := bpf.NewArray(reserveBytes)
	if err == nil {
		*h = append(*h, a)
	}
	return err
}

func (h *reserve) release() error {
	var err error
	for _, a := range *h {
		err = errors.Join(err, a.Close())
	}
	*h = nil
	return err
}
