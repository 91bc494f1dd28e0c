// SPDX-License-Identifier: GPL-2.0-or-later

#include "go_asm.h"
#include "textflag.h"

#define MARK(number) \
	BYTE $0xc0; \
	BYTE $0x04; \
	BYTE $(number >> 24); \
	BYTE $((number >> 16) & 0xff); \
	BYTE $((number >> 8) & 0xff); \
	BYTE $(number & 0xff); \
	RET

TEXT ·markBegin(SB), NOSPLIT|NOFRAME, $0-0
	MARK(const_begin)

TEXT ·markLap(SB), NOSPLIT|NOFRAME, $0-0
	MARK(const_lap)

TEXT ·markEnd(SB), NOSPLIT|NOFRAME, $0-0
	MARK(const_end)
