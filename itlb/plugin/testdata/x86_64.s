# SPDX-License-Identifier: GPL-2.0-or-later
#
# What goes before a bare-metal program for QEMU's -kernel (multiboot): from
# 32-bit mode to 64-bit code on 2M pages that map the first GiB to itself, then
# on to "program", at 0x200000. "finish" ends QEMU through isa-debug-exit.

	.macro mark number
	.byte 0x0f, 0x1f, 0x84, 0x00
	.long \number
	.endm

# The words that programs for both architectures are written in; each is one
# instruction.

	.macro goto label
	jmp \label
	.endm
	.macro rounds number		# sets the counter
	mov $\number, %ecx
	.endm
	.macro next_round
	dec %ecx
	.endm
	.macro goto_if_done label
	jz \label
	.endm
	.macro idle
	nop
	.endm
	.macro long			# 5 bytes
	mov $1, %eax
	.endm

	.text
	.code32
start:	jmp boot
	.balign 4
header:	.long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
	.long header, start, 0, 0, boot

boot:	mov $0x80000, %edi
	xor %eax, %eax
	mov $0xc00, %ecx
	rep stosl
	movl $0x81003, 0x80000
	movl $0x82003, 0x81000
	mov $0x82000, %edi
	mov $0x83, %eax
1:	mov %eax, (%edi)
	add $8, %edi
	add $0x200000, %eax
	cmp $0x40000083, %eax
	jne 1b
	mov $0xa0, %eax
	mov %eax, %cr4
	mov $0x80000, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80000001, %eax
	mov %eax, %cr0
	lgdt gdt_register
	ljmp $8, $long_mode
	.balign 8
gdt:	.quad 0, 0x00209a0000000000, 0x0000920000000000
gdt_register:
	.word 23
	.long gdt

	.code64
long_mode:
	mov $0x90000, %esp
	jmp program
finish:	xor %eax, %eax
	out %al, $0xf4
	jmp .

	.org 0x100000
program:
