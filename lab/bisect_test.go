// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/compare"
	"packtest/guest/wire"
	"packtest/internal/fault"
	"packtest/kernel/build"
	"packtest/kernel/series"
	"packtest/kernel/source"
	"packtest/metric"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
)

// fakeSeries is a world for a bisector without compilers and QEMU.
type fakeSeries struct {
	patches, culprit int
	// chance is how often a kernel with the culprit shows the fault.
	chance float64
	// ends says how a step's boot ends where that isn't Done, and builds why a
	// step doesn't build.
	ends   map[int]vm.Ending
	builds map[int]error
	// same maps a step to the one whose image it has.
	same map[int]int
	// pages is jit_pages of a step; nil has churn attacked instead of load.
	pages func(step int) float64
	// ground has the finding on what the series stands on, too.
	ground bool

	// stop is after how many boots the search is interrupted; 0 is never.
	stop int

	// there are the steps whose kernels exist before the search.
	there []int

	rand   *rand.Rand
	job    []string // of the boot that is next
	built  []int
	booted map[int]int
}

func overlap() *wire.Finding {
	return &wire.Finding{Kind: "overlap", Title: "programs' code overlaps", Evidence: "two programs at 0x3ff80000000"}
}

// says is what the guest of a step says after its hello. The first scenario of its
// job shows the fault.
func (f *fakeSeries) says(step int) []wire.Message {
	var msgs []wire.Message
	done := wire.Done{Scenarios: len(f.job)}
	for i, scenario := range f.job {
		msgs = append(msgs, wire.Message{Type: wire.TypeBegin, Scenario: scenario})
		for _, r := range compare.Rules() {
			if !slices.Contains(strings.Fields(r.Scenario), scenario) {
				continue
			}
			x := 10.0
			if r.Metric == "jit_pages" {
				x = f.pages(step)
			}
			s := metric.New(r.Metric, nil, x)
			msgs = append(msgs, wire.Message{Type: wire.TypeSample, Scenario: scenario, Sample: &s})
		}
		if i == 0 && f.pages == nil && (step >= f.culprit || f.ground) && f.rand.Float64() < f.chance {
			msgs = append(msgs, wire.Message{Type: wire.TypeFinding, Scenario: scenario, Finding: overlap()})
			done.Findings++
		}
		msgs = append(msgs, wire.Message{Type: wire.TypeEnd, Scenario: scenario, End: &wire.End{}})
	}
	return append(msgs, wire.Message{Type: wire.TypeDone, Done: &done})
}

// bisect carries out a search in the fake world.
func (f *fakeSeries) bisect(t *testing.T, change func(*BisectRequest)) (*results.Record, error) {
	t.Helper()
	b := f.begin(t, change)
	return b.finish(b.carryOut(t.Context()))
}

// begin prepares a search in the fake world.
func (f *fakeSeries) begin(t *testing.T, change func(*BisectRequest)) *bisector {
	t.Helper()
	if f.rand == nil {
		f.rand = rand.New(rand.NewPCG(1, 2026))
	}
	f.booted = map[int]int{}
	r, _ := testRun(t, openCache(t))
	p := plan.Default()
	p.Arches, p.Boots, p.Parallel = []string{"s390x"}, 1, 1
	p.Scenarios = []plan.Scenario{{Name: "churn"}, {Name: "shapes"}}
	if f.pages != nil {
		p.Scenarios = []plan.Scenario{{Name: "load"}}
	}
	req := BisectRequest{Request: Request{Plan: p}, Confidence: 0.95, Tries: 3, Looks: 200}
	if change != nil {
		change(&req)
	}
	if err := req.validate(); err != nil {
		t.Fatal(err)
	}
	s := series.Series{Name: "mine"}
	for n := range f.patches {
		s.Patches = append(s.Patches, series.Patch{Name: fmt.Sprintf("%04d-change.patch", n+1)})
	}
	ground := series.Series{Name: "nopack", Patches: []series.Patch{{Name: "0001-ground.patch"}}}
	r.prep = &prepared{base: &source.Base{Commit: "c0"}, stacks: map[string][]series.Series{"nopack": {ground}, "pack": {ground, s}}, commits: map[string]string{}}
	r.rec.Planned = nil
	return f.search(t, r, req)
}

// search is a search of the run r.
func (f *fakeSeries) search(t *testing.T, r *run, req BisectRequest) *bisector {
	r.plan = req.Plan
	initrd := initrdFile(t)
	r.Boot = func(ctx context.Context, m vm.Machine, g vm.Guest) (*vm.Outcome, error) {
		var step int
		fmt.Sscanf(m.Kernel, "step %d", &step)
		f.booted[step]++
		boot := fakeBoot{ending: vm.Done, says: f.says(step)}
		if e, ok := f.ends[step]; ok {
			boot = fakeBoot{ending: e, detail: "of another cause"}
		}
		return (&fakeVM{scripts: []fakeBoot{boot}}).run(ctx, m, g)
	}
	b := newBisector(r, req)
	b.accel = map[string]string{"s390x": vm.TCG}
	b.seek = func(context.Context) error {
		for _, step := range f.there {
			b.exists[step] = true
		}
		return nil
	}
	b.makeCell = func(_ context.Context, arch, variant string) (*cell, error) {
		step := slices.IndexFunc(b.steps, func(s results.BisectStep) bool { return s.Variant == variant })
		f.built = append(f.built, step)
		c := &cell{arch: arch, variant: b.steps[step].Variant, err: f.builds[step]}
		image := step
		if as, ok := f.same[step]; ok {
			image = as
		}
		rc := results.Cell{Arch: arch, Variant: c.variant, Image: fmt.Sprint("image ", image)}
		if c.err == nil {
			c.kernel = &build.Kernel{SHA256: rc.Image, Boot: fmt.Sprint("step ", step)}
		} else {
			rc = results.Cell{Arch: arch, Variant: c.variant, Error: c.err.Error(), Fault: "kernel"}
		}
		r.cells = append(r.cells, c)
		return c, b.update(func(rec *results.Record) {
			rec.Cells = append(rec.Cells, rc)
			if c.err != nil {
				rec.Findings = append(rec.Findings, results.Finding{Arch: arch, Variant: c.variant, Scenario: buildScenario, Kind: "build", Title: "the kernel does not build"})
			}
		})
	}
	b.makeBoots = func(ctx context.Context, boots []*boot, accel map[string]string, told func(*boot, *outcome)) error {
		for _, bt := range boots {
			if f.stop > 0 && f.boots() == f.stop {
				return context.Canceled
			}
			f.job = bt.names()
			o, err := r.bootTwice(ctx, bt, accel[bt.arch], initrd)
			if err != nil {
				return err
			}
			if err := r.recordBoot(bt, o); err != nil {
				return err
			}
			told(bt, o)
		}
		return nil
	}
	return b
}

// boots is how many were made in all.
func (f *fakeSeries) boots() int {
	n := 0
	for _, times := range f.booted {
		n += times
	}
	return n
}

// A search that was cut short, wherever that was, goes on as if nothing had
// happened: no boot is made twice, and none is lost.
func TestBisectGoesOn(t *testing.T) {
	undisturbed := func() fakeSeries {
		return fakeSeries{patches: 11, culprit: 7, chance: 0.5, rand: rand.New(rand.NewPCG(3, 2026))}
	}
	whole := undisturbed()
	want, err := whole.bisect(t, nil)
	if err != nil || !want.Bisection.Found() || whole.boots() < 8 {
		t.Fatalf("%v, %+v", err, want.Bisection)
	}
	for stop := 1; stop < whole.boots(); stop += 3 {
		f := undisturbed()
		f.stop = stop
		b := f.begin(t, nil)
		if err := b.keepSearch(); err != nil {
			t.Fatal(err)
		}
		p := b.plan
		rec, err := b.finish(b.carryOut(t.Context()))
		if fault.Of(err) != fault.Interrupted || rec.Verdict != results.Interrupted || rec.Bisection.Found() {
			t.Fatalf("stopped after %d boots: %v, %s", stop, err, rec.Why)
		}
		if left, _ := Unfinished(rec); left == 0 || rec.Resume.Search == nil || *rec.Resume.Search != (results.Search{Confidence: 0.95, Tries: 3, Looks: 200}) {
			t.Errorf("%d left, %+v", left, rec.Resume)
		}
		// A boot was interrupted after it had found something, and packtest was killed.
		again, err := b.Store.Load(rec.ID)
		if err != nil {
			t.Fatal(err)
		}
		again.Findings = append(again.Findings, results.Finding{Arch: "s390x", Variant: "pack-9", Boot: 77, Kind: "warning", Title: "of a boot that is gone"})
		looks, err := os.OpenFile(filepath.Join(b.dir, looksName), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := looks.WriteString(`{"boot": {"arch": "s39`); err != nil {
			t.Fatal(err)
		}
		looks.Close()

		f.stop = 0
		again.Cells = nil // the fake world makes them anew
		r := &run{Lab: b.Lab, prep: b.prep, rec: again, dir: b.dir, sitting: 2}
		req := b.req
		req.Plan = p
		b = f.search(t, r, req)
		rec, err = b.finish(b.goOn(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.Bisection, rec.Bisection); d != "" || f.boots() != whole.boots() || len(rec.Boots) != len(want.Boots) || rec.Verdict != want.Verdict {
			t.Errorf("stopped after %d boots: %d made in all, %d in the record, want %d\n%s", stop, f.boots(), len(rec.Boots), whole.boots(), d)
		}
		if n := len(rec.Findings); n != len(want.Findings)+1 {
			t.Errorf("%d findings, want %d and the one of the boot that is gone", n, len(want.Findings))
		}
		sittings := map[int]int{}
		for _, bt := range rec.Boots {
			sittings[bt.Sitting]++
		}
		if sittings[0] != stop || sittings[2] != whole.boots()-stop {
			t.Errorf("stopped after %d of %d boots: sittings %v", stop, whole.boots(), sittings)
		}
		if left, _ := Unfinished(rec); left != 0 {
			t.Errorf("%d left of a search that has ended", left)
		}
	}
}

func TestBisect(t *testing.T) {
	broken := fault.Kernelf("core.c:7: error")
	for _, tc := range []struct {
		name     string
		f        fakeSeries
		change   func(*BisectRequest)
		from, to int
		verdict  results.Verdict
		why      string
		built    int // at most
	}{
		{"a finding", fakeSeries{patches: 11, culprit: 7, chance: 1}, nil, 7, 7, results.KernelFailed,
			`patch 7 of 11, mine/0007-change.patch, brings "programs' code overlaps" on s390x (overlap, churn); 9`, 6},
		{"of the first patch", fakeSeries{patches: 11, culprit: 1, chance: 1}, nil, 1, 1, results.KernelFailed, "patch 1 of 11", 6},
		{"of the last", fakeSeries{patches: 11, culprit: 11, chance: 1}, nil, 11, 11, results.KernelFailed, "patch 11 of 11", 6},
		{"of the only one", fakeSeries{patches: 1, culprit: 1, chance: 1}, nil, 1, 1, results.KernelFailed, "patch 1 of 1", 2},
		{"asked for by kind", fakeSeries{patches: 4, culprit: 2, chance: 1}, func(q *BisectRequest) { q.Finding = "overlap" }, 2, 2, results.KernelFailed, "patch 2 of 4", 5},
		{"asked for by text", fakeSeries{patches: 4, culprit: 2, chance: 1}, func(q *BisectRequest) { q.Finding = "CODE over" }, 2, 2, results.KernelFailed, "patch 2 of 4", 5},
		{"that shows itself now and then", fakeSeries{patches: 11, culprit: 7, chance: 0.5}, nil, 7, 7, results.KernelFailed, "patch 7 of 11", 12},
		{"with a step that doesn't build", fakeSeries{patches: 4, culprit: 3, chance: 1, builds: map[int]error{2: broken}}, nil, 2, 3, results.KernelFailed,
			"one of the patches 2 to 3 of 4, which can't be told apart", 5},
		{"with a step that panics of another cause", fakeSeries{patches: 4, culprit: 3, chance: 1, ends: map[int]vm.Ending{3: vm.Hang}}, nil, 3, 4, results.KernelFailed,
			"one of the patches 3 to 4 of 4", 5},
		{"on a base that hangs of another cause", fakeSeries{patches: 4, culprit: 1, chance: 1, ends: map[int]vm.Ending{0: vm.Hang}}, nil, 0, 0, results.Inconclusive,
			"or comes with its first patches, up to number 1", 5},
		{"of the second patch, on a base that hangs", fakeSeries{patches: 4, culprit: 2, chance: 1, ends: map[int]vm.Ending{0: vm.Hang}}, nil, 2, 2, results.KernelFailed,
			"patch 2 of 4", 5},
		{"with patches that change nothing", fakeSeries{patches: 6, culprit: 4, chance: 1, same: map[int]int{2: 1, 3: 1, 1: 0, 6: 4, 5: 4}}, nil, 4, 4, results.KernelFailed, "patch 4 of 6", 7},
		{"that it doesn't build", fakeSeries{patches: 6, culprit: 7, builds: map[int]error{5: broken, 6: broken}}, nil, 5, 5, results.KernelFailed,
			`patch 5 of 6, mine/0005-change.patch, brings "the kernel does not build" on s390x`, 6},
		{"a metric", fakeSeries{patches: 8, pages: func(step int) float64 { return 100 + 50*float64(min(1, step/6)) }}, nil, 6, 6, results.Regressed,
			"brings a worse jit_pages on s390x (+50.0 %); 9", 6},
		{"a metric asked for, which weighs nothing", fakeSeries{patches: 8, pages: func(step int) float64 { return 1000 + float64(min(1, step/3)) }},
			func(q *BisectRequest) { q.Metric = "jit_pages" }, 3, 3, results.Regressed, "patch 3 of 8", 6},
		{"nothing at all", fakeSeries{patches: 5, culprit: 9, chance: 1}, nil, 0, 0, results.Inconclusive, "the whole series showed nothing that what it stands on does not show, on s390x, in 3 looks", 2},
		{"nothing of that kind", fakeSeries{patches: 5, culprit: 2, chance: 1}, func(q *BisectRequest) { q.Finding = "panic" }, 0, 0, results.Inconclusive, `no finding of kind "panic"`, 2},
		{"a timeout, if it is asked for", fakeSeries{patches: 4, culprit: 9, ends: map[int]vm.Ending{3: vm.Timeout, 4: vm.Timeout}}, func(q *BisectRequest) { q.Finding = "timeout" }, 3, 3, results.KernelFailed,
			"patch 3 of 4", 5},
		{"a timeout, if it is not", fakeSeries{patches: 4, culprit: 9, ends: map[int]vm.Ending{3: vm.Timeout, 4: vm.Timeout}}, func(q *BisectRequest) { q.Tries = 1 }, 0, 0, results.Inconclusive,
			"in 1 looks: there is nothing to search; but not all of them were clear: boot 1 on s390x ended in timeout", 2},
		{"no worse metric", fakeSeries{patches: 5, pages: func(int) float64 { return 7 }}, func(q *BisectRequest) { q.Metric = "jit_pages" }, 0, 0, results.Inconclusive, "no worse jit_pages", 2},
		{"of the base", fakeSeries{patches: 5, culprit: 2, chance: 1, ground: true}, nil, 0, 0, results.Inconclusive, "nothing that what it stands on does not show", 2},
		{"on a base that doesn't build", fakeSeries{patches: 5, culprit: 2, chance: 1, builds: map[int]error{0: broken}}, nil, 0, 0, results.Inconclusive, "nopack does not build for s390x", 1},
		{"that more looks would take", fakeSeries{patches: 11, culprit: 7, chance: 1}, func(q *BisectRequest) { q.Looks = 4 }, 0, 0, results.Inconclusive, `after 4 looks at "programs' code overlaps" on s390x (overlap, churn) no patch is as likely as 95 %; what is left is one of the patches`, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec, err := tc.f.bisect(t, tc.change)
			if err != nil {
				t.Fatal(err)
			}
			b := rec.Bisection
			if b.From != tc.from || b.To != tc.to || rec.Verdict != tc.verdict || !strings.Contains(rec.Why, tc.why) || rec.Why != b.Why {
				t.Errorf("patches %d to %d (%.3f), %s: %s", b.From, b.To, b.P, rec.Verdict, rec.Why)
			}
			if code := compare.ExitCode(rec.Verdict); (code == 1) != (tc.to > 0) || code == 0 {
				t.Errorf("exit code %d", code)
			}
			if len(tc.f.built) > tc.built {
				t.Errorf("built the steps %v, want at most %d", tc.f.built, tc.built)
			}
			// Nothing that was seen is left out of the record.
			boots, looks := 0, 0
			for _, n := range tc.f.booted {
				boots += n
			}
			for _, s := range b.Steps {
				looks += s.Bad + s.Good + s.Unclear
			}
			if boots != len(rec.Boots) || b.Found() && looks < 2 {
				t.Errorf("%d boots, %d in the record, %d looks", boots, len(rec.Boots), looks)
			}
		})
	}
}

// Kernels that exist are looked at before others are built.
func TestBisectPrefersWhatExists(t *testing.T) {
	f := fakeSeries{patches: 12, culprit: 4, chance: 1, there: []int{3, 4, 9}}
	rec, err := f.bisect(t, nil)
	if err != nil || rec.Bisection.To != 4 {
		t.Fatalf("%v, %+v", err, rec.Bisection)
	}
	for _, step := range f.built {
		if step != 0 && step != 12 && !slices.Contains(f.there, step) {
			t.Errorf("built the steps %v, where 3 and 4 exist", f.built)
			break
		}
	}
}

// A fault of the base that shows itself only after the first look ends the
// search without blaming a patch.
func TestBisectAcquitsTheSeries(t *testing.T) {
	blamed, cleared := 0, 0
	for seed := range uint64(10) {
		f := fakeSeries{patches: 5, culprit: 0, chance: 0.4, rand: rand.New(rand.NewPCG(seed, 2026))}
		rec, err := f.bisect(t, func(q *BisectRequest) { q.Tries = 20 })
		if err != nil {
			t.Fatal(err)
		}
		switch b := rec.Bisection; {
		case b.Found():
			blamed++
		case strings.Contains(b.Why, "there without the series, too"):
			cleared++
		}
	}
	if blamed > 2 || cleared < 3 {
		t.Errorf("of 10 searches for a fault of the base, %d blame a patch and %d say that it is the base's", blamed, cleared)
	}
	t.Logf("%d blame a patch, %d clear the series", blamed, cleared)
}

// Over many seeds, flaky faults are put on the right patch as often as the
// record says.
func TestBisectFlaky(t *testing.T) {
	const seeds = 12
	wrong := 0
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 7))
		f := fakeSeries{patches: 9, culprit: 1 + r.IntN(9), chance: 0.6, rand: r}
		rec, err := f.bisect(t, func(q *BisectRequest) { q.Tries = 20 })
		if err != nil {
			t.Fatal(err)
		}
		if b := rec.Bisection; !b.Found() || b.From != f.culprit || b.To != f.culprit {
			wrong++
			t.Logf("seed %d: culprit %d, said %d to %d (%.3f): %s", seed, f.culprit, b.From, b.To, b.P, b.Why)
		}
	}
	if wrong > 2 {
		t.Errorf("%d of %d wrong", wrong, seeds)
	}
}

func TestBisectHarness(t *testing.T) {
	f := fakeSeries{patches: 5, culprit: 3, chance: 1, ends: map[int]vm.Ending{3: vm.QEMUDied, 2: vm.QEMUDied}}
	rec, err := f.bisect(t, nil)
	if err == nil || rec.Verdict != results.HarnessFailed || rec.Bisection.Found() || compare.ExitCode(rec.Verdict) != 3 {
		t.Errorf("err = %v, %s: %s", err, rec.Verdict, rec.Why)
	}
}

func TestBisectRefuses(t *testing.T) {
	for _, tc := range []struct {
		change func(*BisectRequest)
		want   string
	}{
		{func(q *BisectRequest) { q.Plan.Baseline, q.Plan.Candidate = "pack", "nopack" }, "nopack does not stand on pack"},
		{func(q *BisectRequest) { q.Plan.Baseline = "upstream"; q.Plan.Candidate = "upstream" }, "no patches from the one to the other"},
		{func(q *BisectRequest) { q.Plan.Candidate = "packk" }, `unknown variant "packk"`},
		{func(q *BisectRequest) { q.Finding, q.Metric = "overlap", "jit_pages" }, "at once"},
		{func(q *BisectRequest) { q.Metric = "jit_page" }, `unknown metric "jit_page"`},
		{func(q *BisectRequest) { q.Metric = "packs" }, "packs only describes"},
		{func(q *BisectRequest) { q.Confidence = 1 }, "a confidence of 1 makes no sense"},
		{func(q *BisectRequest) { q.Looks = 0 }, "at least one try and two looks"},
	} {
		q := BisectRequest{Request: Request{Plan: plan.Default()}, Confidence: 0.95, Tries: 1, Looks: 10}
		tc.change(&q)
		if err := q.validate(); err == nil || !strings.Contains(err.Error(), tc.want) || fault.Of(err) != fault.Input {
			t.Errorf("err = %v, want %q", err, tc.want)
		}
	}
}

// The steps go through several series, one after the other.
func TestBisectSteps(t *testing.T) {
	s := func(name string, n int) series.Series {
		out := series.Series{Name: name}
		for i := range n {
			out.Patches = append(out.Patches, series.Patch{Name: fmt.Sprint(i + 1)})
		}
		return out
	}
	ground := []series.Series{s("g", 2)}
	r := &run{plan: plan.Default(), prep: &prepared{stacks: map[string][]series.Series{"nopack": ground, "pack": append(slices.Clone(ground), s("a", 2), s("b", 1))}}}
	b := newBisector(r, BisectRequest{})
	var got []string
	for step := range b.steps {
		text := b.steps[step].Variant + ":"
		for _, s := range b.stackAt(step) {
			text += fmt.Sprintf(" %s(%d)", s.Name, len(s.Patches))
		}
		got = append(got, text)
	}
	want := []string{"nopack: g(2)", "pack-1: g(2) a, 1 of 2(1)", "pack-2: g(2) a(2)", "pack: g(2) a(2) b(1)"}
	if !slices.Equal(got, want) || !slices.Equal(b.result.Patches, []string{"a/1", "a/2", "b/1"}) {
		t.Errorf("steps %q, patches %q", got, b.result.Patches)
	}
}
