/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <endian.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "window.h"

#define CHUNK_BYTES 65536
#define EVENT_BYTES 24 /* more than two varints take, and what is written too much */
#define LOG_ENTRIES 512 /* a quarter of the nearest cache, which the guest wants, too */

/* The numbers of events other than fetches, as docs/trace.md has them. */
enum { CODE_LAP = 0 };

/*
 * What callbacks leave for later: to encode an event takes many times as long
 * as to note it, and is faster for many at once.
 */
union note {
	void *block;	/* where every block calls: one that was entered */
	struct run run; /* where pages do: a run that ended */
};

struct vcpu {
	union note *next, *full; /* in log */
	struct run *run; /* run_of(), while the state is INSIDE */
	union note log[LOG_ENTRIES];
	uint8_t chunk[CHUNK_BYTES];
	size_t used;
	uint64_t last_page; /* of the last fetch in the window; pages are written as differences */
	struct totals totals;
};

static const struct qemu_api *api;
static struct vcpu *vcpus;
static unsigned int max_vcpus, n_vcpus;
static struct run *own_runs; /* where every block calls */
static struct qemu_plugin_scoreboard *runs; /* where pages do */
static uint64_t repeated; /* how often, and times the number of which page */
static uint64_t repeated_pages[REPEATED_PAGES];
static unsigned int n_repeated_pages;
static void (*retranslate)(void);

static _Atomic enum state state;
static uint32_t number;	    /* of the window, from 1 */
static unsigned int ender;  /* the vCPU whose end mark made the state CLOSING */
static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;

void window_init(const struct qemu_api *a, unsigned int count, bool conditional, void (*cb)(void))
{
	api = a;
	max_vcpus = count;
	retranslate = cb;
	vcpus = calloc(count, sizeof(*vcpus));
	own_runs = calloc(count, sizeof(*own_runs));
	if (!vcpus || !own_runs)
		abort();
	for (unsigned int i = 0; i < count; i++) {
		vcpus[i].next = vcpus[i].log;
		vcpus[i].full = vcpus[i].log + LOG_ENTRIES;
	}
	if (conditional)
		runs = api->scoreboard_new(sizeof(struct run));
}

struct qemu_plugin_scoreboard *window_runs(void)
{
	return runs;
}

static struct run *run_of(unsigned int vcpu)
{
	return runs ? api->scoreboard_find(runs, vcpu) : &own_runs[vcpu];
}

static bool recording(unsigned int vcpu)
{
	enum state s = atomic_load_explicit(&state, memory_order_relaxed);

	return s == OPENING || s == INSIDE || (s == CLOSING && vcpu != ender);
}

void window_fail(const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	pthread_mutex_lock(&file_lock);
	if (atomic_exchange(&state, BROKEN) != BROKEN) {
		fprintf(stderr, "itlb plugin: %s\n", text);
		out_failure(text);
	}
	pthread_mutex_unlock(&file_lock);
}

void window_vcpu(unsigned int vcpu)
{
	if (vcpu >= max_vcpus) {
		window_fail("vCPU %u of a machine that said it has %u", vcpu, max_vcpus);
		return;
	}
	if (recording(vcpu)) {
		window_fail("window %u: a vCPU came within it", number);
		return;
	}
	run_of(vcpu)->page = NO_PAGE;
	pthread_mutex_lock(&file_lock);
	if (vcpu >= n_vcpus)
		n_vcpus = vcpu + 1;
	pthread_mutex_unlock(&file_lock);
}

static void write_chunk(unsigned int i)
{
	struct vcpu *v = &vcpus[i];

	pthread_mutex_lock(&file_lock);
	if (v->used && atomic_load(&state) != BROKEN)
		out_events(i, v->chunk, v->used);
	pthread_mutex_unlock(&file_lock);
	v->used = 0;
}

/*
 * Writes seven bits a byte. Numbers of up to eight bytes come without a branch:
 * how long the next one is can't be predicted.
 */
static uint8_t *put_varint(uint8_t *to, uint64_t x)
{
	if (__builtin_expect(x < 0x80, 1)) {
		*to = (uint8_t)x;
		return to + 1;
	}
	for (; x >> 56; x >>= 7)
		*to++ = (uint8_t)(x | 0x80);
	unsigned int bytes = (unsigned int)(70 - __builtin_clzll(x | 1)) / 7;

	x = (x & 0x0fffffff) | (x & 0x0fffffffull << 28) << 4;
	x = (x & 0x00003fff00003fff) | (x & 0x0fffc0000fffc000) << 2;
	x = (x & 0x007f007f007f007f) | (x & 0x3f803f803f803f80) << 1;
	x |= 0x8080808080808080 >> (8 * (8 - bytes)) >> 8;
	x = htole64(x);
	memcpy(to, &x, 8);
	return to + bytes;
}

static void put_fetch(unsigned int i, uint64_t page, uint64_t instructions)
{
	struct vcpu *v = &vcpus[i];
	int64_t step = (int64_t)(page - v->last_page);

	if (instructions > UINT32_MAX) {
		window_fail("window %u: more than 2^32 instructions in a row on page %#llx", number,
			    (unsigned long long)page << PAGE_SHIFT);
		return;
	}
	if (v->used > CHUNK_BYTES - EVENT_BYTES)
		write_chunk(i);
	uint8_t *end = put_varint(v->chunk + v->used, ((uint64_t)step << 1 ^ (uint64_t)(step >> 63)) << 1);
	v->used = (size_t)(put_varint(end, instructions) - v->chunk);
	v->last_page = page;
	v->totals.fetches++;
	v->totals.instructions += instructions;
}

static void put_code(unsigned int i, unsigned int code)
{
	struct vcpu *v = &vcpus[i];

	if (v->used > CHUNK_BYTES - EVENT_BYTES)
		write_chunk(i);
	v->chunk[v->used++] = (uint8_t)(code << 1 | 1);
}

/* Every block calls: one was entered. */
static void continue_run(unsigned int vcpu, uint64_t page, uint64_t instructions)
{
	struct run *r = &own_runs[vcpu];

	if (r->page != page) {
		if (r->page != NO_PAGE)
			put_fetch(vcpu, r->page, r->instructions);
		*r = (struct run){ page, 0 };
	}
	r->instructions += instructions;
}

/* Takes up what callbacks noted, unless it came after the end mark. */
static __attribute__((noinline)) void drain(unsigned int vcpu)
{
	struct vcpu *v = &vcpus[vcpu];
	const union note *end = v->next;

	v->next = v->log;
	if (!recording(vcpu))
		return;
	for (const union note *n = v->log; n < end; n++) {
		if (!runs)
			continue_run(vcpu, packed_high(n->block), packed_low(n->block));
		else
			put_fetch(vcpu, n->run.page, n->run.instructions);
	}
}

static void drain_full(unsigned int vcpu)
{
	if (__builtin_expect(vcpus[vcpu].next == vcpus[vcpu].full, 0))
		drain(vcpu);
}

uint64_t *window_repeated(uint64_t page, uint64_t *add)
{
	unsigned int i = 0;

	if (max_vcpus > 1)
		return NULL;
	while (i < n_repeated_pages && repeated_pages[i] != page)
		i++;
	if (i == REPEATED_PAGES)
		return NULL;
	repeated_pages[i] = page;
	if (i == n_repeated_pages)
		n_repeated_pages++;
	*add = (uint64_t)i << REPEATED_BITS | 1;
	return &repeated;
}

/* Takes up what repeated itself since the last call. */
static __attribute__((noinline)) void drain_repeated(unsigned int vcpu)
{
	uint64_t times = repeated & ((1u << REPEATED_BITS) - 1), which = repeated >> REPEATED_BITS;

	repeated = 0;
	drain(vcpu);
	if (!recording(vcpu))
		return;
	if (!times || which % times || which / times >= n_repeated_pages) {
		window_fail("window %u: string instructions repeated themselves on more than one page, or 2^%d times",
			    number, REPEATED_BITS);
		return;
	}
	continue_run(vcpu, repeated_pages[which / times], times);
}

/* Every block calls. */
void window_block(unsigned int vcpu, void *u)
{
	if (__builtin_expect(repeated, 0))
		drain_repeated(vcpu);
	(vcpus[vcpu].next++)->block = u;
	drain_full(vcpu);
}

/* Pages call: a block does if it isn't on the run's page, and counts by itself. */
void window_page(unsigned int vcpu, void *u)
{
	struct vcpu *v = &vcpus[vcpu];
	struct run *r = v->run;

	v->next->run = *r;
	v->next += r->page != NO_PAGE;
	*r = (struct run){ packed_high(u), 0 };
	drain_full(vcpu);
}

/* Ends the run of a vCPU, of which rest instructions are yet to come. */
static void end_run(unsigned int vcpu, uint64_t rest)
{
	struct run *r = run_of(vcpu);

	if (repeated)
		drain_repeated(vcpu);
	drain(vcpu);
	if (r->page != NO_PAGE)
		put_fetch(vcpu, r->page, r->instructions - rest);
	r->instructions = rest;
	if (!rest)
		r->page = NO_PAGE;
}


void window_begin(unsigned int vcpu, void *u)
{
	struct run *r = run_of(vcpu);

	switch (atomic_load(&state)) {
	case OUTSIDE:
		break;
	case CLOSING:
		window_fail("window %u: a begin mark in the block of an end mark", number + 1);
		return;
	case OPENING:
	case INSIDE:
		window_fail("window %u: a begin mark before its end mark", number);
		return;
	case BROKEN:
		return;
	}
	if (number == UINT32_MAX) {
		window_fail("more than 2^32 windows");
		return;
	}
	number++;
	repeated = 0;
	for (unsigned int i = 0; i < n_vcpus; i++) {
		vcpus[i].next = vcpus[i].log;
		vcpus[i].used = 0;
		vcpus[i].last_page = 0;
		vcpus[i].totals = (struct totals){ 0 };
		run_of(i)->page = NO_PAGE;
	}
	pthread_mutex_lock(&file_lock);
	out_window_begin(number, vcpu);
	pthread_mutex_unlock(&file_lock);
	/* The block of the mark doesn't call; what it still executes is the first run. */
	r->instructions = packed_low(u);
	r->page = r->instructions ? packed_high(u) : NO_PAGE;
	atomic_store(&state, OPENING);
	retranslate();
}

void window_lap(unsigned int vcpu, void *rest)
{
	switch (atomic_load(&state)) {
	case OPENING:
	case INSIDE:
		break;
	case OUTSIDE:
	case CLOSING:
		window_fail("a lap mark outside of a window, after window %u", number);
		return;
	case BROKEN:
		return;
	}
	end_run(vcpu, packed_low(rest));
	put_code(vcpu, CODE_LAP);
	vcpus[vcpu].totals.laps++;
}

void window_flush(unsigned int vcpu, unsigned int kind, unsigned int count, uint64_t rest)
{
	if (!recording(vcpu) || count == 0)
		return;
	end_run(vcpu, rest);
	vcpus[vcpu].totals.flushes += count;
	while (count--)
		put_code(vcpu, kind);
}

void window_end(unsigned int vcpu, void *rest)
{
	switch (atomic_load(&state)) {
	case INSIDE:
		break;
	case OPENING:
		window_fail("window %u: no block was seen before its end mark", number);
		return;
	case OUTSIDE:
	case CLOSING:
		window_fail("an end mark outside of a window, after window %u", number);
		return;
	case BROKEN:
		return;
	}
	end_run(vcpu, packed_low(rest));
	ender = vcpu;
	atomic_store(&state, CLOSING);
	retranslate();
}

static void finish(void)
{
	struct totals sum = { 0 };

	for (unsigned int i = 0; i < n_vcpus; i++) {
		struct totals *t = &vcpus[i].totals;

		if (i != ender)
			end_run(i, 0);
		write_chunk(i);
		sum.fetches += t->fetches;
		sum.flushes += t->flushes;
		sum.laps += t->laps;
		sum.instructions += t->instructions;
	}
	pthread_mutex_lock(&file_lock);
	if (atomic_load(&state) != BROKEN)
		out_window_end(number, &sum);
	pthread_mutex_unlock(&file_lock);
}

enum state window_settle(void)
{
	switch (atomic_load(&state)) {
	case OPENING:
		for (unsigned int i = 0; i < n_vcpus; i++)
			vcpus[i].run = run_of(i);
		atomic_store(&state, INSIDE);
		break;
	case CLOSING:
		finish();
		if (atomic_load(&state) != BROKEN)
			atomic_store(&state, OUTSIDE);
		break;
	default:
		break;
	}
	return atomic_load(&state);
}

void window_exit(void)
{
	if (atomic_load(&state) != OUTSIDE)
		window_fail("window %u: no end mark before QEMU ended", number);
	pthread_mutex_lock(&file_lock);
	out_close(number);
	pthread_mutex_unlock(&file_lock);
}
