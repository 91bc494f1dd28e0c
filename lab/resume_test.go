// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/kernel/build"
	"packtest/kernel/source"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

// smallPlan asks for two boots of one kernel.
func smallPlan() *plan.Plan {
	p := plan.Default()
	p.Arches, p.Boots, p.VM.Accelerator = []string{"s390x"}, 2, vm.TCG
	if err := p.Keep(nil, []string{"pack"}, []string{"load"}); err != nil {
		panic(err)
	}
	return p
}

// cutShort is a run that made one of its boots, and began another.
func cutShort(t *testing.T, second results.Boot) *run {
	t.Helper()
	r, _ := testRun(t, openCache(t))
	r.plan = smallPlan()
	r.prep = &prepared{base: &source.Base{Commit: "c0"}, commits: map[string]string{"pack": "c1"}}
	r.rec.Started, r.rec.Command = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), []string{"packtest", "run"}
	r.rec.Verdict, r.rec.Why = results.Interrupted, "the run has not ended"
	r.rec.Provenance = provenance(t.Context(), "", r.prep, Request{Plan: r.plan})
	r.rec.Provenance.Accelerator = map[string]string{"s390x": vm.TCG}
	r.rec.Planned = planned(r.plan)
	if err := r.keepPlan(); err != nil {
		t.Fatal(err)
	}
	if err := r.putCell(results.Cell{Arch: "s390x", Variant: "pack", Commit: "c1", Image: "aa", ConfigSHA256: "cc"}); err != nil {
		t.Fatal(err)
	}
	second.Arch, second.Variant, second.Number = "s390x", "pack", 2
	if err := r.update(func(rec *results.Record) {
		rec.Boots = append(rec.Boots, results.Boot{Arch: "s390x", Variant: "pack", Number: 1, Scenarios: []string{"load"}, Ending: results.EndingDone}, second)
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestResumeMakesWhatIsMissing(t *testing.T) {
	for _, tc := range []struct {
		name   string
		second results.Boot
		left   int
	}{
		{"never begun", results.Boot{Variant: "other"}, 1},
		{"interrupted", results.Boot{Ending: "interrupted", Fault: "interrupted"}, 1},
		{"failed for the harness's fault", results.Boot{Ending: "qemu-died", Fault: "harness"}, 1},
		{"failed for nobody's known fault", results.Boot{Ending: "qemu-died"}, 1},
		{"the kernel panicked", results.Boot{Ending: "panic", Fault: "kernel"}, 0},
		{"done", results.Boot{Ending: results.EndingDone}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := cutShort(t, tc.second)
			if tc.second.Variant != "" {
				r.rec.Boots = r.rec.Boots[:1]
			}
			if err := r.reopen(t.Context(), []string{"packtest", "resume"}); err != nil {
				t.Fatal(err)
			}
			left, total := Unfinished(r.rec)
			if left != tc.left || total != 2 || len(r.rec.Boots) != 2-tc.left {
				t.Errorf("%d of %d left, boots %+v", left, total, r.rec.Boots)
			}
			s := r.rec.Sittings
			if r.sitting != 2 || len(s) != 2 || !s[0].Started.Equal(r.rec.Started) || s[1].Command[1] != "resume" {
				t.Errorf("sittings %+v", s)
			}
			if again := strings.Contains(strings.Join(r.rec.Notes, "\n"), "boot 2: made again, because it ended in "+tc.second.Ending); again != (tc.left == 1 && tc.second.Ending != "") {
				t.Errorf("notes %q", r.rec.Notes)
			}
		})
	}
}

// A boot that is made after a resumption says so, and one before does not.
func TestSittingsOfBoots(t *testing.T) {
	r, _ := testRun(t, openCache(t), fakeBoot{ending: vm.Done, says: well(3)}, fakeBoot{ending: vm.Done, says: well(3)})
	r.carryOutOne(t, testBoot(false), initrdFile(t))
	r.sitting = 2
	b := testBoot(false)
	b.number = 2
	r.carryOutOne(t, b, initrdFile(t))
	if r.rec.Boots[0].Sitting != 0 || r.rec.Boots[1].Sitting != 2 {
		t.Errorf("sittings %d and %d", r.rec.Boots[0].Sitting, r.rec.Boots[1].Sitting)
	}
}

func TestResumeRefuses(t *testing.T) {
	for _, tc := range []struct {
		what   string
		change func(*run)
		says   string
	}{
		{"nothing", func(*run) {}, ""},
		{"packtest", func(r *run) { r.rec.Resume.Build = "another" }, "packtest, and the guest in it, is not the one"},
		{"base", func(r *run) { r.prep.base.Commit = "c9" }, "the base was c0 and is c9"},
		{"tree", func(r *run) { r.prep.commits["pack"] = "c9" }, "the tree of pack was c1 and is c9"},
		{"series", func(r *run) { r.rec.Provenance.Series = []results.Series{{Name: "v5", SHA256: "ab"}} }, "the series was v5 ab and is none"},
		{"QEMU", func(r *run) { r.rec.Provenance.Tools["qemu-s390x"] = "QEMU 1" }, "QEMU for s390x was QEMU 1 and is"},
		{"host", func(r *run) { r.rec.Provenance.Host.CPUs = 99 }, "the host was"},
		{"geometries", func(r *run) { r.prep.geometries.text = "another" }, "the file of geometries is not what it was"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			r := cutShort(t, results.Boot{Ending: "interrupted", Fault: "interrupted"})
			tc.change(r)
			err := r.reopen(t.Context(), nil)
			var refused *refusal
			switch {
			case tc.says == "" && err != nil:
				t.Fatal(err)
			case tc.says != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), tc.says) || fault.Of(err) != fault.Input || fault.HintOf(err) == ""):
				t.Fatalf("err = %v, hint %q, want %q", err, fault.HintOf(err), tc.says)
			case tc.says != "" && len(r.rec.Sittings) != 0:
				t.Error("a refused resumption is in the record")
			}
		})
	}
	r := cutShort(t, results.Boot{})
	if err := r.putCell(results.Cell{Arch: "s390x", Variant: "pack", Image: "bb", ConfigSHA256: "cc"}); err == nil || !strings.Contains(err.Error(), "its image was aa and is bb") {
		t.Errorf("another image: %v", err)
	}
	if err := r.putCell(results.Cell{Arch: "s390x", Variant: "pack", Image: "aa", ConfigSHA256: "cc"}); err != nil || len(r.rec.Cells) != 1 {
		t.Errorf("the same image: %v, cells %v", err, r.rec.Cells)
	}
	if err := r.sameAccelerators(map[string]string{"s390x": vm.KVM}); err == nil || !strings.Contains(err.Error(), "was tcg and is kvm") {
		t.Errorf("another accelerator: %v", err)
	}
}

// A run that is finished is given back as it is: nothing is built, booted or
// written.
func TestResumeOfAFinishedRun(t *testing.T) {
	r := cutShort(t, results.Boot{Ending: "panic", Fault: "kernel"})
	rec, err := r.finish(nil)
	if err != nil || rec.Verdict != results.KernelFailed {
		t.Fatalf("%s (%s), %v", rec.Verdict, rec.Why, err)
	}
	path := filepath.Join(r.dir, results.RecordName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	again, err := (&Lab{Store: r.Store}).Resume(t.Context(), rec.ID, nil) // there is nothing to do anything with
	if err != nil || again.ID != rec.ID {
		t.Fatalf("%v, %v", again, err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the record was changed: %v", err)
	}
}

// What was asked for by its name is asked for when the run goes on.
func TestResumeAsksForTheSame(t *testing.T) {
	for _, asked := range []bool{true, false} {
		r := cutShort(t, results.Boot{Variant: "other"})
		r.plan.Scenarios[0].Asked, r.plan.FirstFinding = asked, asked
		if err := r.keepPlan(); err != nil {
			t.Fatal(err)
		}
		_, p, err := r.loadResumable(r.rec.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Scenarios[0].Asked; got != asked {
			t.Errorf("asked for: %v, want %v", got, asked)
		}
		if p.FirstFinding != asked {
			t.Errorf("a kernel is left alone after a finding: %v, want %v", p.FirstFinding, asked)
		}
	}
}

// A kernel that could not be built is not built again, and one boot of another
// sitting is no reason to look for its kernel's boots.
func TestBuiltBefore(t *testing.T) {
	r := cutShort(t, results.Boot{})
	if c := r.builtBefore("s390x", "pack"); c != nil {
		t.Errorf("a kernel that was built: %+v", c)
	}
	r.rec.Cells[0].Error, r.rec.Cells[0].Fault = "error: f.c", "kernel"
	c := r.builtBefore("s390x", "pack")
	if c == nil || c.kernel != nil || fault.Of(c.err) != fault.Kernel {
		t.Fatalf("a kernel that was not: %+v", c)
	}
	if left, total := Unfinished(r.rec); left != 0 || total != 0 {
		t.Errorf("%d of %d left of a kernel that can't be booted", left, total)
	}
	if left := remaining(r.rec, schedule(r.plan, []*cell{{arch: "s390x", variant: "pack", kernel: &build.Kernel{}}})); fmt.Sprint(len(left)) != "1" {
		t.Errorf("%d left", len(left))
	}
}

func TestResumeNeedsAPlan(t *testing.T) {
	r := cutShort(t, results.Boot{})
	r.rec.Resume = nil
	if err := r.Store.Save(r.rec); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resume(t.Context(), r.rec.ID, nil); err == nil || fault.Of(err) != fault.Input || !strings.Contains(err.Error(), "does not hold its plan") {
		t.Errorf("err = %v", err)
	}
	// Patches of a series one by one are no plan that a file can say.
	r.plan.Variants[0].First = 1
	if err := r.keepPlan(); err != nil || r.rec.Resume != nil {
		t.Errorf("%v, %+v", err, r.rec.Resume)
	}
}

// While a run goes on nobody else resumes it.
func TestResumeOfARunThatGoesOn(t *testing.T) {
	r := cutShort(t, results.Boot{})
	release, err := r.Store.Hold(r.rec.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := r.Resume(t.Context(), r.rec.ID, nil); err == nil || !strings.Contains(err.Error(), "another packtest is using the run") {
		t.Errorf("err = %v", err)
	}
}

// A search goes on with the plan and the request that its record holds, patch by
// patch. Nothing can be built of this tree, which is the harness's fault.
func TestResumeOfASearch(t *testing.T) {
	need.Commands(t, "make", "s390x-linux-gnu-gcc")
	dir := checkTree(t, [2]string{"core.c", "two\n"}, [2]string{"core.c", "three\n"})
	l := seriesLab(t)
	l.Store, l.Now = results.NewStore(t.TempDir()), time.Now
	p := plan.Default()
	p.Base, p.Arches, p.Scenarios = "tree:"+dir+"@v6", []string{"s390x"}, []plan.Scenario{{Name: "load"}}
	p.Variants = append(p.Variants, plan.Variant{Name: "mine", Stack: []string{"range:v6..mine"}})
	p.Baseline, p.Candidate = "upstream", "mine"
	first, err := l.Bisect(t.Context(), BisectRequest{Request: Request{Plan: p, Command: []string{"packtest", "bisect"}}, Metric: "jit_pages", Confidence: 0.9, Tries: 2, Looks: 50})
	if fault.Of(err) != fault.Harness || first == nil || first.Verdict != results.HarnessFailed {
		t.Fatalf("%v, %+v", err, first)
	}
	if s := first.Resume.Search; s == nil || *s != (results.Search{Metric: "jit_pages", Confidence: 0.9, Tries: 2, Looks: 50}) {
		t.Errorf("the record holds %+v", s)
	}
	rec, err := l.Resume(t.Context(), first.ID, []string{"packtest", "resume"})
	if fault.Of(err) != fault.Harness || rec == nil || rec.ID != first.ID || len(rec.Sittings) != 2 {
		t.Fatalf("%v, %+v", err, rec)
	}
	if b := rec.Bisection; b == nil || len(b.Patches) != 2 || b.Confidence != 0.9 {
		t.Errorf("the search is %+v", b)
	}
	gitIn(t, dir, "commit", "--quiet", "--allow-empty", "--amend", "-m", "another")
	var refused *refusal
	if _, err := l.Resume(t.Context(), first.ID, nil); !errors.As(err, &refused) {
		t.Errorf("the series is another one, and the search goes on: %v", err)
	}
	if again, err := l.Store.Load(first.ID); err != nil || len(again.Sittings) != 2 {
		t.Errorf("a refused resumption is in the record: %v", err)
	}
}
