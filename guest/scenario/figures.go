// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"time"

	"packtest/guest/bpf"
	"packtest/guest/probe"
)

// figures is what a load takes and freeing has to give back.
type figures struct {
	programs    int   // with an ID
	charged     int64 // bpf_jit_current, in bytes
	vmallocUsed int64 // bytes
	areas       []probe.Area
}

// reader reads figures, again and again.
type reader struct {
	env  *Env
	core *probe.Core
	// waitedInVain is set once settle has run into its limit.
	waitedInVain bool
	// noCharge is why bpf_jit_current can't be read, if it can't.
	noCharge error
}

func newReader(env *Env) *reader {
	r := &reader{env: env}
	r.noCharge = r.openCharge()
	return r
}

func (r *reader) openCharge() error {
	if err := r.env.findSymbols(); err != nil {
		return err
	}
	if r.env.jitCurrent == 0 {
		return errors.New("/proc/kallsyms has no bpf_jit_current (the kernel needs KALLSYMS_ALL)")
	}
	var err error
	if r.core, err = r.env.Kernel.Core(); err != nil {
		return err
	}
	_, err = r.charged()
	return err
}

// findSymbols looks up the symbols that scenarios need, once in a boot: under
// emulation, reading all of them takes half a second.
func (env *Env) findSymbols() error {
	if env.symbolsRead {
		return nil
	}
	wanted := map[string]*uint64{"bpf_jit_current": &env.jitCurrent, "init_top_pgt": &env.pageTable, "swapper_pg_dir": &env.pageTable, dispatcherCall: &env.dispatcher}
	list, err := env.Kernel.Symbols(func(name string) bool { return wanted[name] != nil })
	if err != nil {
		return err
	}
	for _, s := range list {
		*wanted[s.Name] = s.Address
	}
	env.symbolsRead = true
	return nil
}

// charged reads bpf_jit_current.
func (r *reader) charged() (int64, error) {
	v, err := r.core.Uint64(r.env.jitCurrent)
	return int64(v), err
}

func (r *reader) close() {
	if r.core != nil {
		r.core.Close()
	}
}

// read reads all figures.
func (r *reader) read() (figures, error) {
	var f figures
	var err error
	if f.programs, err = countPrograms(); err != nil {
		return f, err
	}
	if r.noCharge == nil {
		if f.charged, err = r.charged(); err != nil {
			return f, err
		}
	}
	if f.areas, err = r.env.Kernel.Vmalloc(); err != nil {
		return f, err
	}
	m, err := r.env.Kernel.Meminfo()
	if err != nil {
		return f, err
	}
	used, ok := m["VmallocUsed"]
	if !ok {
		return f, errors.New("/proc/meminfo has no VmallocUsed")
	}
	f.vmallocUsed = used
	return f, nil
}

func countPrograms() (int, error) {
	n, id := 0, uint32(0)
	for {
		next, ok, err := bpf.NextProgramID(id)
		if err != nil {
			return 0, err
		}
		if !ok {
			return n, nil
		}
		n, id = n+1, next
	}
}

// areasSince returns the bytes of those areas of now that were not there
// before, of which held says that they held JIT code in between.
func areasSince(before, now []probe.Area, held map[uint64]bool) int64 {
	old := map[uint64]bool{}
	for _, a := range before {
		old[a.Start] = !a.Unpurged
	}
	var sum int64
	for _, a := range now {
		if held[a.Start] && !old[a.Start] && !a.Unpurged {
			sum += int64(a.Bytes())
		}
	}
	return sum
}

// settle waits until the kernel has given back what was freed: no more programs
// than before, bpf_jit_current no higher, and none of the areas that held code
// left. It returns what it last saw, also if that is too much: then the time
// is up.
func (r *reader) settle(ctx context.Context, before figures, held map[uint64]bool) (figures, error) {
	limit := settleLimit
	if r.waitedInVain {
		limit = settleAgain
	}
	var now figures
	var l least
	came, err := r.env.awaitFreed(ctx, limit, 100*time.Millisecond, func() (_ progress, err error) {
		now, err = r.read()
		areas := areasSince(before.areas, now.areas, held)
		done := now.programs <= before.programs && now.charged <= before.charged && areas == 0
		return l.progress(done, int64(now.programs), now.charged, areas), err
	})
	r.waitedInVain = r.waitedInVain || !came
	return now, err
}

// heldBy returns the beginnings of the areas that hold code of programs.
func heldBy(infos []bpf.Info, areas []probe.Area) map[uint64]bool {
	held := map[uint64]bool{}
	for _, in := range infos {
		for _, f := range in.Functions {
			if i := probe.FindArea(areas, f.Address); i >= 0 {
				held[areas[i].Start] = true
			}
		}
	}
	return held
}
