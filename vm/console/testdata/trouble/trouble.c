// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Trouble on request, to see what a kernel prints: what is written to
 * /sys/module/trouble/parameters/what happens at once, in the writer's name.
 * The texts beside this folder were made with it, as lib/trouble.c.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>

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

static noinline void trouble_null(void)
{
	trouble_write(8);
}

static noinline void trouble_wild(void)
{
	trouble_write(0x5a5a5a5a5a5a5a58UL);
}

static noinline void trouble_rodata(void)
{
	trouble_write((unsigned long)&linux_banner);
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

static noinline void trouble_vmalloc(void)
{
	vfree(vmalloc(1UL << 60));
}

/* Long enough for the detectors of stalls and lockups. */
static noinline void trouble_stall(void)
{
	int i;

	preempt_disable();
	for (i = 0; i < 25000; i++)
		udelay(1000);
	preempt_enable();
}

static noinline void trouble_panic(void)
{
	panic("trouble asked for");
}

static noinline void trouble_refcount(void)
{
	refcount_t r = REFCOUNT_INIT(0);

	refcount_inc(&r);
}

/* A use after free that no checker but KASAN sees. */
static noinline void trouble_freed(void)
{
	volatile char *p = kmalloc(64, GFP_KERNEL);

	kfree((void *)p);
	p[3] = 1;
}

static noinline void trouble_beyond(void)
{
	volatile char *p = kmalloc(64, GFP_KERNEL);
	volatile int n = 64;

	p[n] = 1;
	kfree((void *)p);
}

static noinline void trouble_vbeyond(void)
{
	volatile char *p = vmalloc(3000);
	volatile int n = 3000;

	p[n] = 1;
	vfree((void *)p);
}

static noinline void trouble_twice(void)
{
	void *p = kmalloc(64, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	kfree(p);
}

static int trouble_sink;

static noinline void trouble_shift(void)
{
	volatile int n = 40;

	trouble_sink = 1 << n;
}

static noinline void trouble_index(void)
{
	static int four[4];
	volatile int n = 5;

	trouble_sink = four[n];
}

static DEFINE_MUTEX(trouble_a);
static DEFINE_MUTEX(trouble_b);
static DEFINE_SPINLOCK(trouble_spin);

static noinline void trouble_order(void)
{
	mutex_lock(&trouble_a);
	mutex_lock(&trouble_b);
	mutex_unlock(&trouble_b);
	mutex_unlock(&trouble_a);

	mutex_lock(&trouble_b);
	mutex_lock(&trouble_a);
	mutex_unlock(&trouble_a);
	mutex_unlock(&trouble_b);
}

static noinline void trouble_recursive(void)
{
	static struct mutex m[2];
	int i;

	for (i = 0; i < 2; i++)
		mutex_init(&m[i]);
	mutex_lock(&m[0]);
	mutex_lock(&m[1]);
	mutex_unlock(&m[1]);
	mutex_unlock(&m[0]);
}

static void trouble_tick(struct timer_list *t)
{
	spin_lock(&trouble_spin);
	spin_unlock(&trouble_spin);
}

static DEFINE_TIMER(trouble_timer, trouble_tick);

static noinline void trouble_irq(void)
{
	spin_lock(&trouble_spin);
	spin_unlock(&trouble_spin);
	mod_timer(&trouble_timer, jiffies + 1);
	msleep(100);
}

static noinline void trouble_rcu(void)
{
	static int __rcu *p;

	trouble_sink = !!rcu_dereference(p);
}

static noinline void trouble_sleep(void)
{
	spin_lock(&trouble_spin);
	mutex_lock(&trouble_a);
	mutex_unlock(&trouble_a);
	spin_unlock(&trouble_spin);
}

static noinline void trouble_atomic(void)
{
	preempt_disable();
	schedule();
	preempt_enable();
}

static noinline void trouble_unlock(void)
{
	static DEFINE_MUTEX(never_locked);

	mutex_unlock(&never_locked);
}

static noinline void trouble_held(void)
{
	mutex_lock(&trouble_a);
}

static noinline void trouble_list(void)
{
	LIST_HEAD(head);
	LIST_HEAD(other);
	struct list_head one;

	list_add(&one, &head);
	one.next = &other;
	list_del(&one);
}

static noinline void trouble_badpage(void)
{
	/* Single pages are looked at later, when they leave the CPU's list. */
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP, 4);

	atomic_set(&page->_mapcount, 3);
	__free_pages(page, 4);
}

static noinline int trouble_deeper(int n)
{
	volatile char space[512];

	space[n & 511] = n;
	return trouble_deeper(n + 1) + space[(n + 1) & 511];
}

static noinline void trouble_stack(void)
{
	trouble_sink = trouble_deeper(0);
}

static noinline void trouble_leak(void)
{
	int i;

	for (i = 0; i < 10; i++) {
		void *p = kmalloc(200, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(p);
	}
}

static int trouble_waiter(void *unused)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule();
	return 0;
}

static noinline void trouble_hung(void)
{
	kthread_run(trouble_waiter, NULL, "trouble");
}

/* Takes a CPU for good, from everybody. */
static noinline void trouble_spinning(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

static const struct {
	const char *name;
	void (*make)(void);
} troubles[] = {
	{ "warn", trouble_warn },
	{ "warnmsg", trouble_warn_message },
	{ "bug", trouble_bug },
	{ "null", trouble_null },
	{ "wild", trouble_wild },
	{ "rodata", trouble_rodata },
	{ "illegal", trouble_illegal },
	{ "exec", trouble_exec },
	{ "vmalloc", trouble_vmalloc },
	{ "stall", trouble_stall },
	{ "panic", trouble_panic },
	{ "refcount", trouble_refcount },
	{ "freed", trouble_freed },
	{ "beyond", trouble_beyond },
	{ "vbeyond", trouble_vbeyond },
	{ "twice", trouble_twice },
	{ "shift", trouble_shift },
	{ "index", trouble_index },
	{ "order", trouble_order },
	{ "recursive", trouble_recursive },
	{ "irq", trouble_irq },
	{ "rcu", trouble_rcu },
	{ "sleep", trouble_sleep },
	{ "atomic", trouble_atomic },
	{ "unlock", trouble_unlock },
	{ "held", trouble_held },
	{ "list", trouble_list },
	{ "badpage", trouble_badpage },
	{ "stack", trouble_stack },
	{ "leak", trouble_leak },
	{ "hung", trouble_hung },
	{ "spinning", trouble_spinning },
};

static int trouble_set(const char *what, const struct kernel_param *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(troubles); i++) {
		if (sysfs_streq(what, troubles[i].name)) {
			pr_info("trouble: %s\n", troubles[i].name);
			troubles[i].make();
			return 0;
		}
	}
	return -ENOENT;
}

static const struct kernel_param_ops trouble_ops = { .set = trouble_set };
module_param_cb(what, &trouble_ops, NULL, 0200);
