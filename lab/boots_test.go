// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"packtest/guest/wire"
	"packtest/initramfs"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/kconfigs"
	"packtest/kernel/build"
	"packtest/metric"
	"packtest/plan"
	"packtest/results"
	"packtest/vm"
	"packtest/vm/console"
)

func TestScheduleInterleaves(t *testing.T) {
	p := plan.Default()
	p.Boots = 2
	cells := []*cell{
		{arch: "x86_64", variant: "nopack", kernel: &build.Kernel{}},
		{arch: "x86_64", variant: "pack", kernel: &build.Kernel{}},
		{arch: "x86_64", variant: "broken"},
	}
	var got []string
	for _, b := range schedule(p, cells) {
		got = append(got, fmt.Sprintf("%s#%d %s %v", b.variant, b.number, join(b.names()), b.keep))
	}
	want := []string{
		"nopack#1 directmap false", "pack#1 directmap false",
		"nopack#2 load+drain false", "pack#2 load+drain false",
		"nopack#3 load+drain false", "pack#3 load+drain false",
		"nopack#4 churn+parallel+shapes+limits+faults false", "pack#4 churn+parallel+shapes+limits+faults false",
		"nopack#5 itlb true", "pack#5 itlb true",
		"nopack#6 test_bpf true", "pack#6 test_bpf true",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("schedule:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// fakeVM is a machine without QEMU: each boot takes the next script, which says
// what the guest does and how the boot ends.
type fakeVM struct {
	scripts []fakeBoot
	boots   int
}

type fakeBoot struct {
	ending vm.Ending
	detail string
	events []console.Event
	says   []wire.Message // after hello
}

func (f *fakeVM) run(ctx context.Context, m vm.Machine, g vm.Guest) (*vm.Outcome, error) {
	s := f.scripts[f.boots]
	f.boots++
	path := filepath.Join(m.Dir, "console.log")
	if err := os.WriteFile(path, []byte(fmt.Sprintf("boot %d\n", f.boots)), 0o644); err != nil {
		return nil, err
	}
	program, err := initramfs.GuestID(m.Arch)
	if err != nil {
		return nil, err
	}
	host, guest := net.Pipe()
	defer host.Close()
	go func() {
		defer guest.Close()
		w := wire.NewWriter(guest)
		if w.Write(wire.Message{Type: wire.TypeHello, Hello: &wire.Hello{Program: program, Arch: m.Arch, Release: "6.1.0"}}) != nil {
			return
		}
		if _, err := wire.NewReader(guest).Read(); err != nil {
			return
		}
		for _, msg := range s.says {
			if w.Write(msg) != nil {
				return
			}
		}
	}()
	err = g(ctx, host)
	if s.ending == vm.Done && err != nil {
		return nil, err
	}
	return &vm.Outcome{Ending: s.ending, Detail: s.detail, Events: s.events, ConsolePath: path,
		Ready: time.Second, Elapsed: 2 * time.Second, QEMU: "7.2", Accelerator: m.Accel, TalkErr: err}, nil
}

func well(values ...float64) []wire.Message {
	var msgs []wire.Message
	msgs = append(msgs, wire.Message{Type: wire.TypeBegin, Scenario: "load"})
	for _, v := range values {
		s := metric.New("jit_pages", nil, v)
		msgs = append(msgs, wire.Message{Type: wire.TypeSample, Scenario: "load", Sample: &s})
	}
	return append(msgs,
		wire.Message{Type: wire.TypeEnd, Scenario: "load", End: &wire.End{}},
		wire.Message{Type: wire.TypeDone, Done: &wire.Done{Scenarios: 1}})
}

// testRun returns a run in an empty lab whose VMs follow the scripts.
func testRun(t *testing.T, c *cache.Cache, scripts ...fakeBoot) (*run, *fakeVM) {
	t.Helper()
	f := &fakeVM{scripts: scripts}
	l := &Lab{Cache: c, Store: results.NewStore(t.TempDir()), Now: time.Now, Boot: f.run}
	r := &run{Lab: l, plan: plan.Default(), prep: &prepared{}}
	id, err := l.Store.Create(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r.dir = l.Store.Dir(id)
	r.rec = &results.Record{Schema: results.Schema, ID: id, Baseline: "nopack", Candidate: "pack"}
	return r, f
}

func testBoot(keep bool) *boot {
	return &boot{cell: &cell{arch: "s390x", variant: "pack", kernel: &build.Kernel{SHA256: "aa"}}, number: 1, keep: keep,
		job: wire.Job{Scenarios: []wire.ScenarioSpec{{Name: "load"}}}}
}

// carryOutOne boots b and records the outcome, as a run does.
func (r *run) carryOutOne(t *testing.T, b *boot, initrd string) *outcome {
	t.Helper()
	o, err := r.bootKept(t.Context(), b, vm.TCG, initrd)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.recordBoot(b, o); err != nil {
		t.Fatal(err)
	}
	return o
}

func openCache(t *testing.T) *cache.Cache {
	t.Helper()
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func initrdFile(t *testing.T) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(p, []byte("cpio"), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBootEndings(t *testing.T) {
	warn := console.Event{Kind: "warning", Title: "WARNING in bpf_prog_pack_free", Lines: []string{"WARNING: CPU: 0"}}
	panicked := console.Event{Kind: "panic", Title: "Kernel panic - not syncing", Lines: []string{"Kernel panic"}}
	for _, tc := range []struct {
		name     string
		scripts  []fakeBoot
		boots    int    // how many there must be
		ending   string // of the one that is recorded
		samples  int
		findings []string
		notes    int
	}{
		{"done", []fakeBoot{{ending: vm.Done, says: well(3)}}, 1, "done", 2, nil, 0},
		{"a WARN is a finding", []fakeBoot{{ending: vm.Done, says: well(3), events: []console.Event{warn}}}, 1, "done", 2, []string{"WARNING in bpf_prog_pack_free"}, 0},
		{"a panic is not tried again, its figures don't count",
			[]fakeBoot{{ending: vm.Panic, says: well(3), events: []console.Event{panicked}}, {ending: vm.Done, says: well(3)}}, 1, "panic", 0, []string{"Kernel panic - not syncing"}, 0},
		{"a silent hang is a finding", []fakeBoot{{ending: vm.Hang, detail: "no output for 150 s"}}, 1, "hang", 0, []string{"the kernel did not get to the end of the boot"}, 0},
		{"a harness failure is tried again once", []fakeBoot{{ending: vm.QEMUDied}, {ending: vm.Done, says: well(3)}}, 2, "done", 2, nil, 1},
		{"and no more than once", []fakeBoot{{ending: vm.QEMUDied}, {ending: vm.QEMUDied}, {ending: vm.Done}}, 2, "qemu-died", 0, nil, 1},
		{"a WARN before the harness failed is not lost", []fakeBoot{{ending: vm.QEMUDied, events: []console.Event{warn}}, {ending: vm.Done, says: well(3)}}, 2, "done", 2, []string{"WARNING in bpf_prog_pack_free"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, f := testRun(t, openCache(t), tc.scripts...)
			r.carryOutOne(t, testBoot(false), initrdFile(t))
			if f.boots != tc.boots || r.rec.Boots[0].Ending != tc.ending || len(r.rec.Samples) != tc.samples || len(r.rec.Notes) != tc.notes {
				t.Errorf("%d boots, ending %s, %d samples, notes %q", f.boots, r.rec.Boots[0].Ending, len(r.rec.Samples), r.rec.Notes)
			}
			var titles []string
			for _, x := range r.rec.Findings {
				titles = append(titles, x.Title)
			}
			if strings.Join(titles, "|") != strings.Join(tc.findings, "|") {
				t.Errorf("findings %q, want %q", titles, tc.findings)
			}
			consoles, _ := filepath.Glob(filepath.Join(r.dir, "consoles", "*"))
			if len(consoles) != tc.boots {
				t.Errorf("consoles: %q", consoles)
			}
			if left, _ := filepath.Glob(filepath.Join(r.dir, ".*")); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// What a kernel says a thousand times is one finding, and tells how often it was.
func TestReportsThatComeAgain(t *testing.T) {
	warn := func(title, function string) console.Event {
		return console.Event{Kind: console.Warning, Title: title, Function: function, Lines: []string{"WARNING: " + title}}
	}
	events := []console.Event{warn("a", "f"), warn("b", "f")}
	for range 999 {
		events = append(events, warn("a", "f"))
	}
	r, _ := testRun(t, openCache(t), fakeBoot{ending: vm.Done, says: well(3), events: append(events, warn("a", "g"))})
	r.carryOutOne(t, testBoot(false), initrdFile(t))
	var got []string
	for _, f := range r.rec.Findings {
		got = append(got, f.Title+" "+f.Fingerprint+": "+f.Evidence)
	}
	want := []string{"a f: WARNING: a\n[packtest: and 999 more like it in this boot]", "a g: WARNING: a", "b f: WARNING: b"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestKeptOutcomes(t *testing.T) {
	c, initrd := openCache(t), initrdFile(t)
	first, f := testRun(t, c, fakeBoot{ending: vm.Done, says: well(3)})
	first.carryOutOne(t, testBoot(true), initrd)
	if f.boots != 1 {
		t.Fatalf("%d boots", f.boots)
	}

	// The exact figures are kept, and no time of another day.
	second, f := testRun(t, c)
	o := second.carryOutOne(t, testBoot(true), initrd)
	if f.boots != 0 || !o.Boot.Kept || len(o.Samples) != 1 || o.Samples[0].Metric != "jit_pages" || o.Boot.Started.IsZero() {
		t.Errorf("%d boots; outcome %+v", f.boots, o)
	}
	if b, _ := os.ReadFile(filepath.Join(second.dir, o.Boot.Console)); string(b) != "boot 1\n" {
		t.Errorf("the kept console is %q", b)
	}

	// Whether it was asked for or chosen, the accelerator is the same.
	chosen, f := testRun(t, c)
	chosen.plan.VM.Accelerator = "tcg"
	if chosen.carryOutOne(t, testBoot(true), initrd); f.boots != 0 {
		t.Errorf("%d boots", f.boots)
	}

	// Whatever else decides it has an outcome of its own.
	otherInitrd := initrdFile(t)
	if err := os.WriteFile(otherInitrd, []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	otherImage := testBoot(true)
	otherImage.kernel = &build.Kernel{SHA256: "bb"}
	otherJob := testBoot(true)
	otherJob.job.Scenarios[0].Programs = 7
	nothing := func(*run) {}
	for name, tc := range map[string]struct {
		b      *boot
		initrd string
		change func(*run)
	}{
		"image":     {otherImage, initrd, nothing},
		"initrd":    {testBoot(true), otherInitrd, nothing},
		"job":       {otherJob, initrd, nothing},
		"QEMU":      {testBoot(true), initrd, func(r *run) { r.rec.Provenance.Tools = map[string]string{"qemu-s390x": "QEMU 10"} }},
		"processor": {testBoot(true), initrd, func(r *run) { r.plan.VM.CPUs++ }},
		"memory":    {testBoot(true), initrd, func(r *run) { r.plan.VM.MemoryMiB++ }},
	} {
		r, f := testRun(t, c, fakeBoot{ending: vm.Done, says: well(4)})
		tc.change(r)
		r.carryOutOne(t, tc.b, tc.initrd)
		if f.boots != 1 {
			t.Errorf("another %s: %d boots", name, f.boots)
		}
	}
}

// What failed is never kept, and what was kept and has changed is made again.
func TestKeptOutcomesAreTrustworthy(t *testing.T) {
	c, initrd := openCache(t), initrdFile(t)
	for range 2 {
		r, f := testRun(t, c, fakeBoot{ending: vm.Panic})
		r.carryOutOne(t, testBoot(true), initrd)
		if f.boots != 1 {
			t.Fatalf("%d boots", f.boots)
		}
	}
	r, _ := testRun(t, c, fakeBoot{ending: vm.Done, says: well(3)})
	r.carryOutOne(t, testBoot(true), initrd)
	files, _ := filepath.Glob(filepath.Join(c.Root(), "entries", keptKind, "*", "outcome.json"))
	if len(files) != 1 {
		t.Fatalf("kept: %q", files)
	}
	if err := os.WriteFile(files[0], []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, f := testRun(t, c, fakeBoot{ending: vm.Done, says: well(3)})
	var noted string
	r.Events = func(e Event) { noted += e.Text }
	stop := r.listen()
	r.carryOutOne(t, testBoot(true), initrd)
	stop()
	if f.boots != 1 || !strings.Contains(noted, "corrupt") {
		t.Errorf("%d boots; told: %q", f.boots, noted)
	}
}

// What was kept by a packtest that saw other reports on the console is made again,
// once: it may have overlooked one that this one knows.
func TestKeptByOtherEyes(t *testing.T) {
	c, initrd := openCache(t), initrdFile(t)
	first, _ := testRun(t, c, fakeBoot{ending: vm.Done, says: well(3)})
	b := testBoot(true)
	o, err := first.bootKept(t.Context(), b, vm.TCG, initrd)
	if err != nil {
		t.Fatal(err)
	}
	// The console has a report, and the outcome is without it.
	if err := os.WriteFile(o.console, []byte("[    1.000000] WARNING: CPU: 0 PID: 1 at kernel/bpf/core.c:1 f+0x1/0x2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := first.recordBoot(b, o); err != nil {
		t.Fatal(err)
	}
	same, f := testRun(t, c)
	if same.carryOutOne(t, testBoot(true), initrd); f.boots != 0 {
		t.Fatalf("%d boots", f.boots)
	}
	files, _ := filepath.Glob(filepath.Join(c.Root(), "entries", keptKind, "*"))
	key := filepath.Base(files[0])
	raw, err := os.ReadFile(filepath.Join(files[0], "outcome.json"))
	if err != nil || !strings.Contains(string(raw), `"reports"`) {
		t.Fatalf("%v: %s", err, raw)
	}
	text, err := os.ReadFile(filepath.Join(files[0], "console.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(keptKind, key); err != nil {
		t.Fatal(err)
	}
	var kept outcome
	if err := json.Unmarshal(raw, &kept); err != nil {
		t.Fatal(err)
	}
	kept.Reports = nil
	if raw, err = json.Marshal(kept); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(keptKind, key, func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "outcome.json"), raw, 0o644), os.WriteFile(filepath.Join(dir, "console.log"), text, 0o644))
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		r, f := testRun(t, c, fakeBoot{ending: vm.Done, says: well(3)})
		if r.carryOutOne(t, testBoot(true), initrd); f.boots != want {
			t.Errorf("%d boots, want %d", f.boots, want)
		}
	}
}

// A cache that can't be written to loses the keeping, not the outcome.
func TestKeepingFails(t *testing.T) {
	c := openCache(t)
	if err := os.WriteFile(filepath.Join(c.Root(), "entries", keptKind), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r, _ := testRun(t, c, fakeBoot{ending: vm.Done, says: well(3)})
	b := testBoot(true)
	o, err := r.bootTwice(t.Context(), b, vm.TCG, initrdFile(t))
	if err != nil {
		t.Fatal(err)
	}
	o.keep = "key"
	if err := r.recordBoot(b, o); err != nil {
		t.Fatal(err)
	}
	if len(r.rec.Samples) != 2 || len(r.rec.Notes) != 1 {
		t.Errorf("samples %v, notes %q", r.rec.Samples, r.rec.Notes)
	}
}

// What was seen before an interruption is in the record.
func TestInterruptedBoot(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	warn := console.Event{Kind: console.Warning, Title: "WARNING in f", Lines: []string{"WARNING"}}
	r, f := testRun(t, openCache(t), fakeBoot{ending: vm.Interrupted, events: []console.Event{warn}})
	b := testBoot(false)
	o, err := r.bootKept(ctx, b, vm.TCG, initrdFile(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.recordBoot(b, o); fault.Of(err) != fault.Interrupted {
		t.Errorf("err = %v", err)
	}
	if f.boots != 1 || len(r.rec.Findings) != 1 || len(r.rec.Boots) != 1 {
		t.Errorf("%d boots, record %+v", f.boots, r.rec)
	}
}

// A machine that can't be started is the harness's failure: tried again, noted.
func TestNotStarted(t *testing.T) {
	r, _ := testRun(t, openCache(t))
	tries := 0
	r.Boot = func(context.Context, vm.Machine, vm.Guest) (*vm.Outcome, error) {
		tries++
		return nil, errors.New("fork: no memory")
	}
	o := r.carryOutOne(t, testBoot(false), initrdFile(t))
	if tries != 2 || o.Boot.Ending != "not-started" || o.Boot.Fault != "harness" || len(r.rec.Notes) != 1 {
		t.Errorf("%d tries, boot %+v, notes %q", tries, o.Boot, r.rec.Notes)
	}
}

// The same title at another place in the kernel is another fault.
func TestFingerprints(t *testing.T) {
	splat := func(frames ...string) []console.Event {
		return []console.Event{{Kind: console.Lockdep, Title: "possible circular locking dependency", Frames: frames, Lines: []string{"WARNING"}}}
	}
	r, _ := testRun(t, openCache(t),
		fakeBoot{ending: vm.Done, says: well(3), events: splat("old_lock")},
		fakeBoot{ending: vm.Done, says: well(3), events: splat("pack_lock", "old_lock")})
	base := testBoot(false)
	base.cell = &cell{arch: "s390x", variant: "nopack", kernel: &build.Kernel{SHA256: "bb"}}
	r.carryOutOne(t, base, initrdFile(t))
	r.carryOutOne(t, testBoot(false), initrdFile(t))
	for _, f := range r.rec.Findings {
		if f.OnBaseline {
			t.Errorf("held to be the baseline's: %+v", f)
		}
	}
}

// A finding that counts its cases is told apart by them, another by its evidence.
func TestCountedFindings(t *testing.T) {
	says := func(list ...wire.Finding) []wire.Message {
		msgs := well(3)
		for _, f := range list {
			msgs = append(msgs[:1:1], append([]wire.Message{{Type: wire.TypeFinding, Scenario: "load", Finding: &f}}, msgs[1:]...)...)
		}
		msgs[len(msgs)-1].Done.Findings = len(list)
		return msgs
	}
	page := func(n int) wire.Finding {
		return wire.Finding{Kind: "permissions", Title: "writable and executable", Evidence: fmt.Sprintf("cases: 1\n%#x-%#x", n<<12, n<<13), Cases: n}
	}
	r, _ := testRun(t, openCache(t),
		fakeBoot{ending: vm.Done, says: says(page(1), wire.Finding{Kind: "slow-free", Title: "slow", Evidence: "7 s for 8f 90 cc"})},
		fakeBoot{ending: vm.Done, says: says(page(2), page(512), wire.Finding{Kind: "slow-free", Title: "slow", Evidence: "9 s for 10 e7"})})
	base := testBoot(false)
	base.cell = &cell{arch: "s390x", variant: "nopack", kernel: &build.Kernel{SHA256: "bb"}}
	r.carryOutOne(t, base, initrdFile(t))
	r.carryOutOne(t, testBoot(false), initrdFile(t))
	for _, f := range r.rec.Findings {
		if want := f.Variant == "pack" && f.Cases != 512; f.OnBaseline != want || (f.Cases > 0) != (f.Fingerprint == "") {
			t.Errorf("on the baseline: %v; %+v", f.OnBaseline, f)
		}
	}
	if len(r.rec.Findings) != 5 {
		t.Errorf("%d findings", len(r.rec.Findings))
	}
}

func TestFinishNeverFlattersAFailure(t *testing.T) {
	for _, tc := range []struct {
		cause error
		want  results.Verdict
	}{
		{fmt.Errorf("build: %w", context.Canceled), results.Interrupted},
		{errors.New("no space left on device"), results.HarnessFailed},
		{nil, results.HarnessFailed}, // nothing was planned or done
	} {
		r, _ := testRun(t, openCache(t))
		rec, err := r.finish(tc.cause)
		if rec.Verdict != tc.want || !errors.Is(err, tc.cause) {
			t.Errorf("cause %v: verdict %s (%s), err %v", tc.cause, rec.Verdict, rec.Why, err)
		}
	}
}

// That a run was interrupted hides no failure to save it.
func TestFinishThatCannotSave(t *testing.T) {
	r, _ := testRun(t, openCache(t))
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := r.finish(context.Canceled); fault.Of(err) != fault.Harness || !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, of the %v", err, fault.Of(err))
	}
}

// Who ends a run gets the exit code of that, even if something was found; a run
// whose harness failed keeps what was proved.
func TestFinishAfterAFinding(t *testing.T) {
	for cause, want := range map[error]results.Verdict{
		context.Canceled:                      results.Interrupted,
		errors.New("no space left on device"): results.KernelFailed,
	} {
		r, _ := testRun(t, openCache(t))
		r.rec.Baseline, r.rec.Candidate = "", "pack"
		r.rec.Findings = []results.Finding{{Arch: "s390x", Variant: "pack", Scenario: "load", Kind: "leak", Title: "pages are left"}}
		if rec, err := r.finish(cause); rec.Verdict != want || !errors.Is(err, cause) {
			t.Errorf("cause %v: verdict %s (%s), err %v", cause, rec.Verdict, rec.Why, err)
		}
	}
}

// An attack asks for the branches of a processor that needs protection by name, in
// each architecture's words; what measures has none.
func TestParameters(t *testing.T) {
	r, _ := testRun(t, openCache(t))
	for arch, want := range map[string]string{"x86_64": "spectre_v2=retpoline", "s390x": "spectre_v2=on"} {
		b := testBoot(false)
		b.arch = arch
		if got := r.machineOf(b, vm.KVM, "", "").Cmdline; !slices.Contains(got, "mitigations=off") || slices.Contains(got, want) {
			t.Errorf("%s measures with %q", arch, got)
		}
		b.job.Scenarios[0].Name = "churn"
		if got := r.machineOf(b, vm.KVM, "", "").Cmdline; !slices.Contains(got, want) || slices.Contains(got, "mitigations=off") {
			t.Errorf("%s attacks with %q", arch, got)
		}
	}
}

// What KASAN slows down may take longer to boot.
func TestBootLimit(t *testing.T) {
	for _, config := range kconfigs.Configs() {
		if slow := config == "debug" || config == "faults"; slow != (bootLimit(config) > 0) {
			t.Errorf("%s: %s", config, bootLimit(config))
		}
	}
}
