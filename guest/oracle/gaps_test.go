// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"bytes"
	"testing"
)

// at is where the tests' span begins.
const at = 0xffffffffa0000000

// scene is a span of two chunks of code, as a pack and as a page of its own
// would hold them: a header at 0x00 before code at 0x10-0x40 with one entry of an
// exception table behind it, and a header at 0x80 before code at 0xa0-0xc0.
func scene(t Text) (Span, []Image) {
	b := bytes.Repeat([]byte{t.Illegal}, 0x200)
	t.Order.PutUint32(b[0x00:], 0x80)
	copy(b[0x10:0x40], bytes.Repeat([]byte{0x90}, 0x30))
	back := -0x10
	t.Order.PutUint32(b[0x40:], uint32(back)) // the instruction at 0x30
	t.Order.PutUint32(b[0x44:], 0x0302)
	t.Order.PutUint32(b[0x48:], 0x0b)
	t.Order.PutUint32(b[0x80:], 0x40)
	copy(b[0xa0:0xc0], bytes.Repeat([]byte{0x90}, 0x20))
	return Span{at, b}, images(at+0x10, at+0x40, at+0xa0, at+0xc0)
}

// foreign sets the exception entry's distance from its instruction.
func foreign(t Text, b []byte, distance int32) {
	t.Order.PutUint32(b[0x40:], uint32(distance))
	t.Order.PutUint32(b[0x48:], 0x0b0b0b0b)
	// Nothing that could be taken for a header.
	t.Order.PutUint32(b[0x4c:], 0x0b0b0b0b)
	copy(b[0x80:], bytes.Repeat([]byte{t.Illegal}, 4))
}

const garbage = "not filled with illegal instructions"

func TestGaps(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(t Text, b []byte)
		want   []string
	}{
		{"clean", func(Text, []byte) {}, nil},
		{"no header", func(t Text, b []byte) { copy(b[0x80:], bytes.Repeat([]byte{t.Illegal}, 4)) }, nil},
		{"an instruction behind all", func(_ Text, b []byte) { b[0x1ff] = 0x90 },
			[]string{garbage + "|0xffffffffa00001ff: length 1, 90; 319 behind program 2"}},
		{"right behind the code", func(_ Text, b []byte) { b[0xc0] = 0x90 }, []string{garbage + "|0xffffffffa00000c0"}},
		{"right before the code", func(_ Text, b []byte) { b[0x9f] = 0x90 }, []string{garbage + "|1 before program 2"}},
		{"what was there before", func(_ Text, b []byte) { copy(b[0x100:], "old code") }, []string{garbage + "|0xffffffffa0000100: length 8"}},
		{"in the header's padding", func(_ Text, b []byte) { b[0x87] = 0x90 }, []string{garbage}},
		{"a second header", func(t Text, b []byte) { t.Order.PutUint32(b[0x88:], 0x40) }, []string{garbage + "|0xffffffffa000008"}},
		{"a header too short", func(t Text, b []byte) { t.Order.PutUint32(b[0x80:], 0x3f) }, []string{"length|0xffffffffa0000080: length 63, before program 2"}},
		{"a header into the next", func(t Text, b []byte) { t.Order.PutUint32(b, 0xa1) }, []string{"length|length 161, before program 1"}},
		{"a header of 2 MB", func(t Text, b []byte) { t.Order.PutUint32(b[0x80:], 2<<20) }, []string{"length|length 2097152"}},
		{"somebody else's exception", func(t Text, b []byte) { foreign(t, b, 0x60) }, []string{garbage + "|0xffffffffa000004"}},
		{"an exception before the code", func(t Text, b []byte) { foreign(t, b, -0x31) }, []string{garbage + "|0xffffffffa0000040"}},
	} {
		for _, arch := range []string{"x86_64", "s390x"} {
			text, err := TextOf(arch)
			if err != nil {
				t.Fatal(err)
			}
			span, images := scene(text)
			tc.change(text, span.Bytes)
			heard(t, arch+", "+tc.name, Gaps(text, []Span{span}, images, nil, nil), tc.want...)
		}
	}
	if _, err := TextOf("riscv"); err == nil {
		t.Error("riscv has an illegal instruction")
	}
}

func TestGapsZeros(t *testing.T) {
	// A pack that was never filled is full of zeros, which is code on x86_64.
	x86, _ := TextOf("x86_64")
	s390, _ := TextOf("s390x")
	span := Span{at, make([]byte, 4096)}
	heard(t, "x86_64", Gaps(x86, []Span{span}, nil, nil, nil), garbage+"|length 4096")
	heard(t, "s390x", Gaps(s390, []Span{span}, nil, nil, nil))
}

func TestGapsExcuses(t *testing.T) {
	text, _ := TextOf("x86_64")
	span, images := scene(text)
	before := map[uint64]Span{at: {at, bytes.Clone(span.Bytes)}}
	copy(before[at].Bytes[0x100:], "module")
	copy(span.Bytes[0x100:], "module")
	copy(span.Bytes[0x140:], "dispatcher")
	other := []Range{{at + 0x140, at + 0x180}}
	heard(t, "both", Gaps(text, []Span{span}, images, other, before))
	heard(t, "not there before", Gaps(text, []Span{span}, images, other, nil), garbage+"|0xffffffffa0000100")
	heard(t, "not another's", Gaps(text, []Span{span}, images, nil, before), garbage+"|0xffffffffa0000140")
	// Right before a header, without an illegal instruction in between.
	side := Span{at, bytes.Clone(span.Bytes)}
	copy(side.Bytes[0x70:], "a trampoline....")
	heard(t, "beside a header", Gaps(text, []Span{side}, images, append(other, Range{at + 0x70, at + 0x80}), before))
	// Areas are one finding, however many they are.
	far := Span{at + 0x10000, []byte("old code")}
	two := Gaps(text, []Span{span, far}, images, nil, nil)
	heard(t, "two areas", two, garbage+"|0xffffffffa0010000: length 8")
	if two[0].Cases != 3 {
		t.Errorf("%d cases in two areas", two[0].Cases)
	}
	span.Bytes[0x101] = 'O'
	heard(t, "changed since", Gaps(text, []Span{span}, images, other, before), garbage+"|0xffffffffa0000100")
}

func FuzzGaps(f *testing.F) {
	text, _ := TextOf("x86_64")
	span, _ := scene(text)
	f.Add(span.Bytes, uint16(0x10), uint16(0x40), uint16(0xa0), uint16(0xc0), false)
	f.Add(span.Bytes, uint16(0x10), uint16(0xb0), uint16(0xa0), uint16(0xc0), true)
	f.Fuzz(func(t *testing.T, b []byte, a1, a2, b1, b2 uint16, big bool) {
		arch := "x86_64"
		if big {
			arch = "s390x"
		}
		text, _ := TextOf(arch)
		if a2 < a1 || b1 < a1 || b2 < b1 {
			return
		}
		span := Span{at, b}
		list := Gaps(text, []Span{span}, images(at+uint64(a1), at+uint64(a2), at+uint64(b1), at+uint64(b2)), nil, nil)
		if len(bytes.Trim(b, "\x00")) == 0 && big && len(list) > 0 {
			t.Errorf("nothing but illegal instructions: %v", list)
		}
		Gaps(text, []Span{span}, nil, nil, map[uint64]Span{at: span})
	})
}
