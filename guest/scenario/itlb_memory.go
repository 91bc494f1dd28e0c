// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"fmt"
	"slices"

	"packtest/guest/probe"
	"packtest/guest/wire"
)

// executable is all memory that instructions can be fetched from: the kernel's,
// from its page table, and this process's.
type executable struct {
	kernel, user []wire.Mapped
}

// executable reads what can be executed now. The two parts must lie apart, also
// where the kernel has an address space of its own (s390x): a trace tells an
// instruction by its address alone.
func (env *Env) executable() (executable, error) {
	table, err := env.Kernel.PageTable()
	if err != nil {
		return executable{}, err
	}
	own, err := env.Kernel.OwnMemory()
	if err != nil {
		return executable{}, err
	}
	e := executable{executableOf(table), executableOf(own)}
	if len(e.kernel) == 0 || len(e.user) == 0 {
		return e, errors.New("the page tables show nothing that could be executed")
	}
	return e, e.apart()
}

func executableOf(list []probe.Mapping) []wire.Mapped {
	var out []wire.Mapped
	for _, m := range list {
		if m.Executable {
			out = append(out, wire.Mapped{Start: m.Start, End: m.End, PageBytes: m.LeafBytes})
		}
	}
	return out
}

// apart returns an error if a range of the process's overlaps one of the
// kernel's.
func (e executable) apart() error {
	for _, u := range e.user {
		for _, k := range e.kernel {
			if u.Start < k.End && k.Start < u.End {
				return fmt.Errorf("this process's code at %#x-%#x lies where the kernel's does (%#x-%#x): a trace could not tell them apart",
					u.Start, u.End, k.Start, k.End)
			}
		}
	}
	return nil
}

// same returns an error if what can be executed is not what it was.
func (e executable) same(now executable) error {
	if !slices.Equal(e.kernel, now.kernel) {
		return fmt.Errorf("the kernel's executable memory changed in the window: %s", firstChange(e.kernel, now.kernel))
	}
	if !slices.Equal(e.user, now.user) {
		return fmt.Errorf("this process's executable memory changed in the window: %s", firstChange(e.user, now.user))
	}
	return nil
}

func firstChange(before, after []wire.Mapped) string {
	for i := range before {
		if i == len(after) {
			break
		}
		if before[i] != after[i] {
			return fmt.Sprintf("from %#x-%#x (%d KiB pages) to %#x-%#x (%d KiB pages)", before[i].Start, before[i].End, before[i].PageBytes>>10,
				after[i].Start, after[i].End, after[i].PageBytes>>10)
		}
	}
	return fmt.Sprintf("from %d ranges to %d", len(before), len(after))
}
