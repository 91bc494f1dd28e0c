/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "out.h"

static FILE *file;
static char *path, *part;
static int failed; /* the errno of the first write that failed */
static uint32_t crc, crc_table[8][256]; /* [k]: a byte with k bytes behind it */

/* CRC-32 as in IEEE 802.3, reflected: polynomial 0xEDB88320. */
static void crc_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
		crc_table[0][i] = c;
	}
	for (int k = 1; k < 8; k++)
		for (int i = 0; i < 256; i++)
			crc_table[k][i] = crc_table[k - 1][i] >> 8 ^ crc_table[0][crc_table[k - 1][i] & 0xff];
}

/* Eight bytes at a time: byte by byte, this was the dearest part of an event. */
static uint32_t crc_update(uint32_t c, const uint8_t *b, size_t len)
{
	for (; len >= 8; b += 8, len -= 8) {
		c ^= (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
		c = crc_table[7][c & 0xff] ^ crc_table[6][c >> 8 & 0xff] ^ crc_table[5][c >> 16 & 0xff] ^
		    crc_table[4][c >> 24] ^ crc_table[3][b[4]] ^ crc_table[2][b[5]] ^ crc_table[1][b[6]] ^
		    crc_table[0][b[7]];
	}
	for (; len; b++, len--)
		c = c >> 8 ^ crc_table[0][(c ^ *b) & 0xff];
	return c;
}

static void put(const void *bytes, size_t len)
{
	if (failed)
		return;
	crc = ~crc_update(~crc, bytes, len);
	errno = 0;
	if (fwrite(bytes, 1, len, file) != len)
		failed = errno ? errno : EIO;
}

static void put_u(uint64_t v, int bytes)
{
	uint8_t b[8];

	for (int i = 0; i < bytes; i++)
		b[i] = (uint8_t)(v >> 8 * i);
	put(b, bytes);
}

static void put_text(const char *s)
{
	size_t len = strlen(s);

	if (len > UINT16_MAX)
		len = UINT16_MAX;
	put_u(len, 2);
	put(s, len);
}

/* A section ends with the checksum of its bytes. */
static void end_section(void)
{
	put_u(crc, 4);
	crc = 0;
}

static void complain(const char *what, const char *name, int err)
{
	fprintf(stderr, "itlb plugin: %s %s: %s; there will be no trace\n", what, name, strerror(err));
}

bool out_open(const char *to, const char *arch, int interface, int vcpus, const char *tag, const char *build)
{
	path = strdup(to);
	if (!path || asprintf(&part, "%s.part", to) < 0)
		abort();
	if (unlink(path) && errno != ENOENT) {
		complain("remove the old", path, errno);
		return false;
	}
	file = fopen(part, "wb");
	if (!file) {
		complain("create", part, errno);
		return false;
	}
	crc_init();
	put("packtrc\n", 8);
	put_u(1, 2); /* version of the format */
	put_u(interface, 2);
	put_u(vcpus, 2);
	put_text(arch);
	put_text(tag);
	put_text(build);
	end_section();
	return true;
}

void out_window_begin(uint32_t number, unsigned int vcpu)
{
	put("W", 1);
	put_u(number, 4);
	put_u(vcpu, 1);
}

void out_events(unsigned int vcpu, const uint8_t *bytes, size_t len)
{
	put("E", 1);
	put_u(vcpu, 1);
	put_u(len, 4);
	put(bytes, len);
}

void out_window_end(uint32_t number, const struct totals *t)
{
	put("F", 1);
	put_u(number, 4);
	put_u(t->fetches, 8);
	put_u(t->flushes, 8);
	put_u(t->laps, 8);
	put_u(t->instructions, 8);
	end_section();
}

void out_failure(const char *text)
{
	put("X", 1);
	put_text(text);
	end_section();
}

void out_close(uint32_t windows)
{
	put("Z", 1);
	put_u(windows, 4);
	end_section();
	if (fclose(file) && !failed)
		failed = errno;
	if (failed) {
		complain("write", part, failed);
		unlink(part);
	} else if (rename(part, path)) {
		complain("rename to", path, errno);
	}
}
