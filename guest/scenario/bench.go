// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
)

// BenchLoad is how long it takes to load a fleet.
type BenchLoad struct {
	// Loader is the time to load it as the scenarios do, its programs having
	// been made before. Floor is that of a loop that has nothing to do but issue
	// the same calls of bpf(2). Both are the shortest of some rounds: whatever
	// else the machine does can only add to them.
	Loader, Floor time.Duration
	// Making is the time to make the programs, once: their instructions, and
	// the answers they must give.
	Making time.Duration
	Rounds int
}

// Ratio is Loader / Floor.
func (b BenchLoad) Ratio() float64 { return float64(b.Loader) / float64(b.Floor) }

// MeasureLoad times the loader against its floor, taking turns.
func MeasureLoad(ctx context.Context, env *Env, n, rounds int, seed uint64) (BenchLoad, error) {
	result := BenchLoad{Rounds: rounds}
	if n < 1 || n > MaxPrograms || rounds < 1 {
		return result, fmt.Errorf("asked for %d programs and %d rounds", n, rounds)
	}
	if err := env.prepare(n); err != nil {
		return result, err
	}
	f, err := fleet.New(env.Arch, seed)
	if err != nil {
		return result, err
	}
	slots, err := bpf.NewArray(slotsBytes(n))
	if err != nil {
		return result, err
	}
	defer slots.Close()
	f.Slots = slots.FD()
	r := newReader(env)
	defer r.close()
	before, err := r.read()
	if err != nil {
		return result, err
	}
	var made []fleet.Program
	start := env.Now()
	for i := range n {
		p, err := f.Program(i)
		if err != nil {
			return result, err
		}
		made = append(made, p)
	}
	result.Making = env.since(start)
	var loader, floor []time.Duration
	for i := range rounds {
		start := env.Now()
		var set loaded
		err := set.loadMany(ctx, env, n, func(i int) (fleet.Program, error) { return made[i], nil })
		loader = append(loader, env.since(start))
		set.close()
		if err != nil {
			return result, err
		}
		if _, err := r.settle(ctx, before, nil); err != nil {
			return result, err
		}
		took, err := loadFloor(env, made)
		if err != nil {
			return result, err
		}
		floor = append(floor, took)
		if _, err := r.settle(ctx, before, nil); err != nil {
			return result, err
		}
		env.Report.Progress(i+1, rounds, "rounds")
	}
	result.Loader, result.Floor = slices.Min(loader), slices.Min(floor)
	return result, nil
}

// loadFloor loads programs with nothing around bpf(2), and frees them.
func loadFloor(env *Env, programs []fleet.Program) (_ time.Duration, err error) {
	// union bpf_attr for BPF_PROG_LOAD, as far as the name.
	type attr struct {
		kind, count    uint32
		insns, license unsafe.Pointer
		_              [5]uint32
		flags          uint32
		name           [16]byte
	}
	license := [...]byte{'G', 'P', 'L', 0}
	attrs := make([]attr, len(programs))
	for i, p := range programs {
		attrs[i] = attr{kind: uint32(p.Type), count: uint32(len(p.Code) / 8),
			insns: unsafe.Pointer(unsafe.SliceData(p.Code)), license: unsafe.Pointer(&license)}
		copy(attrs[i].name[:15], p.Name)
	}
	fds := make([]int, 0, len(programs))
	defer func() {
		for _, fd := range fds {
			err = errors.Join(err, bpf.Close(fd))
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	start := env.Now()
	for i := range attrs {
		const progLoad = 5
		for {
			fd, _, errno := unix.Syscall(unix.SYS_BPF, progLoad, uintptr(unsafe.Pointer(&attrs[i])), unsafe.Sizeof(attrs[i]))
			if errno == unix.EAGAIN || errno == unix.EINTR {
				continue
			}
			if errno != 0 {
				return 0, fmt.Errorf("program %d of the fleet: %w", i, errno)
			}
			fds = append(fds, int(fd))
			break
		}
	}
	return env.since(start), nil
}
