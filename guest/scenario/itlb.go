// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
)

// The forms of a window: who calls the programs.
const (
	// FormTestRun: BPF_PROG_TEST_RUN, one system call for each run.
	FormTestRun = "test_run"
	// FormAttached: the kernel itself, from the hooks that programs are
	// attached to (see hooks).
	FormAttached = "attached"
)

// What itlb does if its spec doesn't say. 160 loaded and 100 hot are the numbers
// of the bench that bpf_prog_pack was published with.
const (
	defaultLoaded = 160
	defaultHot    = 100
	defaultRounds = 10
	// sweepRounds are few: a loop that nothing disturbs does the same in every
	// round after the first.
	sweepRounds = 3
)

func defaultSweep() []int { return []int{8, 16, 32, 64, 128, 256, 512, 1024, 2048} }

// itlb loads programs and runs some of them, the hot ones, round by round, in
// windows that are marked for a tracer: one window for each form with the
// numbers that spec gives, then, with as many programs loaded as the largest of
// its steps, one for each form and step, of which each says how many are hot. Hot
// programs are drawn from all that are loaded, and run in the drawn order: in
// life those that run often were not loaded one after the other.
//
// It reports a wire.Window for each. What a program's own counter says must be
// what was asked for, and the executable memory the same before the window and
// after: otherwise it is an error.
func itlb(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	size, err := itlbSizes(spec)
	if err != nil {
		return err
	}
	w, err := newWindows(env, size, spec.Seed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.load(ctx, size.loaded); err != nil {
		return err
	}
	if err := w.all(ctx, []int{size.hot}, size.rounds); err != nil {
		return err
	}
	if len(size.sweep) == 0 {
		return nil
	}
	if err := w.load(ctx, max(size.loaded, slices.Max(size.sweep))); err != nil {
		return err
	}
	return w.all(ctx, size.sweep, min(size.rounds, sweepRounds))
}

type itlbSize struct {
	loaded, hot, rounds int
	sweep               []int
}

func itlbSizes(spec wire.ScenarioSpec) (itlbSize, error) {
	s := itlbSize{loaded: spec.Programs, hot: spec.Hot, rounds: spec.Rounds, sweep: spec.Steps}
	if s.loaded == 0 {
		s.loaded = defaultLoaded
	}
	if s.hot == 0 {
		s.hot = min(defaultHot, s.loaded)
	}
	if s.rounds == 0 {
		s.rounds = defaultRounds
	}
	if s.sweep == nil {
		s.sweep = defaultSweep()
	}
	if s.loaded < 1 || s.loaded > MaxPrograms || s.hot < 1 || s.hot > s.loaded {
		return s, fmt.Errorf("asked for %d hot programs of %d; it must be from 1 to all, of at most %d", s.hot, s.loaded, MaxPrograms)
	}
	// Without a second round there is none whose TLB is warm.
	if s.rounds < 2 || s.rounds > 1000 {
		return s, fmt.Errorf("asked for %d rounds; it must be from 2 to 1000", s.rounds)
	}
	for i, n := range s.sweep {
		if n < 1 || n > MaxPrograms || i > 0 && n <= s.sweep[i-1] {
			return s, fmt.Errorf("steps must rise, from 1 to at most %d programs", MaxPrograms)
		}
	}
	// Where the sweep loads no more programs, that step would be the windows that
	// come before it once more, under the same labels.
	if n := len(s.sweep); n > 0 && s.sweep[n-1] <= s.loaded {
		s.sweep = slices.DeleteFunc(slices.Clone(s.sweep), func(step int) bool { return step == s.hot })
	}
	return s, nil
}

// windows is the workload of itlb on its way.
type windows struct {
	env    *Env
	fleet  *fleet.Fleet
	slots  *bpf.Array
	inputs []byte // what slots holds before a program has run
	set    loaded
	infos  []bpf.Info
	// order is the loaded programs, shuffled: the first n are the hot ones.
	order  []int
	number int // of the last window
	seed   uint64
	// uncounted is why the last window that wasn't counted by a PMU was not.
	uncounted string
	open      func() (counters, error)
}

func newWindows(env *Env, size itlbSize, seed uint64) (*windows, error) {
	n := max(size.loaded, slices.Max(append(size.sweep, 0)))
	// Each attached program has a socket or a link.
	if err := env.prepare(2*n + len(size.sweep)); err != nil {
		return nil, err
	}
	w := &windows{env: env, seed: seed, open: openCounters(env.Kernel)}
	var err error
	if w.fleet, err = fleet.New(env.Arch, seed); err != nil {
		return nil, err
	}
	if w.slots, err = bpf.NewArray(slotsBytes(n)); err != nil {
		return nil, err
	}
	w.fleet.Slots = w.slots.FD()
	w.inputs = make([]byte, w.slots.Bytes())
	return w, nil
}

func (w *windows) close() error {
	w.set.close()
	return w.slots.Close()
}

// load loads programs until there are n, and draws the order in which they run.
func (w *windows) load(ctx context.Context, n int) error {
	from := len(w.set.programs)
	if err := w.set.loadMany(ctx, w.env, n, w.fleet.Counted); err != nil {
		return err
	}
	for _, p := range w.set.programs[from:] {
		binary.NativeEndian.PutUint64(w.inputs[p.Slot():], uint64(p.Input))
	}
	var err error
	if w.infos, err = w.set.infos(); err != nil {
		return err
	}
	w.order = rand.New(rand.NewPCG(w.seed, uint64(n))).Perm(n)
	return nil
}

// hot returns the first n programs of the order.
func (w *windows) hot(n int) []program {
	var list []program
	for _, i := range w.order[:n] {
		list = append(list, w.set.programs[i])
	}
	return list
}

// all makes a window for each form and number of hot programs, which rise. It
// reads what can be executed before the first and after the last, as nothing is
// loaded or freed in between.
func (w *windows) all(ctx context.Context, sizes []int, rounds int) (err error) {
	hooks, err := newHooks(w.env.Kernel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hooks.close()) }()
	before, err := w.env.executable()
	if err != nil {
		return err
	}
	var made []wire.Window
	for _, form := range []string{FormTestRun, FormAttached} {
		attached := 0
		for _, n := range sizes {
			l := &hooks.loop
			if form == FormTestRun {
				l = testRuns(w.hot(n))
			} else if err := hooks.add(w.hot(n)[attached:]); err != nil {
				return err
			}
			attached = n
			window, err := w.window(ctx, form, n, rounds, l)
			if err != nil {
				return fmt.Errorf("window %d (%s, %d of %d programs hot): %w", w.number, form, n, len(w.set.programs), err)
			}
			made = append(made, window)
		}
	}
	after, err := w.env.executable()
	if err != nil {
		return err
	}
	if err := before.same(after); err != nil {
		return fmt.Errorf("windows %d to %d: %w", made[0].Number, w.number, err)
	}
	for i, m := range made {
		m.Memory = made[0].Number
		if i == 0 {
			m.Kernel, m.User, m.Images = after.kernel, after.user, w.images()
		}
		w.env.Report.Window(m)
	}
	return nil
}

// testRuns is a loop that runs each program by a system call of its own.
func testRuns(programs []program) *loop {
	l := &loop{}
	packet := make([]byte, 4096)
	for _, p := range programs {
		c := bpf.NewTestRunCall(p.Type, p.fd, packet[:p.Packet()])
		a := c.Args()
		l.keep = append(l.keep, c)
		l.steps = append(l.steps, step{call: a[0], args: [6]uintptr{a[1], a[2], a[3]}, what: fmt.Sprintf("run program %d", p.Index)})
	}
	return l
}

// window runs a loop that runs each of the hot programs once a round. What it
// returns lacks what could be executed.
func (w *windows) window(ctx context.Context, form string, hot, rounds int, l *loop) (wire.Window, error) {
	w.number++
	m := wire.Window{Number: w.number, Form: form, Loaded: len(w.set.programs), Hot: hot, Rounds: rounds}
	for _, i := range w.order[:hot] {
		m.HotIDs = append(m.HotIDs, w.infos[i].ID)
	}
	if err := ctx.Err(); err != nil {
		return m, err
	}
	if err := w.slots.Write(w.inputs); err != nil {
		return m, err
	}
	counted, err := countWindow(w.open, l, rounds, edges{markBegin, markLap, markEnd})
	if err != nil {
		return m, err
	}
	w.env.Report.Progress(w.number, w.number, "windows")
	if m.Runs, err = w.count(hot, rounds); err != nil {
		return m, err
	}
	// What a machine lacks it lacks in every window.
	if counted.err == nil || counted.err.Error() != w.uncounted {
		reportCounted(w.env.Report, m, counted)
	}
	if counted.err != nil {
		w.uncounted = counted.err.Error()
	}
	return m, nil
}

// count returns how often the programs ran in the window, by their own counters:
// each of the hot ones once in every round and once before, no other at all.
func (w *windows) count(hot, rounds int) (uint64, error) {
	data, err := w.slots.Read()
	if err != nil {
		return 0, err
	}
	isHot := map[int]bool{}
	for _, i := range w.order[:hot] {
		isHot[i] = true
	}
	const before = 1
	var runs uint64
	for i, p := range w.set.programs {
		got, want := binary.NativeEndian.Uint64(data[p.Slot()+8:]), uint64(0)
		if isHot[i] {
			want = uint64(rounds + before)
			runs += got - before
		}
		if got != want {
			return 0, fmt.Errorf("program %d (%s) ran %d times, not %d", p.Index, p.Type, got, want)
		}
	}
	return runs, nil
}

// images is the code of all programs.
func (w *windows) images() []wire.LoadedImage {
	var list []wire.LoadedImage
	for _, in := range w.infos {
		for _, f := range in.Functions {
			list = append(list, wire.LoadedImage{Start: f.Address, Bytes: uint64(f.Bytes), ID: in.ID})
		}
	}
	return list
}
