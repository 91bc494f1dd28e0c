// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"strings"
	"testing"

	"packtest/results"
)

// cases is a finding's evidence: so many cases, of which ten are listed; each is
// about one of what, in turn.
func cases(n int, what ...string) string {
	lines := []string{fmt.Sprintf("cases: %d", n)}
	for i := range min(n, 10) {
		lines = append(lines, fmt.Sprintf("program %d (%s) %#x-%#x", 7*i, what[i%len(what)], 4096*i, 4096*i+300))
	}
	if n > 10 {
		lines = append(lines, fmt.Sprintf("and %d more", n-10))
	}
	return strings.Join(lines, "\n")
}

// What the baseline shows as well is not held against the candidate, unless there
// is far more of it or it is about something else; and no chance makes it so.
func TestWorseOnTheCandidate(t *testing.T) {
	of := func(variant string, n int, what ...string) results.Finding {
		return results.Finding{Arch: "s390x", Variant: variant, Scenario: "load", Kind: "permissions", Title: "code is writable", Evidence: cases(n, what...), Cases: n}
	}
	old := func(variant, evidence, fingerprint string) results.Finding {
		return results.Finding{Arch: "s390x", Variant: variant, Scenario: "load", Kind: "warning", Title: "x", Evidence: evidence, Fingerprint: fingerprint}
	}
	// As it was in records of before cases were counted.
	uncounted := func(what string) results.Finding {
		f := of("nopack", 1, what)
		f.Evidence, f.Cases, f.Fingerprint = strings.Replace(f.Evidence, "cases: 1", "1 cases:", 1), 0, "a0dd96305fbd"
		return f
	}
	const bad, good = results.KernelFailed, results.Improved
	for _, tc := range []struct {
		name string
		list []results.Finding
		want results.Verdict
	}{
		{"the same on both", []results.Finding{of("nopack", 1, "xdp"), of("pack", 1, "xdp")}, good},
		{"one more", []results.Finding{of("nopack", 1, "xdp"), of("pack", 2, "xdp")}, good},
		{"a few more", []results.Finding{of("nopack", 3, "xdp"), of("pack", 7, "xdp")}, good},
		{"three hundred more", []results.Finding{of("nopack", 1, "xdp"), of("pack", 301, "xdp")}, bad},
		{"as many more as are listed", []results.Finding{of("nopack", 1, "xdp"), of("pack", 10, "xdp")}, bad},
		{"more, where there were many", []results.Finding{of("nopack", 200, "xdp"), of("pack", 600, "xdp")}, good},
		{"far more, where there were many", []results.Finding{of("nopack", 200, "xdp"), of("pack", 601, "xdp")}, bad},
		{"one more than are listed", []results.Finding{of("nopack", 10, "xdp"), of("pack", 11, "xdp")}, good},
		{"less", []results.Finding{of("nopack", 300, "xdp"), of("pack", 1, "xdp")}, good},
		{"of another type", []results.Finding{of("nopack", 1, "xdp"), of("pack", 1, "kprobe")}, bad},
		{"of another type as well", []results.Finding{of("nopack", 1, "xdp"), of("pack", 2, "xdp", "kprobe")}, bad},
		{"of fewer types", []results.Finding{of("nopack", 2, "xdp", "kprobe"), of("pack", 1, "kprobe")}, good},
		{"of a type that may not have been listed", []results.Finding{of("nopack", 11, "xdp"), of("pack", 11, "kprobe")}, good},
		{"of two types, each in one of the baseline's boots", []results.Finding{of("nopack", 1, "xdp"), of("nopack", 1, "kprobe"), of("pack", 2, "xdp", "kprobe")}, good},
		{"as many as in the worst of the baseline's boots", []results.Finding{of("nopack", 1, "xdp"), of("nopack", 300, "xdp"), of("pack", 301, "xdp")}, good},
		{"the first boot no worse, the second far", []results.Finding{of("nopack", 1, "xdp"), of("pack", 1, "xdp"), of("pack", 301, "xdp")}, bad},
		{"far worse, and only then the baseline's", []results.Finding{of("pack", 301, "xdp"), of("pack", 1, "xdp"), of("nopack", 1, "xdp")}, bad},
		{"another variant's do not excuse it", []results.Finding{of("upstream", 301, "xdp"), of("nopack", 1, "xdp"), of("pack", 301, "xdp")}, bad},
		{"counted for the first time", []results.Finding{uncounted("xdp"), of("pack", 9, "xdp")}, good},
		{"counted for the first time, of another type", []results.Finding{uncounted("xdp"), of("pack", 1, "kprobe")}, bad},
		{"not counted, the same place", []results.Finding{old("nopack", "at 0x1000", "f g"), old("pack", "at 0x2000\nmore", "f g")}, good},
		{"not counted, another place", []results.Finding{old("nopack", "at 0x1000", "f g"), old("pack", "at 0x1000", "f h")}, bad},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := goodRecord()
			rec.Findings = tc.list
			v, why := Judge(rec)
			if v != tc.want {
				t.Errorf("%s: %s; want %s", v, why, tc.want)
			}
			MarkBaseline(rec)
			fs := SortFindings(rec)
			marked := true
			for _, f := range rec.Findings {
				marked = marked && (f.Variant != "pack" || f.OnBaseline)
			}
			if marked != (tc.want == good) || (len(fs.New) > 0) != (tc.want == bad) || len(fs.New) > 1 {
				t.Errorf("all marked: %v, new %v", marked, fs.New)
			}
			for _, f := range fs.New {
				if c := f.Cases; c > 0 && (!fs.Less(f) || !strings.Contains(why, "of which nopack has less")) || c > 10 && c < 301 {
					t.Errorf("%d cases, less on the baseline: %v: %s", c, fs.Less(f), why)
				}
			}
			if len(fs.Baseline) > 0 && fs.Baseline[0].Cases > 0 {
				t.Errorf("on the baseline only: %v", fs.Baseline)
			}
		})
	}
}
