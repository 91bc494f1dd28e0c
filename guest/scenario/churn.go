// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"math/rand/v2"
	"sort"
	"time"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/wire"
	"packtest/metric"
)

// Churn's defaults, and its shape.
const (
	churnPrograms = 480
	// churnGenerations is in how many helpings the programs are loaded.
	churnGenerations = 12
)

// churn loads, runs and frees programs at random for many generations: to
// fragmentation and back. spec.Programs is how many it loads in all. Between
// generations some are freed, few or nearly all; in the middle every second
// program in the order of addresses, so that every hole is small. After each
// every program that is left is run.
//
// Samples: attack_loads, _runs, _looks, load_time_ratio, free_time_ratio.
func churn(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	a, err := env.newAttack(ctx, spec, churnPrograms)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	r := rand.New(rand.NewPCG(spec.Seed, 0))
	var pace pace
	for g := range churnGenerations {
		start := a.set.spent
		from, to := g*a.n/churnGenerations, (g+1)*a.n/churnGenerations
		if err := a.add(ctx, from, to, a.fleet.Program); err != nil {
			return err
		}
		infos, err := a.set.infos()
		if err != nil {
			return err
		}
		pace.load(a.set.spent-start, infos[len(infos)-(to-from):])
		check := a.checkFast
		if g%4 == 1 {
			if err := a.watch.look(ctx); err != nil {
				return err
			}
			check = a.check
		}
		if err := check(ctx); err != nil {
			return err
		}
		if g == churnGenerations/2 {
			a.fragment(infos)
			// What is loaded next finds nothing but small holes.
			continue
		}
		if err := a.thin(ctx, &pace, g, r); err != nil {
			return err
		}
	}
	if err := a.watch.names(); err != nil {
		return err
	}
	pace.report(env)
	if err := a.recycle(ctx, r); err != nil {
		return err
	}
	return a.finish(ctx)
}

const (
	// largeBytes is about how much code each of the large programs has, and
	// largePrograms is how many there are, one after the other: more than fits
	// into three areas of 2 MiB, two to an area.
	largeBytes, largePrograms = 700 << 10, 7
	// stayingBytes is how much each of the programs has that stay.
	stayingBytes = 300 << 10
)

// recycle loads and frees large programs, one at a time, beside what is still
// there: they all have room in the same place, if freed space is used again.
// With each of them comes one that stays, so that no area becomes empty, and
// there is more at the end than fits into one. Each is a little smaller than
// the one before, whose place it fits into with all that is around it.
func (a *attack) recycle(ctx context.Context, r *rand.Rand) error {
	// What is still being freed would look like room.
	if err := a.watch.look(ctx); err != nil {
		return err
	}
	steps, err := a.stepsOf(ctx, largeBytes)
	if err != nil {
		return err
	}
	var list []placed
	// What was seen by then counts, however it ends.
	defer func() { a.judge(list) }()
	for i := range largePrograms {
		large, err := a.loadLong(r, steps)
		if err != nil {
			return err
		}
		list = append(list, large)
		single := loaded{programs: []program{large.program}}
		a.runs++
		if err := single.check(ctx, a.env, a.slots); err != nil {
			return err
		}
		if i == largePrograms-1 {
			if err := a.watch.look(ctx); err != nil {
				return err
			}
		}
		gone, err := a.gone(ctx, large)
		if err != nil || !gone {
			// It is for the end of the scenario to say that nothing came back.
			return err
		}
		stays, err := a.loadLong(r, steps*stayingBytes/largeBytes)
		if err != nil {
			return err
		}
		list = append(list, stays)
		steps -= steps / 20
	}
	again, err := a.refill(ctx, r, steps)
	a.judge(again)
	if err != nil {
		return err
	}
	return a.checkFast(ctx)
}

// judge holds what was taken for large programs, one after the other, against the rules.
func (a *attack) judge(list []placed) {
	var loads []oracle.Growth
	var charges []oracle.Charge
	for _, p := range list {
		loads, charges = append(loads, p.growth), append(charges, p.charge)
	}
	a.watch.report(oracle.Filled(loads))
	a.watch.report(oracle.Charged(charges))
}

const (
	// refillLeast and refillMost are how many programs are loaded until there is no
	// room for another: more than fit into one area of 2 MiB, if each has half a MiB.
	refillLeast, refillMost = 5, 12
	// refillTimes is how often a program is loaded to where another was.
	refillTimes = 2
)

// refill loads programs of so many steps until there is no room for another, and
// then frees one of them: the first, in whose place others are loaded, one at a time,
// and when that is taken again the last. So wherever the room is, it must be found. It
// returns all that it has loaded.
func (a *attack) refill(ctx context.Context, r *rand.Rand, steps int) (list []placed, err error) {
	for full := false; !full; {
		if len(list) == refillMost {
			a.env.Report.Unmeasured("attack_loads", "room in one of several areas: there is always more in another")
			return list, nil
		}
		p, err := a.loadLong(r, steps)
		if err != nil {
			return list, err
		}
		list = append(list, p)
		full = len(list) >= refillLeast && p.left < p.growth.Need
	}
	for _, old := range []placed{list[0], list[len(list)-1]} {
		for range refillTimes {
			if gone, err := a.gone(ctx, old); err != nil || !gone {
				return list, err
			}
			// It fits there with all that is around it.
			if old, err = a.loadLong(r, steps-steps/20); err != nil {
				return list, err
			}
			list = append(list, old)
		}
	}
	return list, nil
}

// placed is a program, and what was taken for it.
type placed struct {
	program
	growth oracle.Growth
	charge oracle.Charge
	left   int64 // the longest run without code that there is then, in bytes
}

// loadLong loads the next program of so many steps.
func (a *attack) loadLong(r *rand.Rand, steps int) (p placed, err error) {
	var had, have, before, after int64
	if p.growth.Room, had, err = a.watch.room(); err != nil {
		return p, err
	}
	if before, err = a.reader.charged(); err != nil {
		return p, err
	}
	if err := a.load(longProgram(r, a.loads, steps)); err != nil {
		return p, err
	}
	if after, err = a.reader.charged(); err != nil {
		return p, err
	}
	p.program = a.set.programs[len(a.set.programs)-1]
	in, err := bpf.ProgramInfo(p.fd)
	if err != nil {
		return p, err
	}
	p.growth.Need = int64(in.JITBytes)
	p.charge = oracle.Charge{Code: int64(in.JITBytes), Charged: after - before}
	p.left, have, err = a.watch.room()
	p.growth.More = have - had
	a.env.Report.Progress(a.loads, 0, "programs loaded")
	return p, err
}

// gone frees p, and says whether the kernel gave back what it had charged.
func (a *attack) gone(ctx context.Context, p placed) (bool, error) {
	want, err := a.reader.read()
	if err != nil {
		return false, err
	}
	want.programs, want.charged = want.programs-1, want.charged-p.charge.Charged
	a.set.keep(func(other program) bool { return other.fd != p.fd })
	now, err := a.reader.settle(ctx, want, nil)
	return now.charged <= want.charged, err
}

// fragment frees every second program in the order of addresses.
func (a *attack) fragment(infos []bpf.Info) {
	order := make([]int, len(infos))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(i, j int) bool {
		return infos[order[i]].Functions[0].Address < infos[order[j]].Functions[0].Address
	})
	free := map[int]bool{}
	for rank, i := range order {
		free[a.set.programs[i].Index] = rank%2 == 1
	}
	a.set.keep(func(p program) bool { return !free[p.Index] })
}

// thin frees programs at random: of three generations it frees a quarter, half,
// and nine tenths.
func (a *attack) thin(ctx context.Context, pace *pace, g int, r *rand.Rand) error {
	share := [...]float64{0.25, 0.5, 0.9}[g%3]
	before, err := a.reader.charged()
	if err != nil {
		return err
	}
	was := len(a.set.programs)
	start := a.env.Now()
	a.set.keep(func(program) bool { return r.Float64() >= share })
	freed := was - len(a.set.programs)
	if freed == 0 || g%3 != 2 {
		return nil
	}
	// Until the charge has fallen and stays: then all of them are gone.
	last, since := before, start
	came, err := a.env.awaitFreed(ctx, freeing, time.Millisecond, func() (progress, error) {
		now, err := a.reader.charged()
		switch {
		case now != last:
			last, since = now, a.env.Now()
			return nearer, err
		case last < before && a.env.since(since) > 100*time.Millisecond:
			return there, err
		}
		return still, err
	})
	// It is for the end of the scenario to say that nothing came back.
	if came {
		pace.free(since.Sub(start), freed)
	}
	return err
}

// pace compares how fast programs are loaded and freed at the end with how fast
// they were at the beginning.
type pace struct {
	loads, frees []float64
}

// load takes the time for loading programs; what counts is the time for a byte.
func (p *pace) load(spent time.Duration, infos []bpf.Info) {
	bytes := 0
	for _, in := range infos {
		bytes += int(in.JITBytes)
	}
	p.loads = append(p.loads, float64(spent)/float64(max(bytes, 1)))
}

func (p *pace) free(spent time.Duration, n int) {
	p.frees = append(p.frees, float64(spent)/float64(max(n, 1)))
}

func (p *pace) report(env *Env) {
	for _, m := range []struct {
		name   string
		values []float64
	}{{"load_time_ratio", p.loads}, {"free_time_ratio", p.frees}} {
		k := len(m.values) / 3
		if k == 0 || mean(m.values[:k]) == 0 {
			env.Report.Unmeasured(m.name, "too few programs were loaded and freed to compare the end with the beginning")
			continue
		}
		env.Report.Sample(metric.New(m.name, nil, mean(m.values[len(m.values)-k:])/mean(m.values[:k])))
	}
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
