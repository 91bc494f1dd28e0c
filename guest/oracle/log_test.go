// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import "testing"

func TestComplaints(t *testing.T) {
	heard(t, "failed allocations", Complaints([]string{
		"init: vmalloc error: size 4096, page order 0, failed to allocate pages, mode:0xcc0(GFP_KERNEL), nodemask=(null)",
		"CPU: 0 PID: 1 Comm: init Not tainted 6.1.192 #1", "Call Trace:", " warn_alloc+0x110/0x1b0", "Mem-Info:",
		"packtest: WARNING: not the kernel's",
	}))
	heard(t, "a warning", Complaints([]string{"------------[ cut here ]------------",
		"WARNING: CPU: 1 PID: 40 at kernel/bpf/prog_pack.c:271 bpf_prog_pack_free+0x1a0/0x1d0", "Modules linked in:"}),
		"complains: WARNING: CPU: # PID: # at kernel/bpf/prog_pack.c:271 bpf_prog_pack_free+0x1a0/0x1d0|Modules linked in:")
	heard(t, "others", Complaints([]string{"BUG: KASAN: use-after-free in x+0x1/0x2", "bpf_jit: proglen=8 != oldproglen=9", "kmemleak: 3 new suspected memory leaks (see x)",
		"kmemleak: Kernel memory leak detector initialized"}), "BUG: KASAN", "bpf_jit:", "kmemleak: # new")
}
