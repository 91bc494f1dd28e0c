// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
)

// Present reports where the code of all programs lies that are loaded now,
// whoever loaded them: for looking around in a shell.
func Present(env *Env) error {
	infos, err := allInfos()
	if err != nil {
		return err
	}
	areas, err := env.Kernel.Vmalloc()
	if err != nil {
		return err
	}
	table, err := env.Kernel.PageTable()
	if err != nil {
		return err
	}
	newTextLayout("present", infos, areas, table).report(env)
	return nil
}

// allInfos asks the kernel about every program that has an ID.
func allInfos() ([]bpf.Info, error) {
	var list []bpf.Info
	for id := uint32(0); ; {
		next, ok, err := bpf.NextProgramID(id)
		if err != nil || !ok {
			return list, err
		}
		id = next
		fd, err := bpf.ProgramByID(id)
		if errors.Is(err, unix.ENOENT) {
			continue // freed in between
		}
		if err != nil {
			return nil, err
		}
		in, err := bpf.ProgramInfo(fd)
		bpf.Close(fd)
		if err != nil {
			return nil, err
		}
		list = append(list, in)
	}
}

// Hold loads the first n programs of the fleet that seed stands for, calls
// held, and frees them when that returns: for looking around in a shell.
func Hold(ctx context.Context, env *Env, n int, seed uint64, held func() error) error {
	if n < 1 || n > MaxPrograms {
		return fmt.Errorf("asked for %d programs; it must be from 1 to %d", n, MaxPrograms)
	}
	if err := env.prepare(n); err != nil {
		return err
	}
	f, err := fleet.New(env.Arch, seed)
	if err != nil {
		return err
	}
	slots, err := bpf.NewArray(slotsBytes(n))
	if err != nil {
		return err
	}
	defer slots.Close()
	f.Slots = slots.FD()
	var set loaded
	defer set.close()
	if err := set.loadMany(ctx, env, n, f.Program); err != nil {
		return err
	}
	return held()
}
