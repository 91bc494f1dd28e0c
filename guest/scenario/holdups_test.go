// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"slices"
	"testing"

	"packtest/guest/probe"
)

func TestHeldUp(t *testing.T) {
	for name, want := range map[string]bool{
		"bitmap_find_next_zero_area_off": true, "__bitmap_set": true, "bpf_prog_pack_free": true, "bpf_pack_create": true, "bpf_jit_binary_pack_finalize": true,
		"bpf_text_alloc": true, "set_memory_x": true, "_find_next_bit": true, "execmem_alloc": true, "gen_pool_alloc_algo_owner": true,
		"skb_packet_type": false, "bpf_check": false, "cpumask_next": false, "text_poke_set": false, "do_jit": false, "bpf_jit_insn": false, "fs_context_free": false, "": false,
	} {
		if got := heldUp(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestCodeRanges(t *testing.T) {
	symbols := []probe.Symbol{
		{Address: 0x1000, Kind: 'T', Name: "__bitmap_set"},
		{Address: 0x1040, Kind: 't', Name: "something small"},
		{Address: 0x1060, Kind: 't', Name: "__bitmap_clear"},
		{Address: 0x10a0, Kind: 'T', Name: "other"},
		{Address: 0x2000, Kind: 'T', Name: "pack_of_two_pages"},
		{Address: 0x4000, Kind: 'T', Name: "other"},
		{Address: 0x5000, Kind: 'd', Name: "pack_list"},
		{Address: 0x5010, Kind: 'd', Name: "pack_mutex"},
		{Address: 0x6000, Kind: 'T', Name: "bpf_prog_pack_free"},
		{Address: 0x6100, Kind: 'T', Name: "behind"},
		{Address: 0x7000, Kind: 't', Name: "bpf_pack_of_a_module", Module: "m"},
		{Address: 0x7100, Kind: 't', Name: "behind", Module: "m"},
		{Address: 0x8000, Kind: 'T', Name: "bpf_pack_at_the_end"},
	}
	want := [][2]uint64{{0x1000, 0x10a0}, {0x6000, 0x6100}}
	if got := codeRanges(symbols); !slices.Equal(got, want) {
		t.Errorf("%#x, want %#x", got, want)
	}
	if got := codeRanges(nil); got != nil {
		t.Errorf("of nothing: %#x", got)
	}
	var many []probe.Symbol
	for i := range uint64(3 * heldUpRanges) {
		many = append(many, probe.Symbol{Address: 0x1000 * i, Kind: 'T', Name: "pack_"}, probe.Symbol{Address: 0x1000*i + 16, Kind: 'T', Name: "x"})
	}
	if got := len(codeRanges(many)); got != heldUpRanges {
		t.Errorf("%d ranges, at most %d", got, heldUpRanges)
	}
}
