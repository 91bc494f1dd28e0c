// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import "testing"

func TestHandlesCode(t *testing.T) {
	for name, want := range map[string]bool{
		"bpf_arch_text_copy": true, "bpf_prog_pack_alloc": true, "my_pack_get": true, "text_poke_copy": true, "bpf_jit_binary_alloc": true,
		"set_memory_x": true, "module_alloc": true, "execmem_alloc": true, "set_direct_map_invalid_noflush": true,
		"should_failslab": false, "should_fail_alloc_page": false, "__filemap_add_folio": false, "bpf_fentry_test1": false, "bpf_modify_return_test": false,
		"__x64_sys_bpf": false, "__s390x_sys_execve": false, "__x64_sys_getpackage": false, "": false,
	} {
		if got := handlesCode(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// An injector that does nothing leaves a zero that looks like a figure.
func TestIdleInjector(t *testing.T) {
	for _, tc := range []struct {
		site, operation string
		injected        int
		fails           bool
	}{
		{"slab", "load", 0, true},
		{"slab", "load_large", 0, true},
		{"slab", "load", 1, false},
		{"slab", "run_xdp", 0, false}, // the dispatcher may have all it needs
		{"pages", "load", 0, false},   // all of it may come from slabs
		{"bpf_jit_binary_pack_alloc", "load", 0, false},
	} {
		if err := idle(tc.site, tc.operation, tc.injected); (err != nil) != tc.fails {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}
