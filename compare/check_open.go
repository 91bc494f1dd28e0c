// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"cmp"
	"fmt"
	"slices"

	"packtest/results"
)

// Unbegun says how many of the checks of a record were not begun, and which of
// them was next; "" if there is none, or if the record is of no check. Checks are
// carried out kind by kind: all builds, then all boots, then the configurations.
func Unbegun(rec *results.Record) string {
	if rec.Check == nil {
		return ""
	}
	all := Checks(rec)
	open := slices.DeleteFunc(slices.Clone(all), func(c Checked) bool { return c.Mark != CheckOpen })
	if len(open) == 0 {
		return ""
	}
	turn := func(c Checked) (kind, among int) {
		switch {
		case c.Config != "":
			return 3, slices.Index(rec.Check.Configs, results.CheckConfig{Arch: c.Arch, Config: c.Config})
		case c.Kind == results.Boots:
			kind = 2
		case c.Arch != "":
			kind = 1
		}
		return kind, slices.Index(rec.Check.Arches, c.Arch)
	}
	slices.SortStableFunc(open, func(a, b Checked) int {
		kindA, amongA := turn(a)
		kindB, amongB := turn(b)
		return cmp.Or(cmp.Compare(kindA, kindB), cmp.Compare(amongA, amongB))
	})
	next := open[0]
	next.Says = ""
	return fmt.Sprintf("%d of %s not begun; the next is %s", len(open), count(len(all), "check"), CheckSays(next))
}
