// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"strings"

	"packtest/results"
)

// size never fails: what a series takes is for its author to judge. It is that of
// the symbols, where both records have it: sections are padded.
func (c checker) size(arch string, step int) Checked {
	s := c.step(arch, step)
	if s == nil {
		return Checked{Mark: CheckBroken, Says: "nothing is known of its size"}
	}
	was := c.step(arch, s.Since)
	if was == nil {
		return Checked{Mark: CheckSkipped, Says: "no earlier kernel was built to hold it against"}
	}
	is, before := s.Size, was.Size
	if s.Symbols != nil && was.Symbols != nil {
		is, before = *s.Symbols, *was.Symbols
	}
	changed := s.Functions != nil && len(s.Functions.Most) > 0
	var parts []string
	for _, x := range []struct {
		what  string
		d     int64
		shown bool
	}{
		{"code", is.Code - before.Code, changed}, {"read-only data", is.ReadOnly - before.ReadOnly, false},
		{"data", is.Data - before.Data, false}, {"zeroed data", is.Zero - before.Zero, false},
	} {
		if x.d != 0 || x.shown {
			parts = append(parts, fmt.Sprintf("%s %+d B", x.what, x.d))
		}
	}
	if len(parts) == 0 {
		return Checked{Mark: CheckSame, Says: "nothing is larger or smaller"}
	}
	return Checked{Mark: CheckOK, Says: strings.Join(parts, ", "), Evidence: grownText(s.Functions)}
}

// grownText lists the functions that differ most; "" if none does.
func grownText(g *results.Growth) string {
	if g == nil || len(g.Most) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "functions: %d added, %d removed, %d grown, %d shrunk; +%d B, -%d B\n", g.Added, g.Removed, g.Grown, g.Shrunk, g.Up, g.Down)
	for _, f := range g.Most {
		how := fmt.Sprintf("%d -> %d", f.Before, f.After)
		switch {
		case f.Before == 0:
			how = "new"
		case f.After == 0:
			how = "gone"
		}
		fmt.Fprintf(&b, "%+7d %s (%s)\n", f.After-f.Before, f.Name, how)
	}
	if n := g.Added + g.Removed + g.Grown + g.Shrunk - len(g.Most); n > 0 {
		fmt.Fprintf(&b, "and %d more\n", n)
	}
	return b.String()
}
