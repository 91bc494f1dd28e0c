// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import "testing"

func TestDispatched(t *testing.T) {
	// Two comparisons with what is in a register, as the kernel writes them.
	code := Span{0xffffffffa0002800, []byte{
		0x48, 0x81, 0xfa, 0x48, 0x10, 0x00, 0xa0, 0x0f, 0x84, 0x3f, 0xe8, 0xff, 0xff,
		0x48, 0x81, 0xfa, 0x88, 0x10, 0x00, 0xa0, 0x0f, 0x84, 0x72, 0xe8, 0xff, 0xff}}
	one, two, three := uint64(0xffffffffa0001048), uint64(0xffffffffa0001088), uint64(0xffffffffa00010c8)
	heard(t, "none", Dispatched(code, nil))
	heard(t, "both", Dispatched(code, []uint64{one, two}))
	heard(t, "one more", Dispatched(code, []uint64{one, three, two}), "not called through the dispatcher|cases: 1\nthe program at 0xffffffffa00010c8 is unknown to the code at 0xffffffffa0002800")
	heard(t, "nothing there", Dispatched(Span{Start: 0x1000}, []uint64{one, two}), "not called through|cases: 2")
}
