// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Trouble on request, to see what a kernel prints: insmod trouble.ko what=warn.
 * The texts under testdata were made with it.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/vmalloc.h>

static char *what = "";
module_param(what, charp, 0);
MODULE_PARM_DESC(what, "warn, warnmsg, bug, null, wild, illegal, exec, vmalloc, stall, panic");

static noinline void trouble_warn(void)
{
	WARN_ON(1);
}

static noinline void trouble_warn_message(void)
{
	WARN(1, "bpf_prog_pack bug: missing bpf_arch_text_invalidate?\n");
}

static noinline void trouble_bug(void)
{
	BUG();
}

static noinline void trouble_write(unsigned long to)
{
	WRITE_ONCE(*(volatile int *)to, 1);
}

static noinline void trouble_illegal(void)
{
#ifdef __s390x__
	asm volatile(".word 0x0000");
#else
	asm volatile("ud2");
#endif
}

static noinline void trouble_exec(void)
{
	void *p = vzalloc(PAGE_SIZE);

	/* Data, which must not be executable. */
	((void (*)(void))p)();
}

static noinline void trouble_stall(void)
{
	int i;

	preempt_disable();
	for (i = 0; i < 25000; i++)
		udelay(1000);
	preempt_enable();
}

static int __init trouble_init(void)
{
	if (!strcmp(what, "warn"))
		trouble_warn();
	else if (!strcmp(what, "warnmsg"))
		trouble_warn_message();
	else if (!strcmp(what, "bug"))
		trouble_bug();
	else if (!strcmp(what, "null"))
		trouble_write(8);
	else if (!strcmp(what, "wild"))
		trouble_write(0x5a5a5a5a5a5a5a58UL);
	else if (!strcmp(what, "illegal"))
		trouble_illegal();
	else if (!strcmp(what, "exec"))
		trouble_exec();
	else if (!strcmp(what, "vmalloc"))
		vfree(vmalloc(1UL << 60));
	else if (!strcmp(what, "stall"))
		trouble_stall();
	else if (!strcmp(what, "panic"))
		panic("trouble asked for");
	return -EAGAIN;
}

module_init(trouble_init);
MODULE_DESCRIPTION("Trouble on request");
MODULE_LICENSE("GPL");
