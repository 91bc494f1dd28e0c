/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * window: what happens between two marks, one run of instructions on a page
 * after another, for each vCPU. It leaves to itlb.c how the blocks of code are
 * told to call here.
 *
 * A callback of a block gets the page and its instructions packed into the
 * pointer that QEMU hands through: no memory to read, none to free.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "insn.h"
#include "qemu.h"

#define PAGE_SHIFT 12
#define NO_PAGE UINT64_MAX
#define REPEATED_BITS 27
#define REPEATED_PAGES 1024
#define COUNT_BITS 10 /* a block of QEMU's has at most 512 instructions */

struct run {
	uint64_t page; /* virtual address >> PAGE_SHIFT, or NO_PAGE */
	uint64_t instructions;
};

enum state {
	OUTSIDE,
	OPENING, /* a begin mark was executed; blocks don't call yet */
	INSIDE,
	CLOSING, /* an end mark was executed; blocks still call */
	BROKEN,  /* the file holds a failure; nothing more will be traced */
};

static inline void *pack(uint64_t high, uint64_t low)
{
	return (void *)(uintptr_t)(high << COUNT_BITS | low);
}

static inline uint64_t packed_high(const void *p)
{
	return (uintptr_t)p >> COUNT_BITS;
}

static inline uint64_t packed_low(const void *p)
{
	return (uintptr_t)p & ((1u << COUNT_BITS) - 1);
}

/*
 * With conditional (version 4) blocks call window_page, and only from a page other
 * than the run's; else each calls window_block. retranslate is called when blocks
 * shall begin to call, or cease to.
 */
void window_init(const struct qemu_api *, unsigned int max_vcpus, bool conditional, void (*retranslate)(void));
/* A vCPU exists; QEMU tells of each before it executes anything. */
void window_vcpu(unsigned int vcpu);
/*
 * Version 1, one vCPU: where a block that repeats one string instruction on page
 * counts itself, and what it adds there each time; NULL if it must call instead.
 */
uint64_t *window_repeated(uint64_t page, uint64_t *add);
/* The scoreboard that holds the runs; NULL if every block calls. */
struct qemu_plugin_scoreboard *window_runs(void);

/* From instrumented blocks. */
void window_block(unsigned int vcpu, void *page_and_instructions);
void window_page(unsigned int vcpu, void *page_and_instructions);

/* From marks; rest is how many instructions of the block come after it. */
void window_begin(unsigned int vcpu, void *page_and_rest);
void window_lap(unsigned int vcpu, void *rest);
void window_end(unsigned int vcpu, void *rest);
/* Count flushes of one kind, a FlushKind of package itlb/trace. */
void window_flush(unsigned int vcpu, unsigned int kind, unsigned int count, uint64_t rest);

/* While no vCPU executes: what was OPENING is INSIDE, what was CLOSING OUTSIDE. */
enum state window_settle(void);
void window_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* QEMU exits: ends the file. */
void window_exit(void);

#endif
