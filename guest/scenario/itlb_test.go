// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/guest/wire"
)

func TestITLBSizes(t *testing.T) {
	for _, tc := range []struct {
		name string
		spec wire.ScenarioSpec
		want itlbSize
		err  string
	}{
		{"defaults", wire.ScenarioSpec{}, itlbSize{160, 100, 10, defaultSweep()}, ""},
		{"few programs, all hot", wire.ScenarioSpec{Programs: 50, Rounds: 2, Steps: []int{4, 64}}, itlbSize{50, 50, 2, []int{4, 64}}, ""},
		{"a step that the first windows are", wire.ScenarioSpec{Programs: 64, Hot: 8, Rounds: 2, Steps: []int{4, 8, 64}}, itlbSize{64, 8, 2, []int{4, 64}}, ""},
		{"the same number of more programs", wire.ScenarioSpec{Programs: 63, Hot: 8, Rounds: 2, Steps: []int{4, 8, 64}}, itlbSize{63, 8, 2, []int{4, 8, 64}}, ""},
		{"no other step", wire.ScenarioSpec{Programs: 9, Hot: 8, Rounds: 2, Steps: []int{8}}, itlbSize{9, 8, 2, []int{}}, ""},
		{"more hot than loaded", wire.ScenarioSpec{Programs: 50, Hot: 51}, itlbSize{}, "51 hot programs of 50"},
		{"too many", wire.ScenarioSpec{Programs: MaxPrograms + 1}, itlbSize{}, "at most"},
		{"negative", wire.ScenarioSpec{Hot: -1}, itlbSize{}, "hot programs"},
		{"no warm round", wire.ScenarioSpec{Rounds: 1}, itlbSize{}, "1 rounds"},
		{"steps that fall", wire.ScenarioSpec{Steps: []int{8, 8}}, itlbSize{}, "must rise"},
		{"a step of nothing", wire.ScenarioSpec{Steps: []int{0, 8}}, itlbSize{}, "must rise"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := itlbSizes(tc.spec)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("err = %v, want %q", err, tc.err)
				}
				return
			}
			if d := cmp.Diff(tc.want, got, cmp.AllowUnexported(itlbSize{})); d != "" || err != nil {
				t.Errorf("%v\n%s", err, d)
			}
		})
	}
}

// Memory that changed under a window, or that a trace couldn't tell apart, must
// not pass.
func TestExecutable(t *testing.T) {
	at := func(start uint64) wire.Mapped {
		return wire.Mapped{Start: start, End: start + 0x2000, PageBytes: 0x1000}
	}
	e := executable{kernel: []wire.Mapped{at(0x100000), at(0x200000)}, user: []wire.Mapped{at(0x8000000000)}}
	if err := e.apart(); err != nil {
		t.Error(err)
	}
	if err := e.same(e); err != nil {
		t.Error(err)
	}
	large := at(0x200000)
	large.PageBytes = 1 << 21
	for name, other := range map[string]executable{
		"a range more":      {append([]wire.Mapped{}, append(e.kernel, at(0x300000))...), e.user},
		"a range less":      {e.kernel[:1], e.user},
		"another range":     {[]wire.Mapped{at(0x100000), at(0x201000)}, e.user},
		"larger pages":      {[]wire.Mapped{at(0x100000), large}, e.user},
		"the process grew":  {e.kernel, append([]wire.Mapped{at(0x7000000000)}, e.user...)},
		"the process moved": {e.kernel, []wire.Mapped{at(0x7000000000)}},
	} {
		if err := e.same(other); err == nil || !strings.Contains(err.Error(), "changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, start := range []uint64{0x0ff000, 0x100000, 0x101000} {
		overlap := executable{e.kernel, []wire.Mapped{at(start)}}
		if err := overlap.apart(); err == nil {
			t.Errorf("code of the process's at %#x passed", start)
		}
	}
	beside := executable{e.kernel, []wire.Mapped{at(0x102000), at(0x0fe000)}}
	if err := beside.apart(); err != nil {
		t.Error(err)
	}
}
