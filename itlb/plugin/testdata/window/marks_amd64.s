// SPDX-License-Identifier: GPL-2.0-or-later

#include "go_asm.h"
#include "textflag.h"

TEXT ·markBegin(SB), NOSPLIT, $0-0
	LONG $0x00841f0f
	LONG $const_begin
	RET

TEXT ·markLap(SB), NOSPLIT, $0-0
	LONG $0x00841f0f
	LONG $const_lap
	RET

TEXT ·markEnd(SB), NOSPLIT, $0-0
	LONG $0x00841f0f
	LONG $const_end
	RET
