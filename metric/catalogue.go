// SPDX-License-Identifier: GPL-2.0-or-later

package metric

// Catalogue returns every metric there is, in the order in which reports show
// them. docs/metrics.md is checked against it.
func Catalogue() []Def {
	return append([]Def{
		// JIT memory, after the load scenario unless a label says otherwise.
		{Name: "programs", Unit: "programs", Better: Neither, Exact: true, Tier: Layout,
			Help: "BPF programs loaded by the scenario when the figures below were read."},
		{Name: "jit_pages", Unit: "pages", Better: Lower, Exact: true, Tier: Layout,
			Help: "Distinct 4 KiB pages of the module area that hold at least one byte of a program's code, from the programs' addresses (bpf_prog_info: jited_ksyms, jited_func_lens)."},
		{Name: "jit_bytes_used", Unit: "bytes", Better: Neither, Exact: true, Tier: Layout,
			Help: "Bytes of machine code, summed over all functions of all programs (bpf_prog_info: jited_func_lens)."},
		{Name: "jit_bytes_mapped", Unit: "bytes", Better: Lower, Exact: true, Tier: Layout,
			Help: "Bytes of the vmalloc areas that hold JIT code, without their guard pages (/proc/vmallocinfo)."},
		{Name: "jit_utilisation", Unit: "%", Better: Higher, Exact: true, Tier: Layout,
			Help: "jit_bytes_used / jit_bytes_mapped."},
		{Name: "programs_per_page", Unit: "programs/page", Better: Higher, Exact: true, Tier: Layout,
			Help: "programs / jit_pages."},
		{Name: "packs", Unit: "packs", Better: Neither, Exact: true, Tier: Layout,
			Help: "vmalloc areas that hold code of more than one program."},
		{Name: "pack_occupancy", Unit: "%", Better: Higher, Exact: true, Tier: Layout, Labels: []string{"pack"},
			Help: "Share of a pack's 64-byte chunks that hold code or a program's header, per pack in the order of addresses."},
		{Name: "programs_mapped_4k", Unit: "programs", Better: Neither, Exact: true, Tier: Layout,
			Help: "Programs whose first byte lies under a 4 KiB mapping, from the kernel's page tables."},
		{Name: "programs_mapped_2m", Unit: "programs", Better: Neither, Exact: true, Tier: Layout,
			Help: "Programs whose first byte lies under a 2 MiB mapping (1 MiB on s390x), from the kernel's page tables."},
		{Name: "text_mappings", Unit: "mappings", Better: Lower, Exact: true, Tier: Layout,
			Help: "Distinct page-table leaf entries that map JIT code: the number of TLB entries it takes to hold all of it."},
		// The kernel's direct map, against the number of programs loaded.
		{Name: "directmap_4k", Unit: "bytes", Better: Lower, Exact: true, Tier: Layout, Labels: []string{"programs"},
			Help: "Direct map in 4 KiB entries (/proc/meminfo DirectMap4k) with the labelled number of programs loaded."},
		{Name: "directmap_2m", Unit: "bytes", Better: Higher, Exact: true, Tier: Layout, Labels: []string{"programs"},
			Help: "Direct map in 2 MiB entries (1 MiB on s390x)."},
		{Name: "directmap_1g", Unit: "bytes", Better: Higher, Exact: true, Tier: Layout, Labels: []string{"programs"},
			Help: "Direct map in 1 GiB entries (2 GiB on s390x)."},
		{Name: "vmalloc_used", Unit: "bytes", Better: Lower, Exact: false, Tier: Layout,
			Help: "Growth of /proc/meminfo VmallocUsed while the programs were loaded."},
		{Name: "jit_charged", Unit: "bytes", Better: Lower, Exact: true, Tier: Layout,
			Help: "Growth of the kernel's bpf_jit_current while the programs were loaded, where /proc/kcore shows it."},
		// Draining.
		{Name: "drain_residue", Unit: "bytes", Better: Lower, Exact: true, Tier: Layout, Labels: []string{"figure"},
			Help: "What is left of the labelled figure after every program was freed, against before the first load."},
		{Name: "vmalloc_residue", Unit: "bytes", Better: Lower, Exact: false, Tier: Layout,
			Help: "What is left of /proc/meminfo VmallocUsed after every program was freed, against before the first load; the kernel's other users share it."},
		// Time.
		{Name: "load_time_per_program", Unit: "ns", Better: Lower, Exact: false, Tier: Measured,
			Help: "Time in bpf(BPF_PROG_LOAD) per program, one value per boot."},
		{Name: "free_time_per_program", Unit: "ns", Better: Lower, Exact: false, Tier: Measured,
			Help: "Time from closing the last reference until the kernel has given all JIT memory back, per program, the RCU grace period included; one value per boot."},
		{Name: "boot_time", Unit: "ns", Better: Lower, Exact: false, Tier: Measured,
			Help: "From QEMU's start to the guest's first message; one value per boot."},
		// The attacks.
		{Name: "attack_loads", Unit: "programs", Better: Neither, Exact: false, Tier: Layout,
			Help: "Programs that the scenario loaded in all; with several processors at work, some more or less."},
		{Name: "attack_runs", Unit: "runs", Better: Neither, Exact: false, Tier: Layout,
			Help: "Runs of programs whose answer was compared with the one they must give."},
		{Name: "attack_looks", Unit: "looks", Better: Neither, Exact: false, Tier: Layout,
			Help: "How often all executable memory was held against the rules that every allocator must keep."},
		{Name: "shape_runs", Unit: "runs", Better: Neither, Exact: true, Tier: Layout, Labels: []string{"shape"},
			Help: "Runs of programs of the labelled shape whose answer was compared with the one they must give."},
		{Name: "largest_program", Unit: "bytes", Better: Neither, Exact: true, Tier: Layout,
			Help: "Machine code of the largest program that was loaded and gave the right answer."},
		{Name: "limit_accepted", Unit: "programs", Better: Neither, Exact: true, Tier: Layout,
			Help: "Small programs that an unprivileged user could load with 128 KiB left below net.core.bpf_jit_limit."},
		{Name: "faults_injected", Unit: "faults", Better: Neither, Exact: false, Tier: Layout, Labels: []string{"site", "operation"},
			Help: "Points of the labelled operation at which a call of the labelled site was made to fail, each in turn."},
		{Name: "slab_growth", Unit: "bytes", Better: Lower, Exact: false, Tier: Layout,
			Help: "Growth of /proc/meminfo SUnreclaim per round of loading and freeing the same programs."},
		{Name: "load_time_ratio", Unit: "1", Better: Lower, Exact: false, Tier: Measured,
			Help: "Time in bpf(BPF_PROG_LOAD) per byte of machine code at the end of the churn, against its beginning in the same boot."},
		{Name: "free_time_ratio", Unit: "1", Better: Lower, Exact: false, Tier: Measured,
			Help: "Time until programs are freed, per program, at the end of the churn against its beginning in the same boot."},
		// lib/test_bpf.
		{Name: "test_bpf_passed", Unit: "tests", Better: Higher, Exact: true, Tier: Layout, Labels: []string{"suite"},
			Help: "Cases passed by the kernel's own JIT suite, lib/test_bpf."},
		{Name: "test_bpf_failed", Unit: "tests", Better: Lower, Exact: true, Tier: Layout, Labels: []string{"suite"},
			Help: "Cases failed by lib/test_bpf."},
		{Name: "test_bpf_jited", Unit: "tests", Better: Higher, Exact: true, Tier: Layout, Labels: []string{"suite"},
			Help: "Cases of lib/test_bpf that the JIT compiled."},
	}, itlb()...)
}
