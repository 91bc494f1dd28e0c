/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * out: the trace file, as docs/trace.md describes it. It is written beside its
 * place and moved there when it is whole. Not safe against concurrent calls.
 */
#ifndef OUT_H
#define OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct totals {
	uint64_t fetches, flushes, laps, instructions;
};

/* Opens path.part and removes a stale path. On failure says why and returns false. */
bool out_open(const char *path, const char *arch, int interface, int vcpus, const char *tag, const char *build);
void out_window_begin(uint32_t number, unsigned int vcpu);
void out_events(unsigned int vcpu, const uint8_t *bytes, size_t len);
void out_window_end(uint32_t number, const struct totals *);
/* What makes the whole file invalid, for its reader. */
void out_failure(const char *text);
/* Ends the file and moves it to its place, unless a write failed. */
void out_close(uint32_t windows);

#endif
