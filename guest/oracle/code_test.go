// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"testing"

	"packtest/guest/probe"
)

func TestUnchanged(t *testing.T) {
	before := map[Function]Span{{1, 0}: {0x1000, []byte("main code")}, {1, 1}: {0x1100, []byte("sub")}, {2, 0}: {0x1200, []byte("gone")}}
	now := map[Function]Span{{1, 0}: {0x1000, []byte("main code")}, {1, 1}: {0x1100, []byte("sub")}, {3, 0}: {0x1300, []byte("new")}}
	heard(t, "unchanged", Unchanged(before, now))
	now[Function{1, 0}] = Span{0x1000, []byte("main cOde")}
	heard(t, "a byte", Unchanged(before, now), "not what it was|program 1, function 0: at 0x1006, 6 bytes in: 6f 64 65, and 4f 64 65")
	now[Function{1, 0}] = Span{0x2000, []byte("main code")}
	heard(t, "moved", Unchanged(before, now), "not what it was|was 9 bytes at 0x1000, is 9 at 0x2000")
}

func TestNamed(t *testing.T) {
	list := images(0x1000, 0x1010, 0x2000, 0x2010)
	symbols := []probe.Symbol{{Address: 0x1000, Name: "bpf_prog_a", Module: "bpf"}, {Address: 0x2000, Name: "bpf_prog_b", Module: "bpf"},
		{Address: 0x9000, Name: "bpf_prog_free"}}
	heard(t, "all", Named(list, symbols))
	heard(t, "one missing", Named(list, symbols[:1]), "no symbol|program 2 (xdp) 0x2000-0x2010")
	heard(t, "one stale", Named(list[:1], symbols), "where none are|bpf_prog_b at 0x2000")
	symbols[0].Address++
	heard(t, "one beside it", Named(list, symbols), "no symbol", "where none are|0x1001")
	heard(t, "one that is the kernel's own", Named(list, []probe.Symbol{symbols[1], {Address: 0x1000, Name: "bpf_prog_a"}}), "no symbol")
}
