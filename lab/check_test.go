// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"packtest/compare"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/need"
	"packtest/kernel/build"
	"packtest/kernel/kconfig"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
	"packtest/vm/console"
)

// checkTree is a user's tree with a script like checkpatch.pl, and on it, on the
// branch mine, a commit for every change: files that x86_64, s390x or both are
// made of, by name, and their new text.
func checkTree(t *testing.T, changes ...[2]string) string {
	t.Helper()
	need.Commands(t, "git", "perl")
	dir := t.TempDir()
	commit := func(message string, files ...[2]string) {
		for _, f := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f[0])), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		gitIn(t, dir, "add", ".")
		gitIn(t, dir, "commit", "--quiet", "-m", message)
	}
	gitIn(t, dir, "init", "--quiet", "--initial-branch=mine")
	commit("base", [2]string{"Makefile", "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\n"},
		[2]string{"core.c", "one\n"}, [2]string{"x86_64.c", "one\n"}, [2]string{"s390x.c", "one\n"},
		[2]string{"scripts/checkpatch.pl", `undef $/; $_ = <STDIN>; $e = /^\+.*UGLY/m ? 1 : 0; $w = /^\+.*PLAIN/m ? 1 : 0;
print "ERROR:STYLE: ugly\n\n" if $e; print "WARNING:STYLE: plain\n\n" if $w;
print "total: $e errors, $w warnings, 0 checks, 3 lines checked\n"; exit($e + $w > 0);`})
	gitIn(t, dir, "tag", "v6")
	for i, c := range changes {
		commit(fmt.Sprintf("core: change %d", i+1), c)
	}
	return dir
}

// fakeKernels makes kernels of the text of core.c and of the architecture's file,
// and boots of what stands in them: BROKEN does not compile, WARN warns, OOPS
// fails a boot, and NOJIT breaks that configuration; UNSET there does not take
// an option.
type fakeKernels struct {
	k     *checker
	dir   string
	built []string // what was built and booted, in order
}

var word = regexp.MustCompile(`\b(BROKEN|WARN|OOPS|NOJIT|UNSET)\w*`)

func (f *fakeKernels) text(ctx context.Context, cell build.Cell) (string, error) {
	all := ""
	for _, file := range []string{"core.c", cell.Arch + ".c"} {
		text, err := cell.Base.Git().Run(ctx, "show", cell.Commit+":"+file)
		if err != nil {
			return "", err
		}
		all += file + ":" + text + "\n"
	}
	return all, nil
}

func (f *fakeKernels) build(ctx context.Context, _ *cache.Cache, cell build.Cell, _ build.Options) (*build.Kernel, error) {
	k, _, err := f.inspect(ctx, nil, cell, build.Options{})
	return k, err
}

func (f *fakeKernels) inspect(ctx context.Context, _ *cache.Cache, cell build.Cell, _ build.Options) (*build.Kernel, *build.Inspection, error) {
	f.built = append(f.built, strings.Join([]string{"build", cell.Arch, cell.Variant, cell.Config}, " "))
	text, err := f.text(ctx, cell)
	if err != nil {
		return nil, nil, err
	}
	seen := &build.Inspection{Warnings: build.Warnings{}, Size: build.Size{Code: 4096},
		Symbols: build.Symbols{Size: build.Size{Code: int64(len(text))}, Functions: map[string]int64{"core": int64(len(text))}}}
	var wrong []string
	for i, w := range word.FindAllString(text, -1) {
		switch {
		case strings.HasPrefix(w, "BROKEN"), strings.HasPrefix(w, "NOJIT") && cell.Config == "check-nojit":
			wrong = append(wrong, fmt.Sprintf("core.c:%d:1: error: %s", i, w))
		case strings.HasPrefix(w, "UNSET") && cell.Config == "check-nojit":
			return nil, nil, fmt.Errorf("build %s: %w", cell.Variant, &kconfig.UnmetError{Options: []kconfig.Unmet{{Setting: kconfig.Setting{Name: "BPF_JIT", Value: "n", Line: 1}, Fragment: "nojit", Got: "y"}}})
		case strings.HasPrefix(w, "WARN"):
			seen.Warnings["CC core.o"] = append(seen.Warnings["CC core.o"], build.Warning{Tool: "compiler", File: "core.c", Line: i, Text: w, Said: w})
		}
	}
	if wrong != nil {
		return nil, nil, &build.CompileError{Cell: cell.Variant, Output: strings.Join(wrong, "\n")}
	}
	config := filepath.Join(f.dir, "config")
	if err := os.WriteFile(config, []byte("CONFIG_A=y\n"), 0o644); err != nil {
		return nil, nil, err
	}
	return &build.Kernel{Arch: cell.Arch, Variant: cell.Variant, SHA256: cache.Key(cell.Arch, text), ConfigFile: config, Objects: 2, Boot: text}, seen, nil
}

func (f *fakeKernels) boot(_ context.Context, boots []*boot) error {
	for _, b := range boots {
		f.built = append(f.built, strings.Join([]string{"boot", b.arch, b.variant, join(b.names())}, " "))
		ending, events := vm.Done, []console.Event(nil)
		if i := strings.Index(b.kernel.Boot, "OOPS"); i >= 0 {
			ending, events = vm.Panic, []console.Event{{Kind: "panic", Title: "Kernel panic", Lines: []string{"Kernel panic"}}}
		}
		o := f.k.outcomeOf(b, vm.Machine{}, &vm.Outcome{Ending: ending, Events: events, Elapsed: time.Second}, newTranscript(func() time.Duration { return 0 }), time.Time{})
		for _, s := range b.job.Scenarios {
			for _, r := range compare.Rules() {
				if strings.Contains(" "+r.Scenario+" ", " "+s.Name+" ") {
					o.Unmeasured = append(o.Unmeasured, results.Unmeasured{Arch: b.arch, Variant: b.variant, Scenario: s.Name, Metric: r.Metric, Why: "a test"})
				}
			}
		}
		if err := f.k.recordBoot(b, o); err != nil {
			return err
		}
	}
	return nil
}

// checkFake checks element, a series in dir, with kernels that are none.
func checkFake(t *testing.T, base, element string, change func(*plan.Check)) (*results.Record, *fakeKernels, error) {
	t.Helper()
	l := seriesLab(t)
	l.Store, l.Now = results.NewStore(t.TempDir()), time.Now
	c := plan.DefaultCheck()
	c.Base, c.Axis = base, []string{"nojit"}
	c.Of(plan.Variant{Name: plan.SeriesVariant, Stack: []string{element}})
	if change != nil {
		change(c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	f := &fakeKernels{k: &checker{check: c}, dir: t.TempDir()}
	f.k.inspect, f.k.build, f.k.boot = f.inspect, f.build, f.boot
	rec, err := f.k.start(t.Context(), l, nil)
	return rec, f, err
}

// A table that is the same whatever the series is given as.
func checkTable(rec *results.Record) string {
	var b strings.Builder
	for _, p := range rec.Check.Patches {
		fmt.Fprintf(&b, "%s\n", p.Subject)
	}
	for _, c := range compare.Checks(rec) {
		fmt.Fprintf(&b, "%s [%s]\n", compare.CheckSays(c), c.Mark)
	}
	return b.String() + fmt.Sprintf("%s\n", rec.Verdict)
}

// A broken patch in the middle is caught there, on the architecture that it
// breaks; so is a warning, an oops, and a patch that checkpatch does not like;
// and none of it depends on how the series is given.
func TestCheck(t *testing.T) {
	dir := checkTree(t,
		[2]string{"core.c", "one\ntwo\n"},            // 1: sound
		[2]string{"s390x.c", "BROKEN\n"},             // 2: breaks s390x alone
		[2]string{"s390x.c", "mended PLAIN\n"},       // 3: mends it
		[2]string{"x86_64.c", "one\nWARN\n"},         // 4: warns
		[2]string{"x86_64.c", "zero\none\nWARN\n"},   // 5: moves the warning
		[2]string{"core.c", "one\ntwo\nOOPS UGLY\n"}, // 6
		[2]string{"core.c", "one\nOOPS NOJIT\n"},     // 7
		[2]string{"README", "nothing\n"},             // 8
	)
	const want = `core: change 1
core: change 2
core: change 3
core: change 4
core: change 5
core: change 6
core: change 7
core: change 8
`
	var tables []string
	for _, element := range threeWays(t, dir, "v6..mine") {
		rec, f, err := checkFake(t, "tree:"+dir+"@v6", element, nil)
		if err != nil {
			t.Fatalf("%s: %v", element, err)
		}
		table := strings.ReplaceAll(checkTable(rec), rec.Check.Series, "SERIES")
		tables = append(tables, table)
		if len(tables) > 1 {
			if d := cmp.Diff(tables[0], table); d != "" {
				t.Errorf("%s gives another table:\n%s", element, d)
			}
			continue
		}
		if !strings.HasPrefix(table, want) || rec.Verdict != results.KernelFailed {
			t.Errorf("%s, table:\n%s", rec.Verdict, table)
		}
		for _, line := range []string{
			"patch 1, x86_64, boots [ok]", "patch 1, x86_64, size: code +4 B [ok]", "patch 1, x86_64, warnings [ok]",
			"patch 2, x86_64, builds: the binary is unchanged [same]", "patch 2, x86_64, boots: the kernel is the one with patch 1 [same]",
			"patch 2, s390x, builds: core.c: error: BROKEN [failed]", "patch 2, s390x, boots: it does not build [skipped]",
			"patch 3, s390x, builds: builds again [ok]", "patch 3, s390x, warnings: against what stands with patch 1 [ok]", "patch 3, checkpatch: 1 warning [noted]",
			"patch 4, x86_64, warnings: core.c: WARN [failed]", "patch 4, s390x, warnings [ok]", "patch 5, x86_64, warnings [ok]",
			"patch 6, checkpatch: 1 error [failed]", "patch 6, x86_64, boots: Kernel panic (panic) [failed]", "patch 6, s390x, boots: Kernel panic (panic) [failed]",
			"patch 7, x86_64, boots: as with patch 6: Kernel panic (panic) [inherited]",
			"patch 8, x86_64, config nojit: since patch 7: core.c: error: NOJIT [failed]",
			"patch 8, s390x, config nojit: since patch 7: core.c: error: NOJIT [failed]",
		} {
			if !strings.Contains(table, line+"\n") {
				t.Errorf("there is no line %q in\n%s", line, table)
			}
		}
		// A patch that changes no kernel has nothing booted, and the search for the
		// patch that breaks a configuration tries few.
		booted, configs := 0, 0
		for _, b := range f.built {
			if strings.HasSuffix(b, "patch-08 load+drain+shapes") || strings.HasPrefix(b, "boot x86_64 patch-02") {
				t.Errorf("%s, though the kernel is an earlier one", b)
			}
			if strings.HasPrefix(b, "boot x86_64 ") {
				booted++
			}
			if strings.HasPrefix(b, "build x86_64 ") && strings.HasSuffix(b, "check-nojit") {
				configs++
			}
		}
		if booted != 6 || configs != 5 {
			t.Errorf("%d boots and %d builds in the configuration on x86_64, want 6 and 5:\n%s", booted, configs, strings.Join(f.built, "\n"))
		}
		if len(rec.Provenance.Series) != 1 || len(rec.Provenance.Series[0].Patches) != 8 || len(rec.Cells) != 18 {
			t.Errorf("provenance %+v, %d cells", rec.Provenance.Series, len(rec.Cells))
		}
		for _, s := range rec.Check.Steps {
			if g := s.Functions; (g == nil) != (s.Since < 0) || s.Arch == "x86_64" && s.Step == 1 && !cmp.Equal(*g, results.Growth{Grown: 1, Up: 4, Most: []results.Grown{{Name: "core", Before: 24, After: 28}}}) {
				t.Errorf("%s, step %d: functions %+v", s.Arch, s.Step, g)
			}
		}
		if again, err := results.Parse(mustRecord(t, rec), "x"); err != nil || !cmp.Equal(again.Check, rec.Check, cmpopts.EquateEmpty()) {
			t.Errorf("the check does not survive the record: %v", err)
		}
	}
}

func mustRecord(t *testing.T, rec *results.Record) []byte {
	t.Helper()
	store := results.NewStore(t.TempDir())
	if err := os.MkdirAll(store.Dir(rec.ID), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(rec); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(store.Dir(rec.ID), results.RecordName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckPasses(t *testing.T) {
	dir := checkTree(t, [2]string{"core.c", "two\n"})
	rec, f, err := checkFake(t, "tree:"+dir, "range:v6..mine", func(c *plan.Check) { c.EveryPatch = true })
	if err != nil || rec.Verdict != results.Pass {
		t.Fatalf("%v, %+v\n%s", err, rec, checkTable(rec))
	}
	if n := strings.Count(strings.Join(f.built, "\n"), "check-nojit"); n != 4 {
		t.Errorf("%d builds in the configuration, want one of each step and architecture:\n%s", n, strings.Join(f.built, "\n"))
	}
	rec, _, err = checkFake(t, "tree:"+dir, "range:v6..mine", func(c *plan.Check) {
		c.Of(plan.Variant{Name: "v7", Stack: c.Variants[0].Stack})
	})
	if err != nil || rec.Check.Series != "v7" || !strings.Contains(rec.Why, "1 patch of v7 passed") {
		t.Errorf("a series with a name: %v, %+v", err, rec)
	}
	dir = checkTree(t, [2]string{"README", "two\n"})
	if rec, _, err := checkFake(t, "tree:"+dir, "range:v6..mine", nil); err != nil || rec.Verdict != results.Unchanged {
		t.Errorf("a series that changes no kernel: %v, %s (%s)", err, rec.Verdict, rec.Why)
	}
}

// A patch that does not apply ends the series, and what stands before it is
// checked; if none applies, it is the base that is wrong.
func TestCheckDoesNotApply(t *testing.T) {
	dir := checkTree(t, [2]string{"core.c", "one\ntwo\n"}, [2]string{"core.c", "one\ntwo\nthree\n"}, [2]string{"core.c", "one\ntwo\nthree\nfour\n"})
	mbox := threeWays(t, dir, "v6..mine")[0]
	text, err := os.ReadFile(mbox)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(line string) string {
		p := filepath.Join(t.TempDir(), "spoilt.mbox")
		if err := os.WriteFile(p, []byte(strings.Replace(string(text), line, " other\n", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	rec, _, err := checkFake(t, "tree:"+dir+"@v6", spoil(" two\n"), nil)
	if err != nil || rec.Verdict != results.Regressed || !strings.Contains(rec.Why, "patch 2, applies: apply") || rec.Candidate != "patch-01" {
		t.Fatalf("%v, %s (%s)", err, rec.Verdict, rec.Why)
	}
	for _, line := range []string{"patch 1, s390x, boots [ok]", "patch 3, applies: patch 2 does not apply [inherited]", "patch 3, x86_64, config nojit: patch 2 does not apply [inherited]"} {
		if !strings.Contains(checkTable(rec), line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, checkTable(rec))
		}
	}
	if rec, _, err := checkFake(t, "tree:"+dir+"@v6", spoil(" one\n"), nil); fault.Of(err) != fault.Input || rec != nil {
		t.Errorf("the first patch does not apply: %v, %+v", err, rec)
	}
}

// A patch after which a configuration is no longer to be had is at fault itself;
// where it was not to be had before, the request is.
func TestCheckUnmetConfiguration(t *testing.T) {
	dir := checkTree(t, [2]string{"core.c", "one\ntwo\n"}, [2]string{"core.c", "UNSET\n"}, [2]string{"core.c", "UNSET\nmore\n"})
	for _, every := range []bool{false, true} {
		rec, _, err := checkFake(t, "tree:"+dir+"@v6", "range:v6..mine", func(c *plan.Check) { c.EveryPatch = every })
		if err != nil || rec.Verdict != results.KernelFailed {
			t.Errorf("every patch %v: %v, %+v", every, err, rec)
			continue
		}
		const says = "CONFIG_BPF_JIT: nojit:1 wants n, got y"
		want := "patch 3, s390x, config nojit: since patch 2: " + says + " [failed]\n"
		if every {
			want = "patch 3, s390x, config nojit: as with patch 2: " + says + " [inherited]\n"
		}
		if !strings.Contains(checkTable(rec), want) {
			t.Errorf("there is no %q in\n%s", want, checkTable(rec))
		}
	}
	dir = checkTree(t, [2]string{"x86_64.c", "UNSET\n"}, [2]string{"core.c", "two\n"})
	rec, _, err := checkFake(t, "tree:"+dir+"@mine~1", "range:mine~1..mine", nil)
	if fault.Of(err) != fault.Input {
		t.Errorf("the option does not stick without the series: %v, %+v", err, rec)
	}
}

// A check that is cut short is no pass, and says what it has.
func TestCheckInterrupted(t *testing.T) {
	dir := checkTree(t, [2]string{"core.c", "two\n"})
	l := seriesLab(t)
	l.Store, l.Now = results.NewStore(t.TempDir()), time.Now
	c := plan.DefaultCheck()
	c.Base = "tree:" + dir
	c.Of(plan.Variant{Name: plan.SeriesVariant, Stack: []string{"range:v6..mine"}})
	f := &fakeKernels{k: &checker{check: c}, dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	f.k.inspect, f.k.build = f.inspect, f.build
	f.k.boot = func(ctx context.Context, _ []*boot) error { cancel(); return ctx.Err() }
	rec, err := f.k.start(ctx, l, nil)
	if fault.Of(err) != fault.Interrupted || rec == nil || rec.Verdict != results.Interrupted || compare.ExitCode(rec.Verdict) != 130 {
		t.Fatalf("%v, %+v", err, rec)
	}
	if len(rec.Cells) != 4 || rec.Resume != nil {
		t.Errorf("%d cells, resume %v", len(rec.Cells), rec.Resume)
	}
}
