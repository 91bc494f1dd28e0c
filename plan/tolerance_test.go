// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"strings"
	"testing"

	"packtest/internal/fault"
)

func TestTolerances(t *testing.T) {
	p, err := Parse("[tolerance]\njit_pages = \"2 %\"\njit_bytes_mapped = 4194304\nload_time_per_program = 0.5\n", "x")
	if err != nil {
		t.Fatal(err)
	}
	if p.Tolerances["jit_pages"] != "2 %" || p.Tolerances["jit_bytes_mapped"] != "4194304" || p.Tolerances["load_time_per_program"] != "0.5" {
		t.Errorf("%v", p.Tolerances)
	}
	for text, want := range map[string][2]string{
		`jit_page = "2 %"`:    {`plan x: tolerance: unknown metric "jit_page"`, `did you mean "jit_pages"?`},
		`speed = "2 %"`:       {`unknown metric "speed"`, "docs/metrics.md"},
		`jit_pages = "2 MiB"`: {`"2 MiB" is no tolerance: use "2 %"`, ""},
		`jit_pages = -1`:      {`"-1" is no tolerance`, ""},
		`jit_pages = [1]`:     {"plan x", ""},
	} {
		_, err := Parse("[tolerance]\n"+text, "x")
		if err == nil || !strings.Contains(err.Error(), want[0]) || fault.Of(err) != fault.Input || !strings.Contains(fault.HintOf(err), want[1]) {
			t.Errorf("%s: %v (%s), want %q", text, err, fault.HintOf(err), want)
		}
	}
}

// What a written plan says in comments is a plan.
func TestUsualTolerances(t *testing.T) {
	p, err := Parse("[tolerance]\n"+usualTolerances, "x")
	if err != nil || len(p.Tolerances) < 5 {
		t.Errorf("%v, %v", p, err)
	}
	text := Default().TOML()
	for _, l := range strings.Split(usualTolerances, "\n") {
		if !strings.Contains(text, "\n# "+l+"\n") {
			t.Errorf("a written plan lacks %q", l)
		}
	}
}
