// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"slices"
	"strings"
	"testing"

	"packtest/guest/bpf"
	"packtest/guest/probe"
	"packtest/guest/wire"
)

// heard fails if list is not exactly the findings whose titles contain want, or
// if their evidence doesn't contain what stands behind a "|".
func heard(t *testing.T, name string, list []wire.Finding, want ...string) {
	t.Helper()
	if len(list) != len(want) {
		t.Errorf("%s: %d findings, want %d: %+v", name, len(list), len(want), list)
		return
	}
	for i, f := range list {
		title, evidence, _ := strings.Cut(want[i], "|")
		if !strings.Contains(f.Title, title) || !strings.Contains(f.Evidence, evidence) || f.Kind == "" {
			t.Errorf("%s: %+v, want %q", name, f, want[i])
		}
	}
}

func program(id uint32, functions ...bpf.Function) bpf.Info {
	return bpf.Info{ID: id, Type: bpf.XDP, Functions: functions}
}

func TestImages(t *testing.T) {
	images := Images([]bpf.Info{
		program(7, bpf.Function{Address: 0x2000, Bytes: 16}, bpf.Function{Address: 0x1000, Bytes: 32}),
		program(8, bpf.Function{Address: 0x1800, Bytes: 1}),
	})
	want := []Image{{0x1000, 0x1020, 7, bpf.XDP, 1}, {0x1800, 0x1801, 8, bpf.XDP, 0}, {0x2000, 0x2010, 7, bpf.XDP, 0}}
	if len(images) != len(want) {
		t.Fatalf("%v", images)
	}
	for i := range want {
		if images[i] != want[i] {
			t.Errorf("%d: %+v, want %+v", i, images[i], want[i])
		}
	}
}

func images(ranges ...uint64) []Image {
	var list []Image
	for i := 0; i < len(ranges); i += 2 {
		list = append(list, Image{ranges[i], ranges[i+1], uint32(i/2 + 1), bpf.XDP, 0})
	}
	return list
}

func TestOverlaps(t *testing.T) {
	heard(t, "side by side", Overlaps(images(0x1000, 0x1040, 0x1040, 0x1080)))
	heard(t, "one byte", Overlaps(images(0x1000, 0x1041, 0x1040, 0x1080)), "overlaps|program 1 (xdp) 0x1000-0x1041 and program 2")
	heard(t, "the same", Overlaps(images(0x1000, 0x1040, 0x1000, 0x1040)), "overlaps")
}

func TestAligned(t *testing.T) {
	heard(t, "constants where they can be read", Aligned("s390x", images(0x1008, 0x1080, 0x2010, 0x2080)))
	heard(t, "constants between", Aligned("s390x", images(0x1008, 0x1080, 0x200c, 0x2080)), "not aligned|program 2 (xdp) 0x200c-0x2080")
	heard(t, "an architecture that doesn't mind", Aligned("x86_64", images(0x1009, 0x1080)))
}

func TestNeverBoth(t *testing.T) {
	heard(t, "never", NeverBoth(nil))
	heard(t, "once", NeverBoth([]uint64{0xffffffffa0000000}), "for a moment|0xffffffffa0000000")
	for arch, want := range map[string]bool{"x86_64": false, "s390x": true} {
		if got := ExecutableAsItComes(arch); got != want {
			t.Errorf("module memory of %s can be executed as it comes: %v", arch, got)
		}
	}
}

// How much was caught of what lasts for a moment hangs on chance, and makes no other
// trouble of it.
func TestCaught(t *testing.T) {
	for what, of := range map[string]func(n int) []wire.Finding{
		"writable and executable": func(n int) []wire.Finding { return NeverBoth(make([]uint64, n)) },
		"writable":                func(n int) []wire.Finding { return Momentary(slices.Repeat([]string{"the page at 0x1000"}, n)) },
	} {
		one, many := of(1)[0], of(maxCases + 1)[0]
		if one.Cases != 0 || many.Cases != 0 || !slices.Equal(wire.Shapes(one.Evidence), wire.Shapes(many.Evidence)) {
			t.Errorf("%s: %+v and %+v", what, one, many)
		}
	}
}

func TestPlaced(t *testing.T) {
	areas := []probe.Area{{Start: 0x1000, End: 0x3000, Pages: 1}, {Start: 0x4000, End: 0x6000, Pages: 1, Unpurged: true}}
	heard(t, "inside", Placed(images(0x1000, 0x2000), areas))
	heard(t, "into the guard page", Placed(images(0x1ff0, 0x2001), areas), "outside|0x1ff0-0x2001")
	heard(t, "nowhere", Placed(images(0x9000, 0x9010), areas), "outside")
	heard(t, "freed", Placed(images(0x4000, 0x4010), areas), "outside")
}

func page(start, end uint64, writable, executable bool) probe.Mapping {
	return probe.Mapping{Start: start, End: end, LeafBytes: 4096, Writable: writable, Executable: executable}
}

func TestProtected(t *testing.T) {
	table := probe.PageTable{page(0x1000, 0x3000, false, true), page(0x3000, 0x4000, true, true), page(0x4000, 0x5000, false, false)}
	heard(t, "well", Protected(images(0x1000, 0x3000), table))
	heard(t, "the last byte", Protected(images(0x1000, 0x3001), table), "writable|the page at 0x3000")
	heard(t, "dead", Protected(images(0x4000, 0x4010), table), "not executable|0x4000")
	heard(t, "not there", Protected(images(0x4000, 0x5001), table), "not executable", "not mapped")
}

func TestWritableCode(t *testing.T) {
	good := probe.PageTable{page(0x1000, 0x2000, true, false), page(0x2000, 0x3000, false, true)}
	heard(t, "well", WritableCode("x86_64", good))
	bad := append(good, page(0x8000, 0x9000, true, true))
	heard(t, "one page", WritableCode("x86_64", bad), "writable and executable|0x8000-0x9000")
	heard(t, "one page", WritableCode("s390x", bad), "writable and executable|0x8000-0x9000")
	// A range is one line, and is as many cases as it has pages.
	for pages, table := range map[int]probe.PageTable{1: bad, 513: append(bad, page(0xa00000, 0xc00000, true, true))} {
		if f := WritableCode("x86_64", table)[0]; f.Cases != pages {
			t.Errorf("%d pages are %d cases", pages, f.Cases)
		}
	}
	low := probe.PageTable{page(0, 0x1000, true, true)}
	heard(t, "lowcore", WritableCode("s390x", low))
	heard(t, "no lowcore", WritableCode("x86_64", low), "writable and executable")
}

func TestAliases(t *testing.T) {
	table := probe.PageTable{page(0x1000, 0x2000, false, false), page(0x2000, 0x3000, true, false)}
	heard(t, "well", Aliases([]Alias{{0xa000, 0x1000}, {0xb000, 0x7000}}, table))
	heard(t, "writable", Aliases([]Alias{{0xa000, 0x1000}, {0xb000, 0x2000}}, table), "direct map|the page at 0xb000, which is also at 0x2000")
}

func TestExecutable(t *testing.T) {
	table := probe.PageTable{page(0x1000, 0x2000, false, true), page(0x3000, 0x4000, true, false)}
	areas := []probe.Area{{Start: 0x1000, End: 0x3000, Pages: 1}, {Start: 0x1000, End: 0x3000, Pages: 1, Unpurged: true},
		{Start: 0x3000, End: 0x5000, Pages: 1}, {Start: 0x6000, End: 0x8000, Pages: 1}}
	if got := Executable(areas, table); len(got) != 1 || got[0].Start != 0x1000 || got[0].Unpurged {
		t.Errorf("%+v", got)
	}
}

func TestScattered(t *testing.T) {
	var same, two []Image
	for i := range uint64(manyImages) {
		same = append(same, Image{Start: 0x1000 + 128*i + 16, End: 0x1000 + 128*i + 60})
	}
	two = append(two, same...)
	two[7].Start -= 8
	heard(t, "all the same", Scattered(same), "begin at the same place|all of 64 functions begin 16 bytes behind a multiple of 64")
	heard(t, "two places", Scattered(two))
	heard(t, "too few to tell", Scattered(same[1:]))
	heard(t, "none", Scattered(nil))
}

func TestLocked(t *testing.T) {
	table := probe.PageTable{
		{Start: 0x0, End: 0x4000, Writable: true}, {Start: 0x4000, End: 0x5000}, // 0x5000-0x6000 is not mapped
		{Start: 0x6000, End: 0x20000, Writable: true}, {Start: 0x20000, End: 0x30000},
	}
	for _, tc := range []struct {
		name   string
		ranges []Range
		want   int64
	}{
		{"none", nil, 0},
		{"read-only and missing", []Range{{0x1000, 0x8000}}, 0x2000},
		{"all is writable", []Range{{0x6000, 0x20000}}, 0},
		{"over an end, and another", []Range{{0x4800, 0x5000}, {0x1f000, 0x22000}}, 0x2800},
	} {
		if got := Locked(tc.ranges, table); got != tc.want {
			t.Errorf("%s: %#x, want %#x", tc.name, got, tc.want)
		}
	}
}
