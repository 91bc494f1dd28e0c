// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"packtest/results"
)

// checkedRecord is a series of three patches that pass every check on two
// architectures; the second patch leaves the kernel of s390x as it is.
func checkedRecord() *results.Record {
	c := &results.Check{Series: "mine", Arches: []string{"x86_64", "s390x"}, Planned: results.CheckKinds()}
	rec := &results.Record{Schema: results.Schema, Baseline: "base", Candidate: "patch-03", Check: c}
	for i := 1; i <= 3; i++ {
		c.Patches = append(c.Patches, results.CheckPatch{Subject: fmt.Sprintf("patch %d", i), Applied: true, Style: &results.Style{}})
	}
	for _, arch := range c.Arches {
		for step := 0; step <= 3; step++ {
			v := results.CheckVariant(step)
			cell := results.Cell{Arch: arch, Variant: v, Config: "measure", Image: fmt.Sprintf("%s-%d", arch, step), Objects: 3, BuildSeconds: 2}
			same := arch == "s390x" && step == 2
			if same {
				cell.Image, cell.SameAs = "s390x-1", "patch-01"
			}
			rec.Cells = append(rec.Cells, cell)
			size := results.KernelSize{Code: int64(1000 + 10*step), Data: 5}
			if same {
				size.Code = 1010
			}
			c.Steps = append(c.Steps, results.CheckStep{Arch: arch, Step: step, Since: step - 1, Warnings: 7, Size: size})
			rec.Planned = append(rec.Planned, results.Planned{Arch: arch, Variant: v, Scenario: "shapes", Boots: 1})
			if !same {
				rec.Boots = append(rec.Boots, results.Boot{Arch: arch, Variant: v, Number: 1, Scenarios: []string{"shapes"}, Ending: results.EndingDone, Seconds: 9})
				for _, m := range Rules() {
					if m.expects("shapes") {
						rec.Unmeasured = append(rec.Unmeasured, results.Unmeasured{Arch: arch, Variant: v, Scenario: "shapes", Metric: m.Metric, Why: "a test"})
					}
				}
			}
		}
	}
	for _, x := range []results.CheckConfig{{Arch: "x86_64", Config: "nojit"}, {Arch: "s390x", Config: "nojit"}} {
		c.Configs = append(c.Configs, x)
		c.Builds = append(c.Builds, results.ConfigBuild{Arch: x.Arch, Config: x.Config, Step: 3, Objects: 4})
	}
	return rec
}

func checkedCell(rec *results.Record, arch string, step int) *results.Cell {
	return cell(rec, arch, results.CheckVariant(step))
}

func unbuilt(rec *results.Record, arch string, step int, text string) {
	x := checkedCell(rec, arch, step)
	x.Image, x.SameAs, x.Error, x.Fault = "", "", text, "kernel"
	var steps []results.CheckStep
	for _, s := range rec.Check.Steps {
		if s.Arch == arch && s.Step == step {
			continue
		}
		if s.Arch == arch && s.Since == step {
			s.Since = step - 1
		}
		steps = append(steps, s)
	}
	rec.Check.Steps = steps
	var boots []results.Boot
	for _, b := range rec.Boots {
		if b.Arch != arch || b.Variant != results.CheckVariant(step) {
			boots = append(boots, b)
		}
	}
	rec.Boots = boots
}

// ends changes how a step's boot ended.
func ends(rec *results.Record, arch string, step int, ending, fault string) {
	for i := range rec.Boots {
		if b := &rec.Boots[i]; b.Arch == arch && b.Variant == results.CheckVariant(step) {
			b.Ending, b.Fault = ending, fault
		}
	}
}

func found(rec *results.Record, arch string, step int, title string) {
	rec.Findings = append(rec.Findings, results.Finding{Arch: arch, Variant: results.CheckVariant(step), Scenario: "shapes", Kind: "oops", Title: title, Evidence: "BUG: " + title})
}

// The table as text, and the verdict, after one thing went wrong.
func TestChecks(t *testing.T) {
	const oops = "kernel NULL pointer dereference"
	compileError := func(file string, line int) string {
		return fmt.Sprintf("build x: the kernel does not compile:\n%s:%d:1: error: no\n%s is changed by mine/2", file, line, file)
	}
	for _, tc := range []struct {
		name    string
		change  func(rec *results.Record)
		verdict results.Verdict
		why     string
		// marks are those that differ from the sound record's.
		marks []string
	}{
		{"sound", func(*results.Record) {}, results.Pass, "all 3 patches of mine passed every check on x86_64 and s390x", nil},
		{"checkpatch has remarks", func(r *results.Record) { r.Check.Patches[1].Style = &results.Style{Warnings: 2, Checks: 1, Text: "w"} },
			results.Pass, "checkpatch has remarks on 1", []string{"patch 2, checkpatch: noted: 2 warnings, 1 check"}},
		{"checkpatch has errors", func(r *results.Record) { r.Check.Patches[1].Style = &results.Style{Errors: 1, Text: "w"} },
			results.Regressed, "patch 2, checkpatch: 1 error", []string{"patch 2, checkpatch: failed: 1 error"}},
		{"a new warning", func(r *results.Record) {
			r.Check.Steps[2].New = []results.BuildWarning{{Tool: "compiler", File: "a.c", Line: 2, Text: "unused", Said: "a.c:2:1: warning: unused"}}
		}, results.Regressed, "patch 2, x86_64, warnings: a.c: unused", []string{"patch 2, x86_64, warnings: failed: a.c: unused"}},
		{"sparse says so", func(r *results.Record) {
			r.Check.Steps[2].New = []results.BuildWarning{{Tool: "sparse", File: "a.c", Line: 2, Text: "address space", Said: "a.c:2:1: warning"}}
		}, results.Regressed, "patch 2, x86_64, sparse", []string{"patch 2, x86_64, sparse: failed: a.c: address space"}},
		{"the middle does not build", func(r *results.Record) { unbuilt(r, "x86_64", 2, compileError("a.c", 4)) },
			results.KernelFailed, "patch 2, x86_64, builds: a.c: error: no", []string{
				"patch 2, x86_64, builds: failed: a.c: error: no", "patch 2, x86_64, warnings: skipped: it does not build", "patch 2, x86_64, sparse: skipped: it does not build",
				"patch 2, x86_64, size: skipped: it does not build", "patch 2, x86_64, boots: skipped: it does not build",
				"patch 3, x86_64, builds: ok: builds again", "patch 3, x86_64, warnings: ok: against what stands with patch 1", "patch 3, x86_64, sparse: ok: against what stands with patch 1",
				"patch 3, x86_64, size: ok: code +20 B"}},
		{"and the last inherits that", func(r *results.Record) {
			unbuilt(r, "x86_64", 2, compileError("a.c", 4))
			unbuilt(r, "x86_64", 3, compileError("a.c", 9))
		}, results.KernelFailed, "patch 2, x86_64, builds: a.c: error: no", []string{
			"patch 2, x86_64, builds: failed: a.c: error: no", "patch 2, x86_64, warnings: skipped: it does not build", "patch 2, x86_64, sparse: skipped: it does not build",
			"patch 2, x86_64, size: skipped: it does not build", "patch 2, x86_64, boots: skipped: it does not build",
			"patch 3, x86_64, builds: inherited: as with patch 2: a.c: error: no", "patch 3, x86_64, warnings: skipped: it does not build", "patch 3, x86_64, sparse: skipped: it does not build",
			"patch 3, x86_64, size: skipped: it does not build", "patch 3, x86_64, boots: skipped: it does not build"}},
		{"an oops that stays", func(r *results.Record) { found(r, "s390x", 1, oops); found(r, "s390x", 3, oops) },
			results.KernelFailed, "patch 1, s390x, boots: kernel NULL pointer dereference (oops)", []string{
				"patch 1, s390x, boots: failed: kernel NULL pointer dereference (oops)",
				"patch 2, s390x, boots: inherited: the kernel is the one with patch 1: kernel NULL pointer dereference (oops)",
				"patch 3, s390x, boots: inherited: as with patch 1: kernel NULL pointer dereference (oops)"}},
		{"an oops without the series", func(r *results.Record) {
			for i := range 4 {
				found(r, "x86_64", i, oops)
			}
		}, results.Pass, "3 checks failed as without the series", []string{
			"patch 1, x86_64, boots: inherited: as without the series: kernel NULL pointer dereference (oops)",
			"patch 2, x86_64, boots: inherited: as without the series: kernel NULL pointer dereference (oops)",
			"patch 3, x86_64, boots: inherited: as without the series: kernel NULL pointer dereference (oops)"}},
		{"the second does not apply", func(r *results.Record) {
			p := r.Check.Patches
			p[1] = results.CheckPatch{Subject: "patch 2", Error: "apply mine/2: hunk 1 of a.c: does not apply\n-x"}
			p[2] = results.CheckPatch{Subject: "patch 3"}
		}, results.Regressed, "patch 2, applies: apply mine/2: hunk 1 of a.c: does not apply", []string{
			"patch 2, applies: failed: apply mine/2: hunk 1 of a.c: does not apply", "patch 2, checkpatch: inherited: patch 2 does not apply",
			"patch 2, x86_64, builds: inherited", "patch 2, x86_64, warnings: inherited", "patch 2, x86_64, sparse: inherited", "patch 2, x86_64, size: inherited", "patch 2, x86_64, boots: inherited",
			"patch 2, s390x, builds: inherited", "patch 2, s390x, warnings: inherited", "patch 2, s390x, sparse: inherited", "patch 2, s390x, size: inherited", "patch 2, s390x, boots: inherited",
			"patch 3, applies: inherited", "patch 3, checkpatch: inherited",
			"patch 3, x86_64, builds: inherited", "patch 3, x86_64, warnings: inherited", "patch 3, x86_64, sparse: inherited", "patch 3, x86_64, size: inherited", "patch 3, x86_64, boots: inherited",
			"patch 3, s390x, builds: inherited", "patch 3, s390x, warnings: inherited", "patch 3, s390x, sparse: inherited", "patch 3, s390x, size: inherited", "patch 3, s390x, boots: inherited",
			"patch 3, x86_64, config nojit: inherited", "patch 3, s390x, config nojit: inherited"}},
		{"never booted", func(r *results.Record) { r.Boots = r.Boots[:len(r.Boots)-1] },
			results.HarnessFailed, "patch 3, s390x, boots: shapes of patch-03 on s390x was never booted", []string{"patch 3, s390x, boots: open: shapes of patch-03 on s390x was never booted"}},
		{"no word of its warnings", func(r *results.Record) { r.Check.Steps = r.Check.Steps[:len(r.Check.Steps)-1] },
			results.HarnessFailed, "patch 3, s390x, warnings: nothing is known of its warnings", []string{
				"patch 3, s390x, warnings: broken: nothing is known of its warnings", "patch 3, s390x, sparse: broken: nothing is known of its warnings", "patch 3, s390x, size: broken: nothing is known of its size"}},
		{"never built", func(r *results.Record) { checkedCell(r, "s390x", 3).Variant = "other" },
			results.HarnessFailed, "patch 3, s390x, builds: was not built", []string{
				"patch 3, s390x, builds: open: was not built", "patch 3, s390x, warnings: open: was not built", "patch 3, s390x, sparse: open: was not built",
				"patch 3, s390x, size: open: was not built", "patch 3, s390x, boots: open: was not built"}},
		{"a configuration was not built", func(r *results.Record) { r.Check.Builds = r.Check.Builds[:1] },
			results.HarnessFailed, "patch 3, s390x, config nojit: was not built", []string{"patch 3, s390x, config nojit: open: was not built"}},
		{"a configuration breaks at the second", func(r *results.Record) {
			b := r.Check.Builds[1]
			b.Error, b.Fault = compileError("b.c", 1), "kernel"
			r.Check.Builds[1] = b
			b.Step, b.Error = 2, compileError("b.c", 2)
			r.Check.Builds = append(r.Check.Builds, b)
			b.Step, b.Error, b.Fault = 1, "", ""
			r.Check.Builds = append(r.Check.Builds, b)
			b.Step = 0
			r.Check.Builds = append(r.Check.Builds, b)
		}, results.KernelFailed, "patch 3, s390x, config nojit: since patch 2: b.c: error: no", []string{"patch 3, s390x, config nojit: failed: since patch 2: b.c: error: no"}},
		{"a configuration is broken without the series", func(r *results.Record) {
			b := r.Check.Builds[1]
			b.Error, b.Fault = compileError("b.c", 1), "kernel"
			r.Check.Builds[1] = b
			b.Step = 0
			r.Check.Builds = append(r.Check.Builds, b)
		}, results.Inconclusive, "patch 3, s390x, config nojit: as without the series", []string{"patch 3, s390x, config nojit: inherited: as without the series: b.c: error: no"}},
		{"a configuration breaks, and nothing else of it was tried", func(r *results.Record) {
			b := &r.Check.Builds[1]
			b.Error, b.Fault = compileError("b.c", 1), "kernel"
		}, results.HarnessFailed, "patch 3, s390x, config nojit: what it stands on was not tried", []string{"patch 3, s390x, config nojit: broken: what it stands on was not tried: b.c: error: no"}},
		{"the ground does not build", func(r *results.Record) { unbuilt(r, "x86_64", 0, compileError("a.c", 1)) },
			results.Inconclusive, "base for x86_64 could not be built", []string{
				"patch 1, x86_64, builds: ok: builds again", "patch 1, x86_64, warnings: skipped: no earlier kernel was built to hold it against",
				"patch 1, x86_64, sparse: skipped: no earlier kernel was built to hold it against", "patch 1, x86_64, size: skipped: no earlier kernel was built to hold it against"}},
		{"no kernel gets through its boot", func(r *results.Record) {
			for step := range 4 {
				ends(r, "x86_64", step, "panic", "kernel")
				found(r, "x86_64", step, oops)
			}
		}, results.Inconclusive, "shapes of base on x86_64 ended well in 0 of 1 boot: boot 1 of base on x86_64 ended in panic", []string{
			"patch 1, x86_64, boots: inherited: as without the series", "patch 2, x86_64, boots: inherited: as without the series", "patch 3, x86_64, boots: inherited: as without the series"}},
		{"the ground was never booted", func(r *results.Record) {
			r.Boots = slices.DeleteFunc(r.Boots, func(b results.Boot) bool { return b.Arch == "x86_64" && b.Variant == "base" })
		}, results.HarnessFailed, "shapes of base on x86_64 was never booted", nil},
		{"the ground was never booted, and every patch shows the same", func(r *results.Record) {
			r.Boots = slices.DeleteFunc(r.Boots, func(b results.Boot) bool { return b.Arch == "x86_64" && b.Variant == "base" })
			for step := 1; step < 4; step++ {
				found(r, "x86_64", step, oops)
			}
		}, results.HarnessFailed, "shapes of base on x86_64 was never booted", []string{
			"patch 1, x86_64, boots: skipped: no earlier kernel got through its boot to hold it against: kernel NULL pointer dereference (oops)",
			"patch 2, x86_64, boots: inherited: as with patch 1", "patch 3, x86_64, boots: inherited: as with patch 1"}},
		{"the harness failed in the ground's boot, and a later patch is wrong", func(r *results.Record) {
			ends(r, "x86_64", 0, "qemu-died", "harness")
			found(r, "x86_64", 2, oops)
		}, results.KernelFailed, "patch 2, x86_64, boots: kernel NULL pointer dereference (oops)", []string{"patch 2, x86_64, boots: failed: kernel NULL pointer dereference (oops)"}},
		{"the ground panics, and the first patch otherwise", func(r *results.Record) {
			ends(r, "x86_64", 0, "panic", "kernel")
			found(r, "x86_64", 0, oops)
			found(r, "x86_64", 1, "another oops")
		}, results.Inconclusive, "shapes of base on x86_64 ended well in 0 of 1 boot", []string{"patch 1, x86_64, boots: skipped: no earlier kernel got through its boot to hold it against: another oops (oops)"}},
		{"sparse is missing", func(r *results.Record) {
			r.Check.Planned = []results.CheckKind{results.Applies, results.Checkpatch, results.Builds, results.NoWarning, results.CodeSize, results.Boots}
			r.Check.NotMeasured = []results.CheckGap{{Kind: results.NoSparse, Why: "sparse is not installed"}}
		}, results.Pass, "; not measured: sparse", []string{
			"patch 1, x86_64, sparse: ", "patch 1, s390x, sparse: ", "patch 2, x86_64, sparse: ", "patch 2, s390x, sparse: ", "patch 3, x86_64, sparse: ", "patch 3, s390x, sparse: "}},
		{"boots were not planned, without a word", func(r *results.Record) { r.Check.Planned = r.Check.Planned[:6] },
			results.HarnessFailed, "boots was not planned, and nothing says why", []string{
				"patch 1, x86_64, boots: ", "patch 1, s390x, boots: ", "patch 2, x86_64, boots: ", "patch 2, s390x, boots: ", "patch 3, x86_64, boots: ", "patch 3, s390x, boots: "}},
		{"interrupted", func(r *results.Record) { r.Verdict = results.Interrupted }, results.Interrupted, "", nil},
		{"the harness failed", func(r *results.Record) { r.Verdict, r.Why = results.HarnessFailed, "disk full" }, results.HarnessFailed, "disk full", nil},
		{"the compiler was killed", func(r *results.Record) {
			x := checkedCell(r, "x86_64", 3)
			x.Image, x.Error, x.Fault = "", "out of memory", "harness"
		}, results.HarnessFailed, "patch 3, x86_64, builds: out of memory", []string{
			"patch 3, x86_64, builds: broken: out of memory", "patch 3, x86_64, warnings: broken: out of memory", "patch 3, x86_64, sparse: broken: out of memory",
			"patch 3, x86_64, size: broken: out of memory", "patch 3, x86_64, boots: broken: out of memory"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sound := map[string]bool{}
			for _, c := range Checks(checkedRecord()) {
				sound[says(c)] = true
			}
			rec := checkedRecord()
			tc.change(rec)
			verdict, why := Judge(rec)
			if verdict != tc.verdict || !strings.Contains(why, tc.why) {
				t.Errorf("verdict %s (%s), want %s (%s)", verdict, why, tc.verdict, tc.why)
			}
			var got []string
			there := map[string]bool{}
			for _, c := range Checks(rec) {
				there[name3(c)] = true
				if !sound[says(c)] {
					got = append(got, says(c))
				}
			}
			for _, c := range Checks(checkedRecord()) {
				if !there[name3(c)] {
					got = append(got, name3(c)+": ")
				}
			}
			matched := map[int]bool{}
			for _, g := range got {
				ok := false
				for i, want := range tc.marks {
					if strings.HasPrefix(g, want) {
						matched[i], ok = true, true
					}
				}
				if !ok {
					t.Errorf("unexpected: %s", g)
				}
			}
			for i, want := range tc.marks {
				if !matched[i] {
					t.Errorf("there is no %q", want)
				}
			}
		})
	}
}

func name3(c Checked) string {
	c.Says = ""
	return CheckSays(c)
}

func says(c Checked) string { return fmt.Sprintf("%s: %s: %s", name3(c), c.Mark, c.Says) }

// The size is that of symbols where both kernels have it. Functions that make up
// for each other are a change as well.
func TestCheckSize(t *testing.T) {
	one := &results.Growth{Grown: 1, Shrunk: 1, Up: 16, Down: 16, Most: []results.Grown{{Name: "a", Before: 8, After: 24}, {Name: "b", Before: 20, After: 4}}}
	many := &results.Growth{Added: 9, Removed: 1, Up: 90, Down: 7, Most: []results.Grown{{Name: "new", After: 50}, {Name: "old", Before: 7}}}
	for _, tc := range []struct {
		before, after *results.KernelSize
		functions     *results.Growth
		mark          CheckMark
		says          string
		evidence      string
	}{
		{nil, nil, nil, CheckOK, "code +10 B", ""},
		{nil, &results.KernelSize{Code: 900}, nil, CheckOK, "code +10 B", ""},
		{&results.KernelSize{Code: 900}, &results.KernelSize{Code: 907}, nil, CheckOK, "code +7 B", ""},
		{&results.KernelSize{Code: 900}, &results.KernelSize{Code: 900, ReadOnly: 4, Data: 5, Zero: 6}, nil, CheckOK, "read-only data +4 B, data +5 B, zeroed data +6 B", ""},
		{&results.KernelSize{Code: 900}, &results.KernelSize{Code: 900}, &results.Growth{}, CheckSame, "nothing is larger or smaller", ""},
		{&results.KernelSize{Code: 900}, &results.KernelSize{Code: 900}, one, CheckOK, "code +0 B",
			"functions: 0 added, 0 removed, 1 grown, 1 shrunk; +16 B, -16 B\n    +16 a (8 -> 24)\n    -16 b (20 -> 4)\n"},
		{&results.KernelSize{Code: 900}, &results.KernelSize{Code: 983}, many, CheckOK, "code +83 B",
			"functions: 9 added, 1 removed, 0 grown, 0 shrunk; +90 B, -7 B\n    +50 new (new)\n     -7 old (gone)\nand 8 more\n"},
	} {
		rec := checkedRecord()
		rec.Check.Steps[0].Symbols, rec.Check.Steps[1].Symbols, rec.Check.Steps[1].Functions = tc.before, tc.after, tc.functions
		got := checker{rec, rec.Check}.size("x86_64", 1)
		if got.Mark != tc.mark || got.Says != tc.says || got.Evidence != tc.evidence {
			t.Errorf("%s, %q, evidence\n%s\nwant %s, %q\n%s", got.Mark, got.Says, got.Evidence, tc.mark, tc.says, tc.evidence)
		}
	}
}

// A check that was cut short says where it stopped, in the order in which checks
// are carried out.
func TestUnbegun(t *testing.T) {
	booted := func(r *results.Record, arches ...string) {
		r.Boots = slices.DeleteFunc(r.Boots, func(b results.Boot) bool { return !slices.Contains(arches, b.Arch) })
	}
	built := func(r *results.Record, arch string, last int) {
		r.Cells = slices.DeleteFunc(r.Cells, func(c results.Cell) bool { return c.Arch == arch && c.Variant > results.CheckVariant(last) })
		r.Check.Steps = slices.DeleteFunc(r.Check.Steps, func(s results.CheckStep) bool { return s.Arch == arch && s.Step > last })
	}
	const checks = 3*(2+2*5) + 2
	for _, tc := range []struct {
		change func(r *results.Record)
		want   string
	}{
		{func(r *results.Record) { r.Check.Patches[2].Style = nil; r.Check.Builds = nil }, "3 of 38 checks not begun; the next is patch 3, checkpatch"},
		{func(r *results.Record) {
			built(r, "x86_64", 1)
			built(r, "s390x", 0)
			booted(r)
			r.Check.Builds = nil
		}, "28 of 38 checks not begun; the next is patch 2, x86_64, builds"},
		{func(r *results.Record) { built(r, "s390x", 2); booted(r); r.Check.Builds = nil }, "12 of 38 checks not begun; the next is patch 3, s390x, builds"},
		{func(r *results.Record) { booted(r, "x86_64"); r.Check.Builds = nil }, "5 of 38 checks not begun; the next is patch 1, s390x, boots"},
		{func(r *results.Record) { r.Check.Builds = r.Check.Builds[:1] }, "1 of 38 checks not begun; the next is patch 3, s390x, config nojit"},
		{func(*results.Record) {}, ""},
	} {
		rec := checkedRecord()
		rec.Verdict, rec.Why = results.Interrupted, "enough"
		tc.change(rec)
		if n := len(Checks(rec)); n != checks {
			t.Fatalf("%d checks, want %d", n, checks)
		}
		if got := Unbegun(rec); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
		if _, why := Judge(rec); why != strings.TrimSuffix("enough: "+tc.want, ": ") {
			t.Errorf("the verdict says %q", why)
		}
	}
	if got := Unbegun(&results.Record{}); got != "" {
		t.Errorf("a record of no check: %q", got)
	}
}

func TestUnchangedSeries(t *testing.T) {
	rec := checkedRecord()
	for i := range rec.Cells {
		x := &rec.Cells[i]
		x.Image = x.Arch
		if x.Variant != "base" {
			x.SameAs = "base"
		}
	}
	var boots []results.Boot
	for _, b := range rec.Boots {
		if b.Variant == "base" {
			boots = append(boots, b)
		}
	}
	rec.Boots = boots
	if verdict, why := Judge(rec); verdict != results.Unchanged || !strings.Contains(why, "leave the binary as it is on x86_64 and s390x") {
		t.Errorf("verdict %s (%s)", verdict, why)
	}
}
