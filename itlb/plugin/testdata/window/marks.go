// SPDX-License-Identifier: GPL-2.0-or-later

package main

import "packtest/itlb/trace"

// The assembler finds these in go_asm.h.
const (
	begin = trace.MarkBegin
	lap   = trace.MarkLap
	end   = trace.MarkEnd
)
