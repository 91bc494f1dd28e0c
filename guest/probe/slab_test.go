// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const slabinfo = `slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
UNIX                  17     32    960   16    4 : tunables    0    0    0 : slabdata      2      2      0
kmalloc-rnd-01-64      0      0     64   64    1 : tunables    0    0    0 : slabdata      0      0      0
`

func TestSlabs(t *testing.T) {
	got, err := ParseSlabs(strings.NewReader(slabinfo))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Slab{{"UNIX", 17, 960}, {"kmalloc-rnd-01-64", 0, 64}}, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"UNIX 17 32", "UNIX many 32 960", "UNIX 17 32 -1"} {
		if got, err := ParseSlabs(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func FuzzSlabs(f *testing.F) {
	f.Add(slabinfo)
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseSlabs(strings.NewReader(s))
		for _, slab := range list {
			if err == nil && (slab.Objects < 0 || slab.ObjectBytes < 0 || slab.Name == "") {
				t.Errorf("%+v", slab)
			}
		}
	})
}
