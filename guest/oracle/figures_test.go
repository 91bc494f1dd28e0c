// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"testing"

	"packtest/guest/probe"
)

func TestReturned(t *testing.T) {
	f := Figure{Name: "bpf_jit_current", Title: "the charge is not what it was", Unit: "bytes", Was: 4096, Is: 4096}
	heard(t, "back", Returned([]Figure{f}, "all was freed"))
	f.Is = 8192
	heard(t, "more", Returned([]Figure{f}, "all was freed"), "charge|bpf_jit_current, in bytes: +4096 after all was freed; was 4096, is 8192")
	if n := Returned([]Figure{f}, "all was freed")[0].Cases; n != 4096 {
		t.Errorf("4096 bytes are told as %d", n)
	}
	f.Is = 0
	heard(t, "less", Returned([]Figure{f}, "all was freed"), "charge|in bytes: -4096 after")
}

func TestLeaks(t *testing.T) {
	for name, tc := range map[string]struct {
		rounds []int64
		grows  bool
	}{
		"flat":                    {[]int64{100, 100, 100, 100, 100}, false},
		"a cache that fills once": {[]int64{100, 900, 900, 900, 900}, false},
		"up and down":             {[]int64{100, 120, 110, 130, 120}, false},
		"too few rounds":          {[]int64{100, 200, 300, 400}, false},
		"slower than counts":      {[]int64{100, 109, 118, 127, 136}, false},
		"every round":             {[]int64{100, 110, 120, 130, 140}, true},
		"every round but first":   {[]int64{100, 100, 120, 140, 160}, true},
		"one round without":       {[]int64{100, 110, 120, 120, 130}, false},
	} {
		want := []string(nil)
		if tc.grows {
			want = []string{"grows with every round|slab x: "}
		}
		heard(t, name, Leaks(map[string][]int64{"slab x": tc.rounds, "flat": {1, 1, 1, 1, 1}}, 10, "round of 7 programs"), want...)
	}
}

func TestReused(t *testing.T) {
	const pack = 2 << 20
	clean := []Mapped{{Live: 600 << 10, Held: pack, Area: pack}, {Live: 100 << 10, Held: 2 * pack, Area: pack}, {Live: 900 << 10, Held: 2 * pack, Area: pack}}
	heard(t, "packs that fragment", Reused(clean))
	heard(t, "packs that only grow", Reused(append(clean, Mapped{Live: 500 << 10, Held: 4 * pack, Area: pack})), "not used again|moment 4 of 4")
	heard(t, "pages of their own", Reused([]Mapped{{Live: 4096 * 100, Held: 8192 * 100, Area: 8192}, {}, {Live: 4096 * 90, Held: 8192 * 90, Area: 8192}}))
	heard(t, "pages that stay", Reused([]Mapped{{Live: 4096 * 100, Held: 8192 * 100, Area: 8192}, {Live: 4096, Held: 8192 * 110, Area: 8192}}), "not used again")
}

func TestFilled(t *testing.T) {
	const pack = 2 << 20
	grown := Growth{Need: 700 << 10, Room: 800 << 10, More: pack}
	heard(t, "room, and used", Filled([]Growth{{Need: 700 << 10, Room: 800 << 10}, {Need: 700 << 10, Room: 800 << 10}}))
	heard(t, "no room", Filled([]Growth{{Need: 700 << 10, Room: 600 << 10, More: pack}, {Need: 700 << 10, Room: 700 << 10, More: pack}}))
	heard(t, "left alone once", Filled([]Growth{grown, {Need: 700 << 10, Room: 800 << 10}}))
	heard(t, "left alone again", Filled([]Growth{grown, {}, grown}), "although there is room|load 3 of 3")
}

func TestRoom(t *testing.T) {
	areas := []probe.Area{{Start: 0x1000, End: 0x2000, Pages: 1}, {Start: 0x10000, End: 0x21000, Pages: 0x10}, {Start: 0x40000, End: 0x140000, Pages: 0x100}}
	for _, tc := range []struct {
		name   string
		images []Image
		want   int64
	}{
		{"nothing", nil, 0},
		{"an area without code is not counted", []Image{{Start: 0x1000, End: 0x1800}}, 0x800},
		{"before", []Image{{Start: 0x18000, End: 0x20000}}, 0x8000},
		{"between", []Image{{Start: 0x10000, End: 0x11000}, {Start: 0x16000, End: 0x1f000}}, 0x5000},
		{"behind", []Image{{Start: 0x10000, End: 0x12000}}, 0xe000},
		{"elsewhere", []Image{{Start: 0x900000, End: 0x910000}}, 0},
	} {
		if got := Room(tc.images, areas); got != tc.want {
			t.Errorf("%s: %#x, want %#x", tc.name, got, tc.want)
		}
	}
}

func TestPointed(t *testing.T) {
	heard(t, "none", Pointed(nil))
	heard(t, "one", Pointed([]string{"unreferenced object 0x1000"}), "nobody points to|0x1000")
}

func TestCharged(t *testing.T) {
	const code = 700 << 10
	heard(t, "to the byte, and to the page", Charged([]Charge{{code, code}, {code, code + 8192}}))
	heard(t, "twice", Charged([]Charge{{code, code + 64}, {code, 2 * code}}), "not what programs take|load 2 of 2: 1433600 bytes for a program of 716800")
	heard(t, "too little", Charged([]Charge{{code, code - 1}}), "not what programs take|716799 bytes")
}

func TestWhole(t *testing.T) {
	heard(t, "as it was", Whole(4<<20, 4<<20))
	heard(t, "less than an entry", Whole(4<<20, 4<<20+4096))
	heard(t, "an entry", Whole(4<<20, 5<<20), "to pieces|4194304 bytes of it in small entries while programs were loaded, 5242880")
}
