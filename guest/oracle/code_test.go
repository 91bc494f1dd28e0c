// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"testing"

	"packtest/guest/bpf"
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

func TestSynchronised(t *testing.T) {
	heard(t, "none", Synchronised(nil))
	heard(t, "every time", Synchronised([]Beside{{"a", 1}, {"b", 7}}))
	heard(t, "but once", Synchronised([]Beside{{"a", 1}, {"b", 0}, {"c", 2}}), "was not told|cases: 1\nload 2 of 3, program b")
	for arch, want := range map[string]bool{"x86_64": false, "s390x": true} {
		if got := SynchronisationNeeded(arch); got != want {
			t.Errorf("%s: %v", arch, got)
		}
	}
}

func TestLined(t *testing.T) {
	two := program(7, bpf.Function{Address: 0x1000, Bytes: 64}, bpf.Function{Address: 0x3000, Bytes: 32})
	heard(t, "well", Lined(two, []uint64{0x1000, 0x1030, 0x3000, 0x301f}))
	heard(t, "not from the beginning", Lined(two, []uint64{0x1004, 0x1030, 0x3000, 0x301f}), "source lines|function 0 at 0x1000, of 64 bytes: line 1 at 0x1004")
	heard(t, "behind the end", Lined(two, []uint64{0x1000, 0x1030, 0x3000, 0x3020}), "source lines|function 1 at 0x3000, of 32 bytes: line 2 at 0x3020")
	heard(t, "in a buffer", Lined(two, []uint64{0x9000, 0x9030, 0x9100, 0x9110}), "source lines|cases: 4")
	heard(t, "two in one place", Lined(two, []uint64{0x1000, 0x1000, 0x3000, 0x3001}), "source lines|cases: 1")
	heard(t, "none", Lined(two, nil), "source lines|2 functions, 0 lines")
	heard(t, "too few", Lined(two, []uint64{0x1000, 0x1001, 0x3000}), "source lines|2 functions, 3 lines")
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

func TestCoded(t *testing.T) {
	x86, err := TextOf("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	s390, err := TextOf("s390x")
	if err != nil {
		t.Fatal(err)
	}
	symbols := []probe.Symbol{{Address: 0x1000, Name: "bpf_prog_a", Module: "bpf"}, {Address: 0x2000, Name: "bpf_dispatcher_xdp", Module: "bpf"}}
	code := map[uint64][]byte{0x1000: {0xcc, 0xcc, 0x55, 0xcc}, 0x2000: {0x48, 0x81}}
	heard(t, "code", Coded(x86, symbols, code))
	code[0x2000] = []byte{0xcc, 0xcc, 0xcc, 0xcc}
	heard(t, "none any more", Coded(x86, symbols, code), "no code|bpf_dispatcher_xdp at 0x2000, where there are illegal instructions")
	delete(code, 0x2000)
	heard(t, "nothing any more", Coded(x86, symbols, code), "no code|bpf_dispatcher_xdp at 0x2000, where nothing is mapped")
	heard(t, "nothing any more", Coded(s390, symbols, code), "no code|where nothing is mapped")
	code[0x2000] = make([]byte, 8)
	heard(t, "not written yet", Coded(s390, symbols, code))
	heard(t, "zeros, which are instructions", Coded(x86, symbols, code))
}
