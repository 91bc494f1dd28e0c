// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

const mapsText = `8000000000-8000194000 r-xp 00000000 00:02 12         /init
80001a0000-8000330000 r--p 001a0000 00:02 12         /init
8000330000-8000343000 rw-p 00330000 00:02 12         /init
c000000000-c000400000 rw-p 00000000 00:00 0
3fffffde000-3fffffff000 rw-p 00000000 00:00 0        [stack]
3fffffff000-40000000000 r-xp 00000000 00:00 0        [vdso]
`

func TestMaps(t *testing.T) {
	list, err := ParseMaps(strings.NewReader(mapsText))
	if err != nil || len(list) != 6 {
		t.Fatalf("%d mappings, %v", len(list), err)
	}
	if want := (Mapping{Start: 0x8000000000, End: 0x8000194000, LeafBytes: 4096, Executable: true}); list[0] != want {
		t.Errorf("%+v", list[0])
	}
	if !list[2].Writable || list[2].Executable || !list[5].Executable {
		t.Errorf("%+v", list)
	}
	for name, text := range map[string]string{
		"nothing":         "",
		"no permissions":  "1000-2000\n",
		"backwards":       "2000-1000 r-xp 00000000 00:00 0\n",
		"not hexadecimal": "1000-zz r-xp 00000000 00:00 0\n",
		"out of order":    "3000-4000 r-xp 00000000 00:00 0\n1000-2000 r-xp 00000000 00:00 0\n",
	} {
		if list, err := ParseMaps(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

// A test's own code is where its own mappings say.
func TestOwnMemory(t *testing.T) {
	list, err := Kernel{}.OwnMemory()
	if err != nil {
		t.Fatal(err)
	}
	at := uint64(reflect.ValueOf(TestOwnMemory).Pointer())
	if !slices.ContainsFunc(list, func(m Mapping) bool { return m.Executable && !m.Writable && m.Start <= at && at < m.End }) {
		t.Errorf("no mapping holds %#x", at)
	}
}
