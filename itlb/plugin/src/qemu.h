/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What this plugin uses of QEMU's interface for TCG plugins, which is
 * GPL-2.0-or-later too. No distribution packages its header.
 *
 * Version 1 (QEMU 7.2) and version 4 (QEMU 10.0) don't overlap in what QEMU
 * accepts, so what only one of them has is looked up when the plugin is loaded.
 */
#ifndef QEMU_H
#define QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUBLIC __attribute__((visibility("default")))

typedef uint64_t plugin_id;

struct qemu_info {
	const char *target_name;
	struct {
		int min, cur;
	} version;
	bool system_emulation;
	struct {
		int smp_vcpus, max_vcpus;
	} system;
};

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
struct qemu_plugin_register;

enum cb_flags { CB_NO_REGS, CB_R_REGS };
enum inline_op { INLINE_ADD_U64 };
enum cond { COND_NE = 3 };

typedef void (*simple_cb)(plugin_id);
typedef void (*udata_cb)(plugin_id, void *);
typedef void (*vcpu_cb)(plugin_id, unsigned int vcpu);
typedef void (*exec_cb)(unsigned int vcpu, void *userdata);
typedef void (*trans_cb)(plugin_id, struct qemu_plugin_tb *);

/* The same in both versions. */
void qemu_plugin_reset(plugin_id, simple_cb);
void qemu_plugin_register_vcpu_init_cb(plugin_id, vcpu_cb);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, trans_cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, exec_cb, enum cb_flags, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, exec_cb, enum cb_flags, void *);
void qemu_plugin_register_atexit_cb(plugin_id, udata_cb, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

/* A uint64_t in every vCPU's element of a scoreboard. */
struct u64_entry {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
};

struct reg_descriptor {
	struct qemu_plugin_register *handle;
	const char *name;
	const char *feature;
};

/* The public parts of GLib's GArray and GByteArray. */
struct glib_array {
	char *data;
	unsigned int len;
};

/* Found by the constructor; a pointer the version lacks is NULL. */
struct qemu_api {
	int version;
	/* version 1 */
	const void *(*insn_data_v1)(const struct qemu_plugin_insn *);
	void (*tb_exec_inline_v1)(struct qemu_plugin_tb *, enum inline_op, void *, uint64_t);
	/* version 4 */
	size_t (*insn_data_v4)(const struct qemu_plugin_insn *, void *, size_t);
	struct qemu_plugin_scoreboard *(*scoreboard_new)(size_t);
	void *(*scoreboard_find)(struct qemu_plugin_scoreboard *, unsigned int vcpu);
	void (*tb_exec_cond_cb)(struct qemu_plugin_tb *, exec_cb, enum cb_flags, enum cond,
				struct u64_entry, uint64_t, void *);
	void (*tb_exec_inline)(struct qemu_plugin_tb *, enum inline_op, struct u64_entry, uint64_t);
	struct glib_array *(*get_registers)(void);
	int (*read_register)(struct qemu_plugin_register *, struct glib_array *);
	/* GLib, which QEMU has loaded */
	struct glib_array *(*byte_array_new)(void);
	struct glib_array *(*byte_array_set_size)(struct glib_array *, unsigned int);
	char *(*array_free)(struct glib_array *, int free_segment);
};

#endif
