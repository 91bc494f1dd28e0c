// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"math"
	"slices"

	"packtest/metric"
)

// spread is how far apart, as a fraction of the median, the repetitions of an
// exact metric may lie to be called the same as the baseline's where both
// overlap. The JIT starts a program at a random place in its first page, so a
// page more or less from boot to boot is the kernel's doing, not an error.
const spread = 0.01

// judgeExact sets the verdict of an exact metric. Repetitions that agree are
// compared as they are; where they don't, only ranges that lie apart are
// called different.
func judgeExact(c *Change) {
	if c.Verdict != "" {
		return
	}
	bLo, bHi := slices.Min(c.Base), slices.Max(c.Base)
	hLo, hHi := slices.Min(c.Head), slices.Max(c.Head)
	varies := ""
	if bLo != bHi || hLo != hHi {
		varies = "; boots differ, their ranges lie apart"
	}
	switch {
	case bLo == hLo && bHi == hHi:
		c.Verdict, c.Why = Same, "equal"
	case hHi < bLo:
		c.Verdict, c.Why = direction(c.Better, metric.Lower), "lower"+varies
	case hLo > bHi:
		c.Verdict, c.Why = direction(c.Better, metric.Higher), "higher"+varies
	case within(bLo, bHi, *c.BaseCentre) && within(hLo, hHi, *c.HeadCentre):
		c.Verdict, c.Why = Same, fmt.Sprintf("boots differ by up to %g %%, and the ranges overlap", spread*100)
	default:
		c.Verdict, c.Why = Inconclusive, "boots differ, and the ranges overlap"
	}
}

func within(lo, hi, centre float64) bool { return hi-lo <= spread*math.Abs(centre) }

// direction says what a move towards way means for a metric.
func direction(better, way metric.Better) Outcome {
	switch {
	case better != metric.Lower && better != metric.Higher:
		return Changed
	case better == way:
		return Better
	}
	return Worse
}
