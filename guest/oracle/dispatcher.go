// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"packtest/guest/probe"
	"packtest/guest/wire"
)

// DispatcherBytes is what one version of an XDP dispatcher takes at most: half a
// page, beside that which is written meanwhile (kernel/bpf/dispatcher.c).
const DispatcherBytes = probe.PageBytes / 2

// Dispatched holds if what runs for every XDP program that is attached, code, knows
// all of them, by the addresses that they begin at. On x86_64 a dispatcher compares
// with the lower half of each (emit_bpf_dispatcher() in
// arch/x86/net/bpf_jit_comp.c). One that it doesn't know is called indirectly, and
// gives the same answer.
func Dispatched(code Span, programs []uint64) []wire.Finding {
	var cases []string
	for _, p := range programs {
		if !bytes.Contains(code.Bytes, binary.LittleEndian.AppendUint32(nil, uint32(p))) {
			cases = append(cases, fmt.Sprintf("the program at %#x is unknown to the code at %#x, which calls of XDP programs go to", p, code.Start))
		}
	}
	return finding("dispatcher", "XDP programs are not called through the dispatcher", cases)
}
