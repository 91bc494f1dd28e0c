/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "out.h"
#include "window.h"

#define CHUNK_BYTES 65536
#define EVENT_BYTES 20 /* more than two varints take */

/* The numbers of events other than fetches, as docs/trace.md has them. */
enum { CODE_LAP = 0 };

struct vcpu {
	uint8_t chunk[CHUNK_BYTES];
	size_t used;
	uint64_t last_page; /* of the last fetch in the window; pages are written as differences */
	struct totals totals;
	struct run *run; /* in the scoreboard, while the state is INSIDE */
};

static const struct qemu_api *api;
static struct vcpu *vcpus;
static unsigned int max_vcpus, n_vcpus;
static struct run *own_runs; /* version 1 has no scoreboards */
static struct qemu_plugin_scoreboard *runs;
static void (*retranslate)(void);

static _Atomic enum state state;
static uint32_t number;	    /* of the window, from 1 */
static unsigned int ender;  /* the vCPU whose end mark made the state CLOSING */
static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;

void window_init(const struct qemu_api *a, unsigned int count, void (*cb)(void))
{
	api = a;
	max_vcpus = count;
	retranslate = cb;
	vcpus = calloc(count, sizeof(*vcpus));
	own_runs = calloc(count, sizeof(*own_runs));
	if (!vcpus || !own_runs)
		abort();
	if (api->version > 1)
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

static void put_varint(struct vcpu *v, uint64_t x)
{
	for (; x >= 0x80; x >>= 7)
		v->chunk[v->used++] = (uint8_t)(x | 0x80);
	v->chunk[v->used++] = (uint8_t)x;
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
	put_varint(v, ((uint64_t)step << 1 ^ (uint64_t)(step >> 63)) << 1);
	put_varint(v, instructions);
	v->last_page = page;
	v->totals.fetches++;
	v->totals.instructions += instructions;
}

static void put_code(unsigned int i, unsigned int code)
{
	struct vcpu *v = &vcpus[i];

	if (v->used > CHUNK_BYTES - EVENT_BYTES)
		write_chunk(i);
	put_varint(v, (uint64_t)code << 1 | 1);
}

/* Ends the run of a vCPU, of which rest instructions are yet to come. */
static void end_run(unsigned int vcpu, uint64_t rest)
{
	struct run *r = run_of(vcpu);

	if (r->page != NO_PAGE)
		put_fetch(vcpu, r->page, r->instructions - rest);
	r->instructions = rest;
	if (!rest)
		r->page = NO_PAGE;
}

static __attribute__((noinline)) void go_to(unsigned int vcpu, struct run *r, uint64_t page)
{
	if (r->page != NO_PAGE && recording(vcpu))
		put_fetch(vcpu, r->page, r->instructions);
	r->page = page;
	r->instructions = 0;
}

/* Version 1: every block calls. */
void window_block(unsigned int vcpu, void *u)
{
	struct run *r = &own_runs[vcpu];
	uint64_t page = packed_high(u);

	if (__builtin_expect(r->page != page, 0))
		go_to(vcpu, r, page);
	r->instructions += packed_low(u);
}

/* Version 4: a block calls if it isn't on the run's page, and counts by itself. */
void window_page(unsigned int vcpu, void *u)
{
	go_to(vcpu, vcpus[vcpu].run, packed_high(u));
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
	for (unsigned int i = 0; i < n_vcpus; i++) {
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
