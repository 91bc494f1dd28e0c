// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"slices"

	"packtest/guest/oracle"
	"packtest/guest/probe"
)

// ownerless waits until all executable memory that came in this boot is
// somebody's, and reports what isn't: it would be taken for what there was
// before. Each area is told once.
func (w *watch) ownerless(ctx context.Context) error {
	var list []probe.Area
	left, err := w.await(ctx, 0, neverFreed, func() (bytes int64, err error) {
		list, err = w.nobodys()
		for _, a := range list {
			bytes += int64(a.Bytes())
		}
		return bytes, err
	})
	if err != nil {
		return err
	}
	for _, a := range list {
		w.env.areas[a.Start] = true
	}
	w.report(oracle.Returned([]oracle.Figure{{Name: "executable memory without programs", Title: neverFreed, Unit: "bytes", Is: left}}, warmed))
	return nil
}

// nobodys returns the executable areas that came in this boot, and hold neither a
// program nor anything that has a symbol. Those that can be written are for
// another rule to tell.
func (w *watch) nobodys() ([]probe.Area, error) {
	areas, table, err := w.memory()
	if err != nil {
		return nil, err
	}
	programs, err := allInfos()
	if err != nil {
		return nil, err
	}
	list := slices.DeleteFunc(oracle.Executable(areas, table), func(a probe.Area) bool {
		m, _ := table.Find(a.Start)
		return m.Writable || w.env.areas[a.Start] || slices.ContainsFunc(oracle.Images(programs), func(im oracle.Image) bool { return a.Contains(im.Start) })
	})
	if len(list) == 0 {
		return nil, nil
	}
	// Reading all symbols is slow.
	other, err := w.others(areas)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(a probe.Area) bool {
		return slices.ContainsFunc(other, func(r oracle.Range) bool { return r.Start < a.End && a.Start < r.End })
	}), nil
}
