// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
)

// loaded is programs that are held by their file descriptors.
type loaded struct {
	programs []program
	// spent is the time in bpf(2) for loading them.
	spent time.Duration
}

type program struct {
	fleet.Program
	fd int
}

// batch is how many programs are made before they are loaded together: making
// one disturbs the caches, so it is not done between two loads.
const batch = 64

// loadMany makes and loads programs 0 to n-1 and holds them.
func (l *loaded) loadMany(ctx context.Context, env *Env, n int, makeOne func(i int) (fleet.Program, error)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for start := len(l.programs); start < n; start = len(l.programs) {
		if err := ctx.Err(); err != nil {
			return err
		}
		var made []fleet.Program
		for i := start; i < min(start+batch, n); i++ {
			p, err := makeOne(i)
			if err != nil {
				return err
			}
			made = append(made, p)
		}
		// Without the collector at work a run of 10,000 would need a gigabyte.
		if start > 0 && start%1024 == 0 {
			runtime.GC()
		}
		for _, p := range made {
			if err := l.load(env, p); err != nil {
				return err
			}
		}
		env.Report.Progress(len(l.programs), n, "programs loaded")
	}
	return nil
}

// load loads one program.
func (l *loaded) load(env *Env, p fleet.Program) error {
	start := env.Now()
	fd, err := bpf.Load(p.Type, p.Name, p.Code)
	l.spent += env.Now().Sub(start)
	if err != nil {
		return fmt.Errorf("program %d of the fleet: %w", p.Index, err)
	}
	// Its code is the kernel's now.
	p.Code = nil
	l.programs = append(l.programs, program{Program: p, fd: fd})
	env.Loads++
	return nil
}

// infos asks the kernel about every program.
func (l *loaded) infos() ([]bpf.Info, error) {
	list := make([]bpf.Info, 0, len(l.programs))
	for _, p := range l.programs {
		in, err := bpf.ProgramInfo(p.fd)
		if err != nil {
			return nil, err
		}
		list = append(list, in)
	}
	return list, nil
}

// close lets go of all programs. It may be called again.
func (l *loaded) close() {
	for _, p := range l.programs {
		bpf.Close(p.fd)
	}
	l.programs = nil
}
