// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"packtest/initramfs"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/plan"
	"packtest/vm"
)

// Terminal is where a shell's console goes.
type Terminal struct {
	In  *os.File
	Out io.Writer
	// Ready is called right before the console is connected; may be nil.
	Ready func()
}

// Shell boots the plan's one cell with the shell initramfs and connects its
// console to the terminal until the guest ends.
func (l *Lab) Shell(ctx context.Context, p *plan.Plan, t Terminal) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if len(p.Arches) != 1 || len(p.Variants) != 1 {
		return fault.Inputf("a shell needs one architecture and one variant")
	}
	stopListening := sync.OnceFunc(l.listen())
	defer stopListening()
	release, err := l.Cache.Use(ctx, nil)
	if err != nil {
		return err
	}
	defer release()
	prep, err := l.prepare(ctx, p)
	if err != nil {
		return err
	}
	c := &cell{arch: p.Arches[0], variant: p.Variants[0].Name}
	r := &run{Lab: l, plan: p, prep: prep}
	l.emit(Event{Stage: StageBuild, State: Begun, Arch: c.arch, Variant: c.variant})
	if c.kernel, err = r.buildOne(ctx, c); err != nil {
		return err
	}
	dir, remove, err := cache.TempDir("", "shell")
	if err != nil {
		return fmt.Errorf("shell: %w", err)
	}
	defer remove()
	r.dir = dir
	initrd := filepath.Join(dir, "initrd.cpio")
	if err := writeInitrd(initrd, c.arch, initramfs.Shell, c.kernel.Modules); err != nil {
		return err
	}
	m := r.machine(c, "", initrd, dir)
	accel, _, err := vm.DetectAccel(ctx, l.Cache, p.VM.Accelerator, c.arch, m)
	if err != nil {
		return err
	}
	m.Accel = accel
	stopListening()
	if t.Ready != nil {
		t.Ready()
	}
	return vm.Shell(ctx, m, t.In, t.Out)
}
