/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Says of each instruction, a line of hexadecimal bytes, what insn.c makes of it. */
#include <stdio.h>
#include <string.h>

#include "insn.h"

int main(int argc, char **argv)
{
	decoder decode = argc > 1 && !strcmp(argv[1], "s390x") ? decode_s390x : decode_x86_64;
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		uint8_t bytes[INSN_BYTES];
		unsigned int b;
		size_t n = 0;

		while (n < sizeof(bytes) && sscanf(line + 2 * n, "%2x", &b) == 1)
			bytes[n++] = (uint8_t)b;
		struct insn d = decode(bytes, n);
		printf("%d %u\n", d.what, d.reg);
	}
	return 0;
}
