/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "insn.h"

static struct insn mark(uint32_t magic)
{
	switch (magic) {
	case MAGIC_BEGIN:
		return (struct insn){ .what = MARK_BEGIN };
	case MAGIC_LAP:
		return (struct insn){ .what = MARK_LAP };
	case MAGIC_END:
		return (struct insn){ .what = MARK_END };
	}
	return (struct insn){ .what = NOTHING };
}

static bool is_legacy_prefix(uint8_t b)
{
	switch (b) {
	case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3:
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
		return true;
	}
	return false;
}

/*
 * Intel 64 Architectures SDM, volume 2 for the encodings, volume 3 section
 * "Invalidation of TLBs and Paging-Structure Caches" for the list. A write to
 * cr0 is left out: it flushes only when it turns paging off.
 */
struct insn decode_x86_64(const uint8_t *b, size_t size)
{
	const struct insn none = { .what = NOTHING };
	bool operand16 = false;
	uint8_t rex = 0;
	size_t i = 0;

	if (size == 8 && b[0] == 0x0f && b[1] == 0x1f && b[2] == 0x84 && b[3] == 0x00)
		return mark((uint32_t)b[4] | (uint32_t)b[5] << 8 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 24);

	for (; i < size && is_legacy_prefix(b[i]); i++)
		operand16 |= b[i] == 0x66;
	/* In 32-bit code 40 to 4F are instructions of one byte, never a prefix. */
	if (i + 1 < size && (b[i] & 0xf0) == 0x40)
		rex = b[i++];
	if (i + 2 >= size || b[i] != 0x0f)
		return none;

	unsigned int modrm = b[i + 2], field = modrm >> 3 & 7;
	switch (b[i + 1]) {
	case 0x22: /* mov to a control register; the "mod" bits are ignored */
		if (rex & 4)
			return none;
		if (field == 3)
			return (struct insn){ FLUSH_CR3, (modrm & 7) | (rex & 1) << 3 };
		if (field == 4)
			return (struct insn){ FLUSH_CR4, (modrm & 7) | (rex & 1) << 3 };
		return none;
	case 0x01: /* invlpg */
		if (field == 7 && modrm >> 6 != 3)
			return (struct insn){ .what = FLUSH_PAGE };
		return none;
	case 0x38: /* invpcid */
		if (operand16 && modrm == 0x82 && i + 3 < size)
			return (struct insn){ FLUSH_INVPCID, (b[i + 3] >> 3 & 7) | (rex & 4) << 1 };
		return none;
	}
	return none;
}

/* Intel 64 Architectures SDM, volume 2: "REP/REPE/REPZ/REPNE/REPNZ". */
bool repeats(const uint8_t *b, size_t size)
{
	bool rep = false;
	size_t i = 0;

	for (; i < size && is_legacy_prefix(b[i]); i++)
		rep |= b[i] == 0xf2 || b[i] == 0xf3;
	if (i + 1 < size && (b[i] & 0xf0) == 0x40)
		i++;
	if (!rep || i + 1 != size)
		return false;
	return (b[i] >= 0x6c && b[i] <= 0x6f) || (b[i] >= 0xa4 && b[i] <= 0xa7) || (b[i] >= 0xaa && b[i] <= 0xaf);
}

/* Whether the wrapping range of control registers holds an address space. */
static bool loads_asce(unsigned int first, unsigned int last)
{
	for (unsigned int r = first;; r = (r + 1) % 16) {
		if (r == 1 || r == 7 || r == 13)
			return true;
		if (r == last)
			return false;
	}
}

/* z/Architecture Principles of Operation, "Control Instructions". */
struct insn decode_s390x(const uint8_t *b, size_t size)
{
	const struct insn none = { .what = NOTHING }, other = { .what = FLUSH_OTHER }, space = { .what = FLUSH_SPACE };

	if (size == 6 && b[0] == 0xc0 && b[1] == 0x04)
		return mark((uint32_t)b[2] << 24 | (uint32_t)b[3] << 16 | (uint32_t)b[4] << 8 | (uint32_t)b[5]);
	if (size == 6 && b[0] == 0xeb && b[5] == 0x2f) /* lctlg */
		return loads_asce(b[1] >> 4, b[1] & 15) ? space : none;
	if (size != 4)
		return none;
	if (b[0] == 0xb7) /* lctl */
		return loads_asce(b[1] >> 4, b[1] & 15) ? space : none;
	switch (b[0] << 8 | b[1]) {
	case 0xb20d: /* ptlb */
		return (struct insn){ .what = FLUSH_ALL };
	case 0xb221: /* ipte; without its third register it is of one page */
		if (b[2] >> 4 == 0)
			return (struct insn){ .what = FLUSH_PAGE };
		return (struct insn){ FLUSH_IPTE, b[2] >> 4 };
	case 0xb250: /* csp */
	case 0xb98a: /* cspg */
	case 0xb98e: /* idte */
	case 0xb98f: /* crdte */
		return other;
	}
	return none;
}
