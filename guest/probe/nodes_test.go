// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNodes(t *testing.T) {
	root := t.TempDir()
	k := Kernel{Root: root}
	if list, err := k.Nodes(); err != nil || list != nil {
		t.Errorf("a kernel without nodes: %v, %v", list, err)
	}
	for name, text := range map[string]string{"online": "0,2\n", "node0/cpulist": "0-1,4\n", "node2/cpulist": "\n"} {
		path := filepath.Join(root, nodeDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, err := k.Nodes()
	if d := cmp.Diff([]Node{{0, []int{0, 1, 4}}, {2, nil}}, list); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestParseList(t *testing.T) {
	for text, want := range map[string][]int{"": nil, "3": {3}, "0-2": {0, 1, 2}, "0,2-3,7": {0, 2, 3, 7}} {
		if got, err := ParseList(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"a", "1-", "-1", "3-2", "1,,2", "0-65535,0", "70000"} {
		if got, err := ParseList(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestOnNode(t *testing.T) {
	areas, err := ParseVmalloc(strings.NewReader("0x1000-0x202000 2101248 bpf_prog_pack_alloc+0x10/0x20 pages=512 vmalloc N0=500 N1=12\n"))
	if err != nil {
		t.Fatal(err)
	}
	if a := areas[0]; a.OnNode(0) != 500 || a.OnNode(1) != 12 || a.OnNode(10) != 0 {
		t.Errorf("%+v", a)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("0-3,8")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseList(text)
		if err == nil && len(list) > maxListed {
			t.Errorf("%d numbers", len(list))
		}
	})
}
