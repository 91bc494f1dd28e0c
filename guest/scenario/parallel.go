// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
)

// Parallel's defaults, and its shape.
const (
	parallelPrograms = 240
	// parallelRounds is how often everybody stops for a look.
	parallelRounds = 3
	// neighbours is how many programs a worker has at most at a time.
	neighbours = 24
	// attached is how many programs are attached to sockets meanwhile.
	attached = 8
)

// parallel first has each processor load, run and free the smallest programs for a
// moment, in memory that nobody else has: again and again the first program comes
// into executable memory just when the last one leaves it. attack_loads doesn't count
// these. Then it loads, runs and frees programs on all processors at once, while
// others are run on and on, and others are attached to sockets and filter what is
// sent there. spec.Programs is how many are loaded in all. Each of a few rounds
// ends with a look, for which everybody stops.
//
// Samples: attack_loads, _runs, _looks.
func parallel(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	a, err := env.newAttack(ctx, spec, parallelPrograms)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	workers := runtime.NumCPU()
	p := crowd{a: a, seed: spec.Seed}
	// Before there is anything else. What it loads, to leave no room, is not what was
	// asked for.
	loads := a.loads
	p.fail(p.races(ctx, workers))
	a.loads = loads
	if err := p.err(); err != nil {
		env.refused(err)
		return err
	}
	// A look holds what there is of executable memory against the programs in it.
	if _, err := a.reader.settle(ctx, a.before, nil); err != nil {
		return err
	}
	if _, err := a.watch.await(ctx, a.executable, neverFreed, a.watch.executable); err != nil {
		return err
	}
	if err := a.watch.look(ctx); err != nil {
		return err
	}
	sockets, err := a.attachSockets(spec.Seed)
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range sockets {
			err = errors.Join(err, s.close())
		}
	}()
	p.sockets = sockets
	p.next.Store(int64(len(sockets)))
	for round := range parallelRounds {
		// Both sorts of programs are there when the round begins.
		if err := p.stay(ctx, 4*workers); err != nil {
			return err
		}
		p.round(ctx, workers, (round+1)*a.n/parallelRounds)
		if err := p.err(); err != nil {
			env.refused(err)
			return err
		}
		if err := a.watch.look(ctx); err != nil {
			return err
		}
	}
	if err := a.watch.names(); err != nil {
		return err
	}
	for _, s := range sockets {
		err = errors.Join(err, s.close())
	}
	if sockets = nil; err != nil {
		return err
	}
	a.runs += int(p.runs.Load())
	a.reportWrong(p.wrong, a.runs)
	return a.finish(ctx)
}

func (a *attack) reportWrong(wrong []string, runs int) {
	if len(wrong) > 0 {
		a.watch.report([]wire.Finding{{Kind: "wrong-answer", Title: "programs give wrong answers",
			Evidence: fmt.Sprintf("%d of %d runs:\n%s", len(wrong), runs, firstLines(wrong))}})
	}
}

// crowd is everybody who works at the same time.
type crowd struct {
	a       *attack
	sockets []*filtered
	seed    uint64
	next    atomic.Int64 // number of the next program
	loads   atomic.Int64
	runs    atomic.Int64
	// stayRuns are those of programs that stay.
	stayRuns atomic.Int64

	mu     sync.Mutex
	wrong  []string
	errs   []error
	rounds uint64
}

func (c *crowd) fail(err error) {
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.errs = append(c.errs, err)
	}
}

func (c *crowd) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}

func (c *crowd) bad(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// take makes the next program that BPF_PROG_TEST_RUN can run.
func (c *crowd) take() (fleet.Program, error) {
	for {
		p, err := c.a.fleet.Program(int(c.next.Add(1) - 1))
		if err != nil || p.Type != bpf.Kprobe {
			return p, err
		}
	}
}

// stay loads programs that stay until the end, and are run all the time.
func (c *crowd) stay(ctx context.Context, n int) error {
	return c.a.add(ctx, 0, n, func(int) (fleet.Program, error) { return c.take() })
}

// round has workers load until so many programs were loaded in all rounds, while
// those that stay are run, and messages sent to the sockets.
func (c *crowd) round(ctx context.Context, workers, until int) {
	c.rounds++
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var work, rest sync.WaitGroup
	for i := range workers {
		work.Go(func() { c.fail(c.work(ctx, rand.New(rand.NewPCG(c.seed, c.rounds<<8|uint64(i))), until)) })
	}
	stable := c.a.set.programs
	rest.Go(func() { c.fail(c.occupy(ctx, stable)) })
	g, err := c.a.watch.newGuard(stable)
	c.fail(err)
	if g != nil {
		rest.Go(func() { c.fail(g.run(ctx)) })
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	c.wait(done)
	stop()
	rest.Wait()
	g.report()
	c.a.loads += int(c.loads.Swap(0))
}

// raceTime is how long processors race, in which each loads a few hundred programs,
// and raceSteps how often they load and free in step, for no longer than raceLong.
const (
	raceTime  = 2 * time.Second
	raceSteps = 96
	raceLong  = 4 * time.Second
)

// races has workers race for executable memory, while processors are held up in it,
// and looks at its permissions meanwhile.
func (c *crowd) races(ctx context.Context, workers int) (err error) {
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	// What makes it slow are programs, and stay. None that races is to be beside them:
	// its memory must become empty. So they come first, and then what leaves no room;
	// or last, where it takes too long to leave none.
	crowded := c.a.env.Arch == "s390x"
	if crowded {
		c.race(ctx, workers)
	}
	holds, err := c.a.env.newHoldUps()
	if err != nil {
		return err
	}
	undo = append(undo, holds.close)
	type reason struct {
		idler
		what string
	}
	idlers := []reason{{holds, "was held up by a clock"}}
	if !crowded { // and under QEMU 7.2 kprobes lead processors of s390x astray
		slows, err := newDelay()
		if err != nil {
			return err
		}
		idlers = append(idlers, reason{slows, "was slowed down by a kprobe"})
		undo = append(undo, slows.close, func() error { c.a.set.close(); return nil })
		none, err := c.leaveNoRoom(ctx)
		if err != nil {
			return err
		}
		if !none {
			c.a.env.Report.Unmeasured("attack_loads", "races for the first memory and the last: there is always room for another program")
		}
		stop, err := slowDown(slows)
		if err != nil {
			return err
		}
		undo = append(undo, stop)
	}
	// What stays, and not what a race has left to be freed.
	base, err := c.a.reader.charged()
	if err != nil {
		return err
	}
	stop, err := holdUp(holds)
	if err != nil {
		return err
	}
	undo = append(undo, stop)
	looking, done := context.WithCancel(ctx)
	var look sync.WaitGroup
	b := c.a.watch.newBothWatch()
	if b != nil {
		look.Go(func() { c.fail(b.run(looking)) })
	}
	if !crowded {
		c.race(ctx, workers)
	}
	err = c.raceInStep(ctx, workers, base)
	done()
	look.Wait()
	b.report()
	if err != nil {
		return err
	}
	for _, by := range idlers {
		n, err := by.count()
		if err != nil {
			return err
		}
		if n == 0 {
			c.a.env.Report.Unmeasured("attack_loads", "races at their slowest: no processor "+by.what+" in any function that executable memory is made of")
		}
	}
	return nil
}

// leaveNoRoom takes what room there is in executable memory, down to that for the
// smallest program, and says whether none is left.
func (c *crowd) leaveNoRoom(ctx context.Context) (bool, error) {
	tiny, err := c.a.fleet.Tiny(0)
	if err != nil {
		return false, err
	}
	new, err := c.a.fillUp(ctx, tiny)
	for range edgeTiny {
		if new || err != nil {
			break
		}
		new, err = c.a.getsNew(ctx, tiny)
	}
	return new, err
}

// race has workers load, run and free one to three tiny programs at a time, and
// every now and then wait for about as long as the kernel takes to free them.
func (c *crowd) race(ctx context.Context, workers int) {
	ctx, stop := context.WithTimeout(ctx, raceTime)
	defer stop()
	var work sync.WaitGroup
	for i := range workers {
		work.Go(func() { c.fail(c.raceOne(ctx, rand.New(rand.NewPCG(c.seed, 1<<32|uint64(i))), i)) })
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	c.wait(done)
}

// raceInStep has workers load, run and free a few tiny programs in step: the last
// programs that there are go at the same moment, and when the kernel has begun to
// free them new ones come. base is what is charged without them.
func (c *crowd) raceInStep(ctx context.Context, workers int, base int64) error {
	ctx, cancel := context.WithTimeout(ctx, raceLong)
	defer cancel()
	sets := make([]loaded, workers)
	step := func(do func(i int) error) {
		var all sync.WaitGroup
		for i := range workers {
			all.Go(func() {
				c.fail(onProcessor(i, func() error { return do(i) }))
			})
		}
		all.Wait()
	}
	r := rand.New(rand.NewPCG(c.seed, 1<<33))
	for n := 0; n < raceSteps && ctx.Err() == nil && c.err() == nil; n++ {
		seed := r.Uint64()
		before, err := c.a.reader.charged()
		if err != nil {
			return err
		}
		step(func(i int) (err error) {
			own := rand.New(rand.NewPCG(seed, uint64(i)))
			// Not all of them at once, and some a little later.
			if err := c.falls(before, base); err != nil {
				return err
			}
			time.Sleep(time.Duration(own.IntN(int(raceSoon))))
			sets[i], err = c.few(own, (workers+i)<<20+4*n)
			return err
		})
		step(func(i int) error { sets[i].close(); return nil })
		c.a.env.Report.Progress(n, 0, "steps of a race")
	}
	return nil
}

const (
	// raceSoon is how long after the first program was freed others still are.
	raceSoon = time.Millisecond
	// fallsWithin bounds the wait for a first one that is freed.
	fallsWithin = 100 * time.Millisecond
)

// falls waits until less is charged for executable memory than before, or no more than
// base.
func (c *crowd) falls(before, base int64) error {
	for deadline := time.Now().Add(fallsWithin); time.Now().Before(deadline); {
		now, err := c.a.reader.charged()
		if err != nil || now < before || now <= base {
			return err
		}
	}
	return nil
}

// raceOne is one worker's part of a race.
func (c *crowd) raceOne(ctx context.Context, r *rand.Rand, worker int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for n := 0; ctx.Err() == nil; n++ {
		set, err := c.few(r, worker<<20+4*n)
		if err != nil {
			return err
		}
		set.close()
		if r.IntN(2) == 0 {
			time.Sleep(time.Duration(r.IntN(int(raceTime / 100))))
		}
	}
	return nil
}

// few loads and runs one to three tiny programs.
func (c *crowd) few(r *rand.Rand, number int) (set loaded, err error) {
	defer func() {
		if err != nil {
			set.close()
			set = loaded{}
		}
	}()
	packet := make([]byte, 4096)
	for i := range 1 + r.IntN(3) {
		made, err := c.a.fleet.Tiny(number + i)
		if err != nil {
			return set, err
		}
		fd, err := bpf.Load(made.Type, made.Name, made.Code)
		if err != nil {
			return set, fmt.Errorf("program %s: %w", made.Name, err)
		}
		set.programs = append(set.programs, program{made, fd})
	}
	for _, p := range set.programs {
		if err := c.run(p, packet, nil); err != nil {
			return set, err
		}
	}
	return set, nil
}

// wait gives signs of life until done is closed, as long as workers get on: two that
// wait for each other are not to look alive because programs that stay are run.
func (c *crowd) wait(done <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for last := int64(-1); ; {
		select {
		case <-done:
			return
		case <-tick.C:
			now := c.loads.Load() + c.runs.Load() - c.stayRuns.Load()
			if now <= last {
				continue
			}
			last = now
			c.a.env.Report.Progress(c.a.loads+int(c.loads.Load()), c.a.n, "programs loaded")
		}
	}
}

// work loads, runs and frees on a thread of its own.
func (c *crowd) work(ctx context.Context, r *rand.Rand, until int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set []program
	defer func() {
		for _, p := range set {
			bpf.Close(p.fd)
		}
	}()
	packet, ctxOut := make([]byte, 4096), make([]byte, 512)
	for ctx.Err() == nil && c.a.loads+int(c.loads.Load()) < until {
		made, err := c.take()
		if err != nil {
			return err
		}
		fd, err := bpf.Load(made.Type, made.Name, made.Code)
		if err != nil {
			return fmt.Errorf("program %d of the fleet: %w", made.Index, err)
		}
		made.Code = nil
		set = append(set, program{made, fd})
		c.loads.Add(1)
		// The new one, and one that has had new neighbours.
		for _, p := range []program{set[len(set)-1], set[r.IntN(len(set))]} {
			if err := c.run(p, packet, ctxOut); err != nil {
				return err
			}
		}
		for len(set) == neighbours || len(set) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(set))
			if err := c.run(set[i], packet, ctxOut); err != nil {
				return err
			}
			bpf.Close(set[i].fd)
			set = append(set[:i], set[i+1:]...)
		}
	}
	return nil
}

func (c *crowd) run(p program, packet, ctxOut []byte) error {
	got, err := runPacket(p, packet, ctxOut)
	if err != nil {
		return fmt.Errorf("program %d: %w", p.Index, err)
	}
	c.runs.Add(1)
	if got != p.Answer {
		c.bad("program %d (%s, %d functions, about %d bytes): answered %#x, must be %#x", p.Index, p.Type, p.Functions, p.TargetBytes, got, p.Answer)
	}
	return nil
}

// occupy runs programs and sends to the sockets, again and again. It takes one
// processor: with more, nobody else would come to load anything.
func (c *crowd) occupy(ctx context.Context, programs []program) error {
	packet, ctxOut := make([]byte, 4096), make([]byte, 512)
	for {
		for _, p := range programs {
			if ctx.Err() != nil {
				return nil
			}
			c.stayRuns.Add(1)
			if err := c.run(p, packet, ctxOut); err != nil {
				return err
			}
		}
		for _, s := range c.sockets {
			c.stayRuns.Add(1)
			if err := c.send(s); err != nil {
				return err
			}
		}
	}
}

func (c *crowd) send(s *filtered) error {
	got, err := s.pass()
	if err != nil {
		return err
	}
	c.runs.Add(1)
	if got != s.want {
		c.bad("the filter of socket %d let %d of %d bytes through, must be %d", s.index, got, len(s.message), s.want)
	}
	return nil
}

// filtered is a pair of sockets with a program on the receiving one, which says
// how much of a message gets through.
type filtered struct {
	index   int
	pair    [2]int
	want    int
	message []byte
}

// attachSockets loads filters, puts each on a socket, and closes the program:
// the socket keeps it.
func (a *attack) attachSockets(seed uint64) ([]*filtered, error) {
	var list []*filtered
	for i := range attached {
		f, err := newFiltered(i, seed)
		if err != nil {
			for _, s := range list {
				s.close()
			}
			return nil, err
		}
		list = append(list, f)
		a.loads++
		a.env.Loads++
	}
	return list, nil
}

const messageBytes = 200

func newFiltered(i int, seed uint64) (_ *filtered, err error) {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	// As many bytes as the message has, less some that only the program knows.
	less := int32(1 + r.IntN(messageBytes-1))
	code := []bpf.Instruction{bpf.LoadMem(bpf.R0, bpf.R1, 0, bpf.Word)}
	for range 10 + r.IntN(60) {
		v := r.Int32()
		code = append(code, bpf.Xor.Imm(bpf.R0, v), bpf.Xor.Imm(bpf.R0, v))
	}
	code = append(code, bpf.Sub.Imm(bpf.R0, less), bpf.Exit())
	program, err := bpf.Load(bpf.SocketFilter, fmt.Sprintf("filter_%d", i), encode(code))
	if err != nil {
		return nil, err
	}
	defer bpf.Close(program)
	f, err := newPair(i, messageBytes-int(less))
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(f.pair[1], unix.SOL_SOCKET, unix.SO_ATTACH_BPF, program); err != nil {
		return nil, errors.Join(fmt.Errorf("attach a program to a socket: %w", err), f.close())
	}
	return f, nil
}

// newPair makes sockets whose filter is to let want bytes of a message through.
func newPair(i, want int) (*filtered, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	return &filtered{index: i, pair: pair, want: want, message: make([]byte, messageBytes)}, nil
}

// pass sends a message and returns how much of it comes through.
func (f *filtered) pass() (int, error) {
	if _, err := unix.Write(f.pair[0], f.message); err != nil {
		return 0, fmt.Errorf("send to socket %d: %w", f.index, err)
	}
	n, err := unix.Read(f.pair[1], make([]byte, messageBytes))
	if err == unix.EAGAIN {
		return 0, nil // The program let nothing through.
	}
	if err != nil {
		return 0, fmt.Errorf("receive from socket %d: %w", f.index, err)
	}
	return n, nil
}

func (f *filtered) close() error {
	return errors.Join(unix.Close(f.pair[0]), unix.Close(f.pair[1]))
}
