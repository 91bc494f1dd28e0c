// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/results"
)

// checkRecord is a series of three patches, checked on two architectures: the
// second breaks s390x, and the third adds a warning there and panics.
func checkRecord() *results.Record {
	const broken = "build patch-02/s390x/measure: the kernel does not compile:\narch/s390/net/bpf_jit_comp.c:2301:2: error: implicit declaration of function 'bpf_jit_pack_alloc'\n 2301 |  bpf_jit_pack_alloc();\narch/s390/net/bpf_jit_comp.c is changed by mine/0002.patch"
	started := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	c := &results.Check{Series: "mine", Arches: []string{"x86_64", "s390x"}}
	for _, k := range results.CheckKinds() {
		if k != results.NoSparse {
			c.Planned = append(c.Planned, k)
		}
	}
	c.NotMeasured = []results.CheckGap{{Kind: results.NoSparse, Why: "sparse is not installed; as root: apt-get install --no-install-recommends sparse"}}
	c.Patches = []results.CheckPatch{
		{Subject: "bpf: Add an allocator that packs programs", Applied: true, Style: &results.Style{Warnings: 1, Checks: 1, Text: "WARNING:LONG_LINE: line length of 104 exceeds 100 columns\n#31: FILE: kernel/bpf/core.c:880:\n\nCHECK:SPACING: spaces preferred around that '*'"}},
		{Subject: "bpf, s390: Put programs into packs", Applied: true, Style: &results.Style{}},
		{Subject: "bpf: Give back what is empty", Applied: true, Style: &results.Style{Errors: 1, Text: "ERROR:MISSING_SIGN_OFF: Missing Signed-off-by: line(s)"}},
	}
	rec := &results.Record{
		Schema: results.Schema, ID: "20260304-050607", Started: started, Finished: started.Add(20 * time.Minute),
		Command: []string{"packtest", "check", "--series", "mine"}, Seed: 1, Baseline: "base", Candidate: "patch-03", Check: c,
		Provenance: results.Provenance{Packtest: "test", Base: results.Base{Spec: "debian:linux-source-6.1", Version: "6.1.192-2", Commit: strings.Repeat("a", 40)},
			Series:      []results.Series{{Name: "mine", SHA256: strings.Repeat("b", 64), Patches: []string{"1.patch", "2.patch", "3.patch"}}},
			Accelerator: map[string]string{"x86_64": "tcg", "s390x": "tcg"}, Tools: map[string]string{"gcc-s390x": "gcc 12"}},
	}
	for _, arch := range c.Arches {
		since := -1
		for step := range 4 {
			v := results.CheckVariant(step)
			x := results.Cell{Arch: arch, Variant: v, Config: "measure", Stack: []string{"ground"}, Image: fmt.Sprintf("%064d", len(arch)*10+step), Objects: 30 * step, BuildSeconds: 12}
			rec.Planned = append(rec.Planned, results.Planned{Arch: arch, Variant: v, Scenario: "shapes", Boots: 1})
			if arch == "s390x" && step == 2 {
				x.Image, x.Error, x.Fault = "", broken, fault.Kernel.String()
				rec.Cells = append(rec.Cells, x)
				continue
			}
			size := results.KernelSize{Code: int64(4000000 + 312*step), Data: 5}
			same := arch == "x86_64" && step == 2
			if same {
				x.Image, x.SameAs = rec.Cells[1].Image, results.CheckVariant(1)
				size.Code -= 312
			}
			rec.Cells = append(rec.Cells, x)
			s := results.CheckStep{Arch: arch, Step: step, Since: since, Warnings: 40, Size: size}
			if arch == "s390x" { // x86_64 is as in a record from before symbols were measured
				// The sections' alignment hides most of it.
				s.Symbols = &results.KernelSize{Code: int64(3900000 + 340*step), Data: 5}
				s.Functions = &results.Growth{Added: 2, Grown: 1, Shrunk: 1, Up: 370, Down: 30, Most: []results.Grown{
					{Name: "bpf_pack_alloc", After: 300}, {Name: "bpf_int_jit_compile", Before: int64(844 + 56*step), After: int64(900 + 56*step)}, {Name: "bpf_jit_free", Before: 130, After: 100}}}
			}
			b := results.Boot{Arch: arch, Variant: v, Number: 1, Scenarios: []string{"load", "shapes"}, Ending: results.EndingDone, Seconds: 9, Accelerator: "tcg", Console: "consoles/x.log", Started: started}
			if arch == "s390x" && step == 3 {
				s.New = []results.BuildWarning{{Tool: "compiler", File: "kernel/bpf/core.c", Line: 901, Text: "variable 'n' set but not used [-Wunused-but-set-variable]",
					Said: "kernel/bpf/core.c: In function 'bpf_pack_free':\nkernel/bpf/core.c:901:6: warning: variable 'n' set but not used [-Wunused-but-set-variable]\n  901 |  int n;\n      |      ^"}}
				b.Ending, b.Fault, b.Detail = "panic", fault.Kernel.String(), "Kernel panic - not syncing"
				rec.Findings = append(rec.Findings, results.Finding{Arch: arch, Variant: v, Scenario: "shapes", Kind: "panic", Title: "Kernel panic - not syncing: BUG in bpf_pack_free", Evidence: "kernel BUG at kernel/bpf/core.c:902!\nCall Trace:\n bpf_pack_free", Boot: 1})
			}
			c.Steps = append(c.Steps, s)
			since = step
			if !same {
				rec.Boots = append(rec.Boots, b)
				for _, m := range compare.Rules() {
					if strings.Contains(" "+m.Scenario+" ", " shapes ") {
						rec.Unmeasured = append(rec.Unmeasured, results.Unmeasured{Arch: arch, Variant: v, Scenario: "shapes", Metric: m.Metric, Why: "a test"})
					}
				}
			}
		}
		for _, config := range []string{"thp", "nojit"} {
			c.Configs = append(c.Configs, results.CheckConfig{Arch: arch, Config: config})
			c.Builds = append(c.Builds, results.ConfigBuild{Arch: arch, Config: config, Step: 3, Objects: 500, Seconds: 100})
		}
	}
	c.Configs = append(c.Configs, results.CheckConfig{Arch: "x86_64", Config: "i386"})
	const i386 = "build patch-03/x86_64/check-i386: the kernel does not compile:\nkernel/bpf/core.c:880:9: error: 'PMD_SIZE' undeclared"
	for step, err := range map[int]string{3: i386, 0: "", 1: i386} {
		b := results.ConfigBuild{Arch: "x86_64", Config: "i386", Step: step, Error: err}
		if err != "" {
			b.Fault = fault.Kernel.String()
		}
		c.Builds = append(c.Builds, b)
	}
	rec.Verdict, rec.Why = compare.Judge(rec)
	rec.Normalise()
	return rec
}

func TestCheckGoldens(t *testing.T) {
	d := Build(checkRecord())
	golden(t, "check.txt", func(w io.Writer) error { return Text(w, d) })
	golden(t, "check.ascii.txt", func(w io.Writer) error { return TextStyle{ASCII: true}.Write(w, d) })
	golden(t, "check.md", func(w io.Writer) error { return Markdown(w, d) })
	for _, format := range []string{"junit", "ktap", "b4"} {
		golden(t, "check."+format, func(w io.Writer) error { return Write(w, format, checkRecord()) })
	}
}

// What no earlier kernel can be held against is shown, and blamed on nobody.
func TestCheckShowsTheUnclear(t *testing.T) {
	rec := checkRecord()
	rec.Boots = slices.DeleteFunc(rec.Boots, func(b results.Boot) bool { return b.Arch == "s390x" && b.Variant != results.CheckVariant(3) })
	var out strings.Builder
	if err := Text(&out, Build(rec)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Wrong, with no earlier kernel to hold it against", "kernel BUG at kernel/bpf/core.c:902!"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, out.String())
		}
	}
}

// What was not begun is one line, however much it is.
func TestCheckCutShort(t *testing.T) {
	rec := checkRecord()
	rec.Cells = slices.DeleteFunc(rec.Cells, func(c results.Cell) bool { return c.Arch == "s390x" })
	rec.Check.Steps = slices.DeleteFunc(rec.Check.Steps, func(s results.CheckStep) bool { return s.Arch == "s390x" })
	rec.Boots, rec.Findings, rec.Check.Builds = nil, nil, nil
	rec.Verdict, rec.Why = results.Interrupted, "interrupted before its end"
	var out strings.Builder
	if err := Text(&out, Build(rec)); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	const left = "20 of 35 checks not begun; the next is patch 1, s390x, builds"
	for _, want := range []string{"interrupted before its end: " + left, left + "; the same command goes on, with the kernels that were built."} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, out.String())
		}
	}
	if n := strings.Count(text, "was not built") + strings.Count(text, "never booted"); n > 0 {
		t.Errorf("%d checks that were not begun are listed:\n%s", n, out.String())
	}
}
