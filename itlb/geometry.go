// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	_ "embed"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"packtest/internal/fault"
)

// Policy is how a set chooses what it drops.
type Policy string

const (
	// LRU drops what was not used for longest.
	LRU Policy = "lru"
	// TreePLRU follows a binary tree of bits, each of which points away from
	// the half that was used last.
	TreePLRU Policy = "tree-plru"
)

// Geometry is the instruction TLB of one core.
type Geometry struct {
	Name string `toml:"name"`
	Arch string `toml:"arch"` // packtest's word
	Core string `toml:"core"`
	// Source is where the figures are from, Confidence how sure they are.
	Source     string `toml:"source"`
	Confidence string `toml:"confidence"`
	L1         Level  `toml:"l1"`
	// L2 is asked when L1 misses; it may have no arrays.
	L2 Level `toml:"l2"`
	// Coalesce: four aligned, contiguous 4 KiB pages share one entry.
	Coalesce bool `toml:"coalesce"`
}

// Level is one level of a TLB.
type Level struct {
	// Policy is the published one; "" if none is.
	Policy Policy `toml:"policy"`
	// WithData: translations of data compete for it, which a trace lacks.
	WithData bool    `toml:"with_data"`
	Arrays   []Array `toml:"arrays"`
}

// Array is one set-associative array; with one set it is fully associative.
type Array struct {
	Pages string `toml:"pages"` // "4k", "large", "any"
	Sets  int    `toml:"sets"`
	Ways  int    `toml:"ways"`
	Index string `toml:"index"` // "", "xor"
}

// takes says whether the array holds translations of large or of small pages.
func (a Array) takes(large bool) bool {
	return a.Pages == "any" || large == (a.Pages == "large")
}

// hasTree says whether tree-PLRU can be made of the array's ways.
func (a Array) hasTree() bool { return a.Ways <= maxTreeWays && a.Ways&(a.Ways-1) == 0 }

func (l Level) hasTree() bool {
	return !slices.ContainsFunc(l.Arrays, func(a Array) bool { return !a.hasTree() })
}

// set returns the set of a page by its number.
func (a Array) set(number uint64) int {
	if a.Index == "xor" {
		number ^= number >> bits.TrailingZeros(uint(a.Sets))
	}
	return int(number & uint64(a.Sets-1))
}

const (
	maxSets = 1 << 20
	maxWays = 1 << 12
	// A set's tree has to fit into 64 bits.
	maxTreeWays = 64
)

// Validate says what makes a geometry impossible, as an input error.
func (g Geometry) Validate() error {
	wrong := func(format string, args ...any) error {
		return fault.Inputf("geometry %q: %s", g.Name, fmt.Sprintf(format, args...))
	}
	if g.Name == "" || g.Source == "" || g.Confidence == "" {
		return wrong("needs a name, a source and a confidence")
	}
	if strings.Trim(g.Name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" || len(g.Name) > 24 {
		return wrong("a name is of lower-case letters, digits, - . and _, at most 24")
	}
	for i, l := range []Level{g.L1, g.L2} {
		if l.Policy != "" && l.Policy != LRU && l.Policy != TreePLRU {
			return wrong("l%d: no policy called %q", i+1, l.Policy)
		}
		var small, large int
		for _, a := range l.Arrays {
			switch {
			case a.Pages != "4k" && a.Pages != "large" && a.Pages != "any":
				return wrong(`l%d: pages = %q; there are "4k", "large" and "any"`, i+1, a.Pages)
			case a.Sets < 1 || a.Sets > maxSets || a.Sets&(a.Sets-1) != 0:
				return wrong("l%d: %d sets; it must be a power of two up to %d", i+1, a.Sets, maxSets)
			case a.Ways < 1 || a.Ways > maxWays || a.Sets*a.Ways > maxSets:
				return wrong("l%d: %d sets of %d ways", i+1, a.Sets, a.Ways)
			case l.Policy == TreePLRU && !a.hasTree():
				return wrong("l%d: a tree over %d ways; it must be a power of two up to %d", i+1, a.Ways, maxTreeWays)
			case a.Index != "" && a.Index != "xor":
				return wrong("l%d: no index called %q", i+1, a.Index)
			}
			if a.takes(false) {
				small++
			}
			if a.takes(true) {
				large++
			}
		}
		if small > 1 || large > 1 {
			return wrong("l%d: two arrays for pages of the same size", i+1)
		}
		if i == 0 && (small == 0 || large == 0) {
			return wrong("l1 must take both 4k and large pages")
		}
	}
	return nil
}

// with returns the geometry with another policy in its first level.
func (g Geometry) with(p Policy) Geometry {
	g.L1.Policy = p
	return g
}

// known returns the published policy of the first level, or LRU.
func (g Geometry) known() Policy {
	if g.L1.Policy == "" {
		return LRU
	}
	return g.L1.Policy
}

// ParseGeometries reads a list of geometries in TOML; an unknown key, a name
// that stands twice and an impossible geometry are input errors.
func ParseGeometries(text string) ([]Geometry, error) {
	var file struct {
		Geometries []Geometry `toml:"geometry"`
	}
	md, err := toml.Decode(text, &file)
	if err != nil {
		return nil, fault.Inputf("read geometries: %w", err)
	}
	if extra := md.Undecoded(); len(extra) > 0 {
		return nil, fault.Inputf("read geometries: unknown key %s", extra[0])
	}
	seen := map[string]bool{}
	for _, g := range file.Geometries {
		if err := g.Validate(); err != nil {
			return nil, err
		}
		if seen[g.Name] {
			return nil, fault.Inputf("geometry %q: stands twice", g.Name)
		}
		seen[g.Name] = true
	}
	return file.Geometries, nil
}

//go:embed geometries.toml
var presets string

// Presets returns the geometries that packtest carries for an architecture.
// s390x has none: what IBM's cores hold is not public, so that there the sweep
// over capacities stands alone.
func Presets(arch string) ([]Geometry, error) {
	all, err := ParseGeometries(presets)
	var list []Geometry
	for _, g := range all {
		if g.Arch == arch {
			list = append(list, g)
		}
	}
	return list, err
}
