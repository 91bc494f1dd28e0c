// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/wire"
)

// dispatcherCall is the kernel's jump to the XDP dispatcher, or to the function
// that calls a program indirectly: the trampoline of a static call, which is kept
// even where the calls themselves are patched (kernel/static_call_inline.c).
const dispatcherCall = "__SCT__bpf_dispatcher_xdp_call"

// dispatched holds if calls of XDP programs go to a dispatcher that knows all
// programs of list, and returns where they go. A program that is run on and on may
// be out of it for a moment, so this waits for a while.
func (s *shapesAttack) dispatched(ctx context.Context, list ...program) (uint64, error) {
	if err := s.env.findSymbols(); err != nil {
		return 0, err
	}
	if s.env.dispatcher == 0 {
		return 0, lack("this kernel has no static call of the XDP dispatcher")
	}
	var starts []uint64
	for _, p := range list {
		in, err := bpf.ProgramInfo(p.fd)
		if err != nil {
			return 0, err
		}
		starts = append(starts, in.Functions[0].Address)
	}
	var code oracle.Span
	var unknown []wire.Finding
	_, err := s.env.await(ctx, newPatience(crowdWait), "waiting for programs to be in the dispatcher", time.Second, func() (_ progress, err error) {
		if code, err = s.dispatcher(); err != nil {
			return still, err
		}
		if unknown = oracle.Dispatched(code, starts); len(unknown) == 0 || !s.watch.news(unknown) {
			return there, nil
		}
		return still, nil
	})
	if err == nil && len(unknown) > 0 {
		s.watch.report(unknown)
		err = lack("XDP programs are not called through the dispatcher")
	}
	return code.Start, err
}

// dispatcher reads the code that calls of XDP programs go to.
func (s *shapesAttack) dispatcher() (oracle.Span, error) {
	const jump, jumpBytes = 0xe9, 5
	var b [jumpBytes]byte
	if err := s.watch.core.ReadAt(b[:], s.env.dispatcher); err != nil {
		return oracle.Span{}, err
	}
	if b[0] != jump {
		return oracle.Span{}, lack(fmt.Sprintf("%s is no jump: % x", dispatcherCall, b))
	}
	to := int32(binary.LittleEndian.Uint32(b[1:]))
	return s.watch.span(s.env.dispatcher+jumpBytes+uint64(int64(to)), oracle.DispatcherBytes)
}

// dispatcherPage returns where the symbol of the dispatcher's page is, which must be
// there as long as an XDP program is attached.
func (s *shapesAttack) dispatcherPage() (uint64, error) {
	const name = "bpf_dispatcher_xdp"
	symbols, err := s.env.Kernel.Symbols(func(n string) bool { return n == name })
	if err != nil {
		return 0, err
	}
	for _, sym := range symbols {
		if sym.Module == "bpf" {
			return sym.Address, nil
		}
	}
	s.watch.report([]wire.Finding{{Kind: "symbols", Title: "the dispatcher has no symbol in /proc/kallsyms",
		Evidence: "an XDP program is attached, and there is no " + name}})
	return 0, lack("the dispatcher has no symbol")
}
