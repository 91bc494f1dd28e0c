// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"packtest/guest/wire"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/metric"
	"packtest/results"
	"packtest/vm"
	"packtest/vm/console"
)

// outcome is what one boot came to, ready for the record.
type outcome struct {
	Boot       results.Boot         `json:"boot"`
	Samples    []results.Sample     `json:"samples"`
	Findings   []results.Finding    `json:"findings"`
	Unmeasured []results.Unmeasured `json:"not_measured"`
	Layouts    []results.Layout     `json:"layouts"`
	// Reports are set in an outcome that is kept: what whoever kept it found on the
	// console.
	Reports []string `json:"reports,omitempty"`
	// console is the path of the console's text.
	console string
	// harness is set if the boot failed for no fault of the kernel's.
	harness error
	// keep is the key to keep the outcome under, or "".
	keep string
}

// outcomeOf turns how a VM ended and what its guest said into an outcome.
func (r *run) outcomeOf(b *boot, m vm.Machine, vo *vm.Outcome, tr *transcript, started time.Time) *outcome {
	o := &outcome{Boot: r.bootRecord(b, m, started)}
	o.Boot.Seconds, o.Boot.Ending, o.Boot.Detail = vo.Elapsed.Seconds(), string(vo.Ending), vo.Detail
	o.Boot.Accelerator, o.Boot.QEMU = vo.Accelerator, vo.QEMU
	if h := tr.hello; h != nil {
		o.Boot.Cmdline, o.Boot.Release, o.Boot.Mitigations = h.Cmdline, h.Release, h.Mitigations
	}
	for _, f := range tr.findings {
		// A failed case of the kernel's own suite has its name in the title,
		// and how long it took in the evidence. Cases are told apart one by one.
		fingerprint := cache.Key(wire.Shapes(f.what.Evidence)...)[:12]
		if f.what.Kind == "test-bpf" || f.what.Cases > 0 {
			fingerprint = ""
		}
		o.find(b, f.at, f.scenario, f.what.Kind, f.what.Title, f.what.Evidence, fingerprint)
		o.Findings[len(o.Findings)-1].Cases = f.what.Cases
	}
	for _, name := range b.names() {
		if why, ok := tr.failed[name]; ok {
			o.find(b, vo.Elapsed, name, results.ScenarioFailed, "the scenario could not be carried out", why, cache.Key(wire.Shapes(why)...)[:12])
		}
	}
	fatal := false
	for _, e := range vo.Events {
		fatal = fatal || e.Kind.Fatal()
	}
	o.findReports(b, vo.Events)
	if vo.Ending == vm.Done {
		r.collect(b, vo, tr, o)
		return o
	}
	// Half a boot's figures prove nothing; its findings stand.
	o.Boot.Fault = vo.Ending.Fault().String()
	if vo.Ending == vm.BadTalk && tr.spoilt {
		// Nothing on the way to the host spoils bytes, and a guest that began well
		// says nothing wrong by itself. A kernel under which memory is overwritten
		// does it once, and not the next time.
		o.find(b, vo.Elapsed, join(b.names()), string(vm.BadTalk), "what the guest says is spoilt", vo.Detail, "")
	}
	if vo.Ending.Fault() != fault.Kernel {
		o.harness = &fault.Error{Kind: vo.Ending.Fault(), Err: fmt.Errorf("%s: %s", vo.Ending, vo.Detail)}
	} else if vo.Ending != vm.Panic || !fatal {
		// A panic is among the events; a hang or a silent end is not.
		o.find(b, vo.Elapsed, join(b.names()), string(vo.Ending), "the kernel did not get to the end of the boot",
			strings.TrimSpace(vo.Detail+"\n\n"+vo.Backtraces), "")
	}
	return o
}

// notStarted is the outcome of a machine that could not be started.
func (r *run) notStarted(ctx context.Context, b *boot, m vm.Machine, err error, started time.Time) *outcome {
	o := &outcome{Boot: r.bootRecord(b, m, started), harness: err}
	if ctx.Err() != nil {
		o.harness = interruption(ctx)
	}
	o.Boot.Ending, o.Boot.Detail, o.Boot.Fault = "not-started", err.Error(), fault.Of(o.harness).String()
	o.Boot.Accelerator = m.Accel
	return o
}

// bootRecord is what is known of a boot before it begins.
func (r *run) bootRecord(b *boot, m vm.Machine, started time.Time) results.Boot {
	return results.Boot{
		Arch: b.arch, Variant: b.variant, Number: b.number, Scenarios: b.names(), Started: started,
		Cmdline: strings.Join(m.Cmdline, " "), CPUs: m.CPUs, MemoryMiB: m.MemoryMiB,
	}
}

// findReports adds what the kernel said on its console, each report once, however
// often it came: a thousand are no more trouble than one, and would make the record
// as long as the console.
func (o *outcome) findReports(b *boot, events []console.Event) {
	type report struct{ kind, title, fingerprint string }
	first, again := map[report]int{}, map[int]int{}
	for _, e := range events {
		r := report{string(e.Kind), e.Title, strings.Join(append([]string{e.Function}, e.Frames...), " ")}
		if i, ok := first[r]; ok {
			again[i]++
			continue
		}
		first[r] = len(o.Findings)
		o.find(b, e.At, join(b.names()), r.kind, r.title, strings.Join(e.Lines, "\n"), r.fingerprint)
	}
	for i, n := range again {
		o.Findings[i].Evidence += fmt.Sprintf("\n[packtest: and %d more like it in this boot]", n)
	}
}

// find adds a finding that was made in boot b, at a time since its start.
func (o *outcome) find(b *boot, at time.Duration, scenario, kind, title, evidence, fingerprint string) {
	o.Findings = append(o.Findings, results.Finding{Arch: b.arch, Variant: b.variant, Scenario: scenario,
		Kind: kind, Title: title, Evidence: evidence, Fingerprint: strings.TrimSpace(fingerprint), Boot: b.number, Seconds: at.Round(time.Millisecond).Seconds()})
}

// collect takes over the values of a boot that ended well. Exact figures come
// from the cell's first boot with the scenario and must be the same in every
// other; a difference is shown as several values.
func (r *run) collect(b *boot, vo *vm.Outcome, tr *transcript, o *outcome) {
	place := func(scenario string, s metric.Sample) results.Sample {
		return results.Sample{Arch: b.arch, Variant: b.variant, Scenario: scenario, Sample: s}
	}
	// A traced guest says its first word at the end.
	if vo.Ready > 0 && !b.traced {
		o.Samples = append(o.Samples, place("boot", metric.New("boot_time", nil, float64(vo.Ready.Nanoseconds()))))
	}
	for _, s := range tr.samples {
		if tr.failed[s.scenario] == "" {
			o.Samples = append(o.Samples, place(s.scenario, s.what))
		}
	}
	for _, u := range tr.unmeasured {
		o.Unmeasured = append(o.Unmeasured, results.Unmeasured{Arch: b.arch, Variant: b.variant, Scenario: u.scenario, Metric: u.what.Metric, Why: u.what.Why})
	}
	for _, l := range tr.layouts {
		o.Layouts = append(o.Layouts, results.Layout{Arch: b.arch, Variant: b.variant, Scenario: l.scenario, Layout: l.what})
	}
}

// mergeSamples adds values: a sample that is there already, with the same
// labels, gets the new values after its own.
func mergeSamples(have, more []results.Sample) []results.Sample {
	key := func(s results.Sample) string {
		return strings.Join([]string{s.Arch, s.Variant, s.Scenario, s.Metric, metric.LabelString(s.Labels)}, "\x00")
	}
	at := map[string]int{}
	for i, s := range have {
		at[key(s)] = i
	}
	for _, s := range more {
		if i, ok := at[key(s)]; ok {
			have[i].Values = append(have[i].Values, s.Values...)
			continue
		}
		at[key(s)] = len(have)
		s.Values = slices.Clip(s.Values) // more has it, too
		have = append(have, s)
	}
	return have
}

// mergeUnmeasured leaves out what was said before.
func mergeUnmeasured(have, more []results.Unmeasured) []results.Unmeasured {
	seen := map[results.Unmeasured]bool{}
	for _, u := range have {
		seen[u] = true
	}
	for _, u := range more {
		if !seen[u] {
			seen[u] = true
			have = append(have, u)
		}
	}
	return have
}

// mergeLayouts keeps each layout of the cell's first boot: one picture is
// enough, and layouts are what makes a record large.
func mergeLayouts(have, more []results.Layout) []results.Layout {
	key := func(l results.Layout) string {
		return strings.Join([]string{l.Arch, l.Variant, l.Scenario, l.Step}, "\x00")
	}
	seen := map[string]bool{}
	for _, l := range have {
		seen[key(l)] = true
	}
	for _, l := range more {
		if !seen[key(l)] {
			seen[key(l)] = true
			have = append(have, l)
		}
	}
	return have
}

func join(names []string) string { return strings.Join(names, "+") }
