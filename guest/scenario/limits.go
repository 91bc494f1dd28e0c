// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

const (
	// limitsPrograms is how many programs a privileged user loads, limit or no
	// limit, unless memory ends first.
	limitsPrograms = 400
	// limitRoom is how much more may be charged before the limit is reached, in
	// bytes: a dozen programs with pages of their own, some hundred without.
	limitRoom = 128 << 10
	// refusals is how often a load is tried that must be refused.
	refusals = 12
	// leastFree is how much memory must be left for the load to go on, in bytes:
	// process 1 is not to be the one that memory ends for.
	leastFree = 96 << 20
)

// limits lets an unprivileged user load programs until net.core.bpf_jit_limit
// refuses more, and looks at the kernel's account at every step: what is refused
// costs nothing, what is freed makes room for as much again, and in the end all
// is as before. A privileged user then loads many, beyond the limit, as far as
// memory goes.
//
// Samples: limit_accepted, attack_loads, _runs, _looks, slab_growth.
func limits(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	a, err := env.newAttack(ctx, spec, limitsPrograms)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	l := &limitAttack{attack: a}
	defer func() { err = errors.Join(err, l.setLimit(1_000_000_000)) }()
	if err := l.unprivileged(ctx); err != nil {
		return err
	}
	if err := l.many(ctx); err != nil {
		return err
	}
	if err := l.growLoading(ctx); err != nil {
		return err
	}
	return a.finish(ctx)
}

type limitAttack struct {
	*attack
	wrong []string
	// open is set if unprivileged users may load programs.
	open bool
}

func (l *limitAttack) setLimit(bytes int64) error {
	return l.env.Kernel.SetSysctl("net.core.bpf_jit_limit", fmt.Sprint(bytes))
}

func (l *limitAttack) bad(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// unprivileged reaches the limit and leaves it, twice.
func (l *limitAttack) unprivileged(ctx context.Context) error {
	if err := l.env.Kernel.SetSysctl("kernel.unprivileged_bpf_disabled", "0"); err != nil {
		l.env.Report.Unmeasured("limit_accepted", "the kernel lets no unprivileged user load programs: "+err.Error())
		return nil
	}
	l.open = true
	start, err := l.reader.charged()
	if err != nil {
		return err
	}
	if start < 0 {
		l.bad("%d bytes are charged", start)
	}
	limit := max(start+limitRoom, 1)
	if err := l.setLimit(limit); err != nil {
		return err
	}
	var accepted [2]int
	for turn := range accepted {
		if err := unprivileged(func() error { return l.fill(ctx, limit) }); err != nil {
			return err
		}
		accepted[turn] = len(l.set.programs)
		if err := l.check(ctx); err != nil {
			return err
		}
		if turn == 0 {
			if err := l.watch.look(ctx); err != nil {
				return err
			}
		}
		l.set.close()
		if _, err := l.reader.settle(ctx, l.before, nil); err != nil {
			return err
		}
		if now, err := l.reader.charged(); err != nil {
			return err
		} else if now != start {
			l.bad("%d bytes charged after %d programs were freed, %d before they were loaded", now, accepted[turn], start)
		}
	}
	if accepted[0] != accepted[1] {
		l.bad("the limit left room for %d programs, and for %d of the same when they were freed", accepted[0], accepted[1])
	}
	l.env.Report.Sample(metric.New("limit_accepted", nil, float64(accepted[0])))
	if len(l.wrong) > 0 {
		l.watch.report([]wire.Finding{{Kind: "accounting", Title: "the account of JIT memory is wrong at its limit", Evidence: firstLines(l.wrong)}})
	}
	return nil
}

// fill loads until the kernel refuses a program, and then tries that some more times.
func (l *limitAttack) fill(ctx context.Context, limit int64) error {
	refused := 0
	for i := 0; refused < refusals; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i > limitRoom/64+refusals {
			l.bad("%d programs were loaded with room for %d bytes", i, limitRoom)
			return nil
		}
		before, err := l.reader.charged()
		if err != nil {
			return err
		}
		p, err := l.fleet.Small(i)
		if err != nil {
			return err
		}
		fd, errno := bpf.NewLoadOnce(p.Type, p.Name, p.Code).Call()
		after, err := l.reader.charged()
		if err != nil {
			return err
		}
		switch {
		case errno == unix.EAGAIN || errno == unix.EINTR:
			i-- // the same again
			continue
		case errno == errNoSupport || errno == unix.ENOMEM:
			refused++
			i-- // the same again: for another, which is smaller, there may be room
			if after > before {
				// What it took may be given back by a work queue.
				if after, err = l.awaitCharged(ctx, before); err != nil {
					return err
				}
			}
			if after != before {
				l.bad("a load that was refused changed the charge from %d to %d", before, after)
			}
		case errno != 0:
			return fmt.Errorf("load a program without privileges: %w", errno)
		default:
			if refused > 0 {
				l.bad("a program was loaded after %d were refused", refused)
			}
			l.loads++
			l.env.Loads++
			l.set.programs = append(l.set.programs, program{p, fd})
			in, err := bpf.ProgramInfo(fd)
			// An unprivileged user is not told where code is, only how much.
			if err != nil && !errors.Is(err, bpf.ErrHidden) {
				return err
			}
			if got := after - before; got < int64(in.JITBytes) || after > limit {
				l.bad("%d bytes were charged for %d of code; %d in all, of %d allowed", got, in.JITBytes, after, limit)
			}
		}
	}
	if len(l.set.programs) == 0 {
		l.bad("not one program was loaded, with room for %d bytes", limitRoom)
	}
	return nil
}

// awaitCharged waits a little until the charge is no more than want.
func (l *limitAttack) awaitCharged(ctx context.Context, want int64) (int64, error) {
	f := l.before
	f.charged = want
	f.programs = 1 << 30
	now, err := l.reader.settle(ctx, f, nil)
	return now.charged, err
}

// many loads as a privileged user, for whom there is no limit, until all are
// loaded or memory becomes short.
func (l *limitAttack) many(ctx context.Context) error {
	if err := l.setLimit(max(l.before.charged+4096, 1)); err != nil {
		return err
	}
	small := func(i int) (fleet.Program, error) { return l.fleet.Small(i) }
	for from := 0; from < l.n; from += batch {
		if err := l.add(ctx, from, min(from+batch, l.n), small); err != nil {
			return err
		}
		m, err := l.env.Kernel.Meminfo()
		if err != nil {
			return err
		}
		if m["MemAvailable"] < leastFree {
			break
		}
	}
	if err := l.setLimit(1_000_000_000); err != nil {
		return err
	}
	if err := l.check(ctx); err != nil {
		return err
	}
	if err := l.watch.look(ctx); err != nil {
		return err
	}
	l.set.close()
	if err := l.returned(ctx, "many programs were freed"); err != nil {
		return err
	}
	l.watch.report(oracle.Reused(l.watch.moments))
	return nil
}
