// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/metric"
)

// A written plan is the plan, when it is read back.
func TestTOML(t *testing.T) {
	mine := Default()
	mine.Base = `tree:/home/jane doe/"linux"@v6` + "\x7f\t"
	mine.Geometries = "/home/jane doe/cores.toml"
	mine.Arches, mine.Config, mine.Boots, mine.Parallel, mine.Seed = []string{"s390x"}, "debug", 9, 3, 1<<62
	mine.TestOnly([]Variant{{Name: "v6", Stack: []string{`/tmp/a"b\c.mbox`, "range:origin/master..mine"}}})
	mine.Scenarios = []Scenario{{Name: "load", Programs: 7}, {Name: "directmap", Steps: []int{0, 5}}}
	mine.Tolerances = map[string]metric.Tolerance{"jit_pages": "2.5 %", "directmap_4k": "4194304"}
	for name, p := range map[string]*Plan{"default": Default(), "mine": mine} {
		text := p.TOML()
		got, err := Parse(text, name)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if d := cmp.Diff(p, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		for i, l := range strings.Split(text, "\n") {
			if strings.HasPrefix(l, "# ") && len(l) > 100 {
				t.Errorf("%s:%d: a comment of %d columns", name, i+1, len(l))
			}
		}
	}
}

// Every key that a plan can have can be suggested, and is in a written plan.
func TestKeys(t *testing.T) {
	var want []string
	var collect func(reflect.Type)
	collect = func(typ reflect.Type) {
		if typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for _, f := range reflect.VisibleFields(typ) {
			if tag := f.Tag.Get("toml"); tag != "-" && !slices.Contains(want, tag) {
				want = append(want, tag)
			}
			collect(f.Type)
		}
	}
	collect(reflect.TypeFor[Plan]())
	got := keys()
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	text := Default().TOML()
	for _, k := range want {
		if !strings.Contains(text, k+" = ") && !strings.Contains(text, "["+k+"]") {
			t.Errorf("a written plan has no %s", k)
		}
	}
}
