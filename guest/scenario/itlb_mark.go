// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import "packtest/itlb/trace"

//lint:file-ignore U1000 the assembly takes the numbers from go_asm.h

// The marks that a tracer knows a window by. Each is one instruction that does
// nothing: where nobody traces, a window runs as it would without them.
const (
	numberBegin = trace.MarkBegin
	numberLap   = trace.MarkLap
	numberEnd   = trace.MarkEnd
)

func markBegin()
func markLap()
func markEnd()
