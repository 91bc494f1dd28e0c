/* SPDX-License-Identifier: GPL-2.0-or-later */

/* insn: which instructions a trace cares about. */
#ifndef INSN_H
#define INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSN_BYTES 16 /* no instruction of either architecture is longer */

/*
 * The numbers that the guest's marks carry; package itlb/trace has the same.
 * They are a contract with guests: never change one.
 */
#define MAGIC_BEGIN 0x70746231u
#define MAGIC_LAP 0x70746c31u
#define MAGIC_END 0x70746531u

enum what {
	NOTHING,
	MARK_BEGIN,
	MARK_LAP,
	MARK_END,
	FLUSH_ALL,     /* by its opcode */
	FLUSH_PAGE,    /* by its opcode */
	FLUSH_CR3,     /* x86_64: mov cr3 from .reg */
	FLUSH_CR4,     /* x86_64: mov cr4 from .reg */
	FLUSH_INVPCID, /* x86_64: its type is in .reg */
	FLUSH_IPTE,    /* s390x: as many pages more than one as .reg says */
	FLUSH_OTHER,   /* what it drops depends on more than registers */
	FLUSH_SPACE,   /* s390x: another address space; it drops nothing */
};

struct insn {
	enum what what;
	unsigned int reg; /* number of the general register that decides */
};

typedef struct insn (*decoder)(const uint8_t *bytes, size_t size);

struct insn decode_x86_64(const uint8_t *bytes, size_t size);
struct insn decode_s390x(const uint8_t *bytes, size_t size);
/* Whether it is an x86_64 string instruction that a prefix repeats. */
bool repeats(const uint8_t *bytes, size_t size);

#endif
