/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A QEMU TCG plugin that records from which pages a guest fetches its
 * instructions, within windows that the guest marks.
 *
 * Outside of windows the only instructions that call here are marks. At a mark
 * QEMU is made to forget its translations, so that from the next block on the
 * code calls here, or no longer does. That also keeps out translations made
 * under another virtual address than the one in use within the window, which
 * QEMU shares for x86_64.
 *
 * Arguments: out=FILE, tag=TEXT (kept in the file), probe=on (say that the
 * plugin works here, and exit).
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "insn.h"
#include "out.h"
#include "qemu.h"
#include "window.h"

#ifndef BUILD
#error "BUILD is what identifies this plugin in the files that it writes"
#endif

#define MAX_VCPUS 256 /* a vCPU is one byte in the file */

/* Kinds of flushes; FlushKind of package itlb/trace. */
enum { KIND_ALL = 1, KIND_NON_GLOBAL, KIND_PAGE, KIND_UNKNOWN, KIND_SPACE };

PUBLIC int qemu_plugin_version;

static struct qemu_api api;
static plugin_id self;
static bool x86;
static decoder decode;
static bool translated; /* any block at all */
static struct u64_entry run_page, run_instructions;

/* General registers by number, then cr4; NULL where QEMU doesn't show them. */
static struct qemu_plugin_register *registers[16], *cr4;
static pthread_once_t registers_once = PTHREAD_ONCE_INIT;

#define FIND(field, name) (*(void **)&api.field = dlsym(RTLD_DEFAULT, name))

/* QEMU reads qemu_plugin_version after the constructors and before install. */
static __attribute__((constructor)) void choose_version(void)
{
	api.version = dlsym(RTLD_DEFAULT, "qemu_plugin_num_vcpus") ? 4 : 1;
	qemu_plugin_version = api.version;
	if (api.version == 1) {
		FIND(insn_data_v1, "qemu_plugin_insn_data");
		FIND(tb_exec_inline_v1, "qemu_plugin_register_vcpu_tb_exec_inline");
		return;
	}
	FIND(insn_data_v4, "qemu_plugin_insn_data");
	FIND(scoreboard_new, "qemu_plugin_scoreboard_new");
	FIND(scoreboard_find, "qemu_plugin_scoreboard_find");
	FIND(tb_exec_cond_cb, "qemu_plugin_register_vcpu_tb_exec_cond_cb");
	FIND(tb_exec_inline, "qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu");
	FIND(get_registers, "qemu_plugin_get_registers");
	FIND(read_register, "qemu_plugin_read_register");
	FIND(byte_array_new, "g_byte_array_new");
	FIND(byte_array_set_size, "g_byte_array_set_size");
	FIND(array_free, "g_array_free");
}

static bool api_is_whole(void)
{
	if (api.version == 1)
		return api.insn_data_v1 && api.tb_exec_inline_v1;
	return api.insn_data_v4 && api.scoreboard_new && api.scoreboard_find && api.tb_exec_cond_cb &&
	       api.tb_exec_inline && api.get_registers && api.read_register && api.byte_array_new &&
	       api.byte_array_set_size && api.array_free;
}

/* Operands */

static void find_registers(void)
{
	static const char *const x86_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
						   "r8",  "r9",	 "r10", "r11", "r12", "r13", "r14", "r15" };
	struct glib_array *list = api.get_registers();
	const struct reg_descriptor *d = (void *)list->data;
	char s390x_name[4];

	for (unsigned int i = 0; i < list->len; i++) {
		if (x86 && !strcmp(d[i].name, "cr4"))
			cr4 = d[i].handle;
		for (int r = 0; r < 16; r++) {
			snprintf(s390x_name, sizeof(s390x_name), "r%d", r);
			if (!strcmp(d[i].name, x86 ? x86_names[r] : s390x_name))
				registers[r] = d[i].handle;
		}
	}
	api.array_free(list, 1);
}

static bool read_register(struct qemu_plugin_register *r, uint64_t *v)
{
	static __thread struct glib_array *value;

	if (!r)
		return false;
	if (!value)
		value = api.byte_array_new();
	api.byte_array_set_size(value, 0);
	if (api.read_register(r, value) != 8)
		return false;
	memcpy(v, value->data, 8);
	if (!x86)
		*v = __builtin_bswap64(*v);
	return true;
}

#define CR4_PAE (1u << 5)
#define CR4_PGE (1u << 7)
#define CR4_PCIDE (1u << 17)
#define CR4_SMEP (1u << 20)
#define CR3_NOFLUSH (1ull << 63)

/* What a write to cr4 drops: Intel SDM volume 3, "Operations that Invalidate TLBs". */
static unsigned int cr4_flush(uint64_t from, uint64_t to)
{
	uint64_t changed = from ^ to;

	if (changed & (CR4_PGE | CR4_PAE) || changed & from & CR4_PCIDE || changed & to & CR4_SMEP)
		return KIND_ALL;
	return 0;
}

/* Says of a flush what kind it is and how many pages it names. */
static unsigned int flush_kind(enum what what, unsigned int reg, unsigned int *count)
{
	uint64_t v, old;

	*count = 1;
	if (what == FLUSH_ALL)
		return KIND_ALL;
	if (what == FLUSH_PAGE)
		return KIND_PAGE;
	if (what == FLUSH_SPACE)
		return KIND_SPACE;
	if (what == FLUSH_OTHER || api.version == 1 || !read_register(registers[reg], &v))
		return KIND_UNKNOWN;
	switch (what) {
	case FLUSH_CR3:
		if (!read_register(cr4, &old))
			return KIND_UNKNOWN;
		if (old & CR4_PCIDE && v & CR3_NOFLUSH)
			*count = 0;
		return KIND_NON_GLOBAL;
	case FLUSH_CR4:
		if (!read_register(cr4, &old))
			return KIND_UNKNOWN;
		if (!cr4_flush(old, v))
			*count = 0;
		return KIND_ALL;
	case FLUSH_INVPCID:
		return v == 0 ? KIND_PAGE : v == 2 ? KIND_ALL : KIND_NON_GLOBAL;
	case FLUSH_IPTE:
		*count = (v & 0xff) + 1;
		return KIND_PAGE;
	default:
		return KIND_UNKNOWN;
	}
}

/* The pointer of a flush's callback: what and the register above, rest below. */
static void on_flush(unsigned int vcpu, void *u)
{
	uint64_t high = packed_high(u);
	unsigned int count;
	unsigned int kind = flush_kind(high >> 4, high & 15, &count);

	window_flush(vcpu, kind, count, packed_low(u));
}

/* Translation */

static struct insn decode_insn(struct qemu_plugin_insn *insn)
{
	uint8_t copy[INSN_BYTES];
	size_t size = qemu_plugin_insn_size(insn);

	if (size > sizeof(copy))
		return (struct insn){ .what = NOTHING };
	if (api.version == 1)
		return decode(api.insn_data_v1(insn), size);
	return decode(copy, api.insn_data_v4(insn, copy, size));
}

/*
 * How many instructions a block has for certain. For x86_64, QEMU 7.2 also shows
 * one that it took back because it would lie on two pages without being the
 * first: then the next block begins with it. What it shows of that one is cut
 * off, but callbacks on it are dropped with it, so a last instruction that might
 * be such a one is counted by a callback of its own.
 */
static size_t certain(const struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);

	if (api.version > 1 || !x86 || n == 1)
		return n;
	uint64_t at = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, n - 1));
	return (at + INSN_BYTES) >> PAGE_SHIFT == at >> PAGE_SHIFT ? n : n - 1;
}

static uint64_t page_of(const struct qemu_plugin_tb *tb, size_t i)
{
	return qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, i)) >> PAGE_SHIFT;
}

/* Has marks call, and what else matters if the block may be executed in a window. */
static void watch(struct qemu_plugin_tb *tb, bool inside)
{
	size_t all = qemu_plugin_tb_n_insns(tb), n = certain(tb);

	translated = true;
	for (size_t i = 0; i < all; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		struct insn d = decode_insn(insn);
		size_t rest = i < n ? n - i - 1 : 0;
		exec_cb cb = NULL;
		void *u = pack(0, rest);

		if (inside && i == n)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, window_block, CB_NO_REGS, pack(page_of(tb, i), 1));
		switch (d.what) {
		case NOTHING:
			continue;
		case MARK_BEGIN:
			/* From here on the block is in a window, if it wasn't translated in one. */
			inside = true;
			cb = window_begin;
			u = pack(rest ? page_of(tb, i + 1) : 0, rest);
			break;
		case MARK_LAP:
			cb = window_lap;
			break;
		case MARK_END:
			cb = window_end;
			break;
		default:
			if (inside)
				qemu_plugin_register_vcpu_insn_exec_cb(insn, on_flush, CB_R_REGS,
								       pack(d.what << 4 | d.reg, rest));
			continue;
		}
		qemu_plugin_register_vcpu_insn_exec_cb(insn, cb, CB_NO_REGS, u);
	}
}

static void count_fetch(struct qemu_plugin_tb *tb, uint64_t page, uint64_t instructions)
{
	void *u = pack(page, instructions);

	if (!window_runs()) {
		qemu_plugin_register_vcpu_tb_exec_cb(tb, window_block, CB_NO_REGS, u);
		return;
	}
	api.tb_exec_cond_cb(tb, window_page, CB_NO_REGS, COND_NE, run_page, page, u);
	if (instructions)
		api.tb_exec_inline(tb, INLINE_ADD_U64, run_instructions, instructions);
}

/*
 * QEMU 7.2 begins a block anew for each element of an x86_64 string instruction
 * with a REP prefix: clearing one page takes thousands. Such a block is that
 * instruction alone, and counts itself without a call. What runs before and
 * after it calls, except another such block. To be on another page, that one
 * would have to begin where the first one ends: in the first bytes of a page, or
 * on two. Those call.
 */
static bool count_repeated(struct qemu_plugin_tb *tb)
{
	struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, 0);
	uint64_t in_page = qemu_plugin_insn_vaddr(insn) & ((1 << PAGE_SHIFT) - 1), add, *sum;
	size_t size = qemu_plugin_insn_size(insn);

	if (api.version > 1 || !x86 || qemu_plugin_tb_n_insns(tb) != 1 || !repeats(api.insn_data_v1(insn), size) ||
	    in_page < INSN_BYTES || in_page + size > 1 << PAGE_SHIFT)
		return false;
	sum = window_repeated(page_of(tb, 0), &add);
	if (sum)
		api.tb_exec_inline_v1(tb, INLINE_ADD_U64, sum, add);
	return sum;
}

static void on_block_outside(plugin_id id, struct qemu_plugin_tb *tb)
{
	(void)id;
	watch(tb, false);
}

/*
 * A block lies on one page, or begins with an instruction that lies on two: then
 * both are fetched, and the instruction counts on the page where it begins.
 */
static void on_block_inside(plugin_id id, struct qemu_plugin_tb *tb)
{
	size_t n = certain(tb), on_first = 0;
	uint64_t first = page_of(tb, 0), last = first;

	(void)id;
	translated = true;
	if (count_repeated(tb))
		return;
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		on_first += page_of(tb, i) == first;
		last = (qemu_plugin_insn_vaddr(insn) + qemu_plugin_insn_size(insn) - 1) >> PAGE_SHIFT;
	}
	count_fetch(tb, first, on_first);
	if (last != first)
		count_fetch(tb, last, n - on_first);
	watch(tb, true);
}

/* The life of the plugin */

static void on_exit_of_qemu(plugin_id id, void *u)
{
	(void)id, (void)u;
	if (!translated)
		window_fail("QEMU translated no code: a plugin sees nothing with any other accelerator than tcg");
	window_exit();
}

/* QEMU has stopped every vCPU, and dropped its translations and our callbacks. */
static void on_reset(plugin_id id)
{
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	qemu_plugin_register_vcpu_tb_trans_cb(id, window_settle() == INSIDE ? on_block_inside : on_block_outside);
}

static void retranslate(void)
{
	static bool asked;
	static pthread_t asker;

	/* QEMU 7.2 never gives back the lock it takes for a reset. */
	if (api.version == 1 && asked && !pthread_equal(asker, pthread_self())) {
		window_fail("marks on vCPUs of several threads, which this QEMU can't bear: -accel tcg,thread=single helps");
		return;
	}
	asked = true;
	asker = pthread_self();
	qemu_plugin_reset(self, on_reset);
}

static void on_vcpu(plugin_id id, unsigned int vcpu)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static pthread_t before;
	static bool any;
	bool shared;

	(void)id;
	if (api.version > 1)
		pthread_once(&registers_once, find_registers);
	window_vcpu(vcpu);
	/* QEMU calls here in the vCPU's own thread. */
	pthread_mutex_lock(&lock);
	shared = any && pthread_equal(before, pthread_self());
	before = pthread_self();
	any = true;
	pthread_mutex_unlock(&lock);
	/*
	 * Where vCPUs share a thread, QEMU 10.0 translates a vCPU's number as a
	 * constant: that of the one on which the code was translated, whoever executes
	 * it. And looking up a vCPU's part of a scoreboard it multiplies that constant
	 * in place, so that callbacks get the product. With one vCPU both are 0.
	 */
	if (shared && api.version > 1)
		window_fail("several vCPUs in one thread, which this QEMU doesn't tell apart: "
			    "-accel tcg,thread=multi without -icount helps");
}

static int refuse(const char *why, const char *what)
{
	fprintf(stderr, "itlb plugin: %s%s\n", why, what);
	return 1;
}

PUBLIC int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
	const char *out = NULL, *tag = "";
	bool probe = false;

	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = argv[i] + 4;
		else if (!strncmp(argv[i], "tag=", 4))
			tag = argv[i] + 4;
		else if (!strcmp(argv[i], "probe=on"))
			probe = true;
		else
			return refuse("unknown argument ", argv[i]);
	}
	x86 = !strcmp(info->target_name, "x86_64");
	if (!x86 && strcmp(info->target_name, "s390x"))
		return refuse("it knows x86_64 and s390x, not ", info->target_name);
	if (!info->system_emulation)
		return refuse("it traces whole machines, not single programs", "");
	if (!api_is_whole())
		return refuse("this QEMU lacks a part of the plugin interface", "");
	if (info->system.max_vcpus > MAX_VCPUS)
		return refuse("more than 256 vCPUs", "");
	if (probe) {
		printf("itlb plugin: %s, interface %d\n", info->target_name, api.version);
		exit(0);
	}
	if (!out || !*out)
		return refuse("out=FILE is missing", "");
	if (!out_open(out, info->target_name, api.version, info->system.smp_vcpus, tag, BUILD))
		return 1;

	self = id;
	decode = x86 ? decode_x86_64 : decode_s390x;
	/*
	 * A comparison in every block pays where few enough leave the page of the last
	 * one. On s390x so many do that calling from each is faster: 1.05 to 1.1 times
	 * the time without a trace, against 1.15 to 1.2. On x86_64 it is slower.
	 */
	window_init(&api, info->system.max_vcpus, api.version > 1 && x86, retranslate);
	if (window_runs()) {
		run_page = (struct u64_entry){ window_runs(), offsetof(struct run, page) };
		run_instructions = (struct u64_entry){ window_runs(), offsetof(struct run, instructions) };
	}
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_block_outside);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}
