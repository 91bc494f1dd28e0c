// SPDX-License-Identifier: GPL-2.0-or-later

#include "go_asm.h"
#include "textflag.h"

// A NOPL whose 32-bit displacement is the number.
#define MARK(number) \
	LONG $0x00841f0f; \
	LONG $number; \
	RET

TEXT ·markBegin(SB), NOSPLIT, $0-0
	MARK(const_numberBegin)

TEXT ·markLap(SB), NOSPLIT, $0-0
	MARK(const_numberLap)

TEXT ·markEnd(SB), NOSPLIT, $0-0
	MARK(const_numberEnd)
