# SPDX-License-Identifier: GPL-2.0-or-later
#
# What goes before a bare-metal program for QEMU's -kernel: on to "program", at
# 0x200000. "finish" waits, disabled, with the address that QEMU takes for a
# shutdown.

	.macro mark number
	.byte 0xc0, 0x04
	.long \number
	.endm

# The words that programs for both architectures are written in; each is one
# instruction.

	.macro goto label
	jg \label
	.endm
	.macro rounds number		# sets the counter
	lgfi %r2, \number
	.endm
	.macro next_round
	aghi %r2, -1
	.endm
	.macro goto_if_done label
	jgz \label
	.endm
	.macro idle
	nopr %r0
	.endm
	.macro long			# 6 bytes
	lgfi %r3, 1
	.endm

	.text
	.globl _start
_start:	jg program
finish:	larl %r1, wait
	lpswe 0(%r1)
	.balign 8
wait:	.quad 0x0002000180000000, 0xfff

	.org 0x100000
program:
