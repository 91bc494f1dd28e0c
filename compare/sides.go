// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	faults "packtest/internal/fault"
	"packtest/metric"
	"packtest/results"
)

// Side is one variant of one run.
type Side struct {
	Rec     *results.Record
	Variant string
}

func (s Side) String() string { return s.Variant + " of " + s.Rec.ID }

// Sides makes one record of two sides, with a as the baseline and b as the
// candidate, so that whatever reads a run's record reads the comparison. What
// can't be compared is an input error that says why. What differs and does not
// stand in the way is in the record's notes; what is left out, too.
func Sides(a, b Side) (*results.Record, error) {
	for _, s := range []Side{a, b} {
		if kind := s.Rec.Kind(); kind != results.KindRun {
			return nil, faults.WithHint(faults.Inputf("%s is a %s, which holds no run's figures", s.Rec.ID, kind), "packtest history --kind run lists the runs")
		}
		if !slices.Contains(variantsOf(s.Rec), s.Variant) {
			return nil, faults.Inputf("the run %s has no variant %q: it has %s", s.Rec.ID, s.Variant, strings.Join(variantsOf(s.Rec), ", "))
		}
	}
	if a.Rec.ID == b.Rec.ID && a.Variant == b.Variant {
		return nil, faults.Inputf("%s is compared with itself", a)
	}
	m := merger{a: a, b: b, archs: common(a, b)}
	if reasons := m.unlike(); len(reasons) > 0 {
		return nil, faults.Inputf("%s and %s can't be compared: %s", a, b, strings.Join(reasons, "; "))
	}
	return m.record(), nil
}

// variantsOf lists the variants that a run built or meant to.
func variantsOf(rec *results.Record) []string {
	seen := map[string]bool{}
	for _, p := range rec.Planned {
		seen[p.Variant] = true
	}
	for _, c := range rec.Cells {
		seen[c.Variant] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// common lists the architectures that were planned for both sides.
func common(a, b Side) []string {
	of := func(s Side) map[string]bool {
		m := map[string]bool{}
		for _, p := range s.Rec.Planned {
			if p.Variant == s.Variant {
				m[p.Arch] = true
			}
		}
		return m
	}
	other := of(b)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(of(a))), func(arch string) bool { return !other[arch] })
}

type merger struct {
	a, b  Side
	archs []string
}

// unlike says what keeps the sides from being compared.
func (m merger) unlike() []string {
	if len(m.archs) == 0 {
		return []string{"they have no architecture in common"}
	}
	var list []string
	differ := func(what, x, y string) {
		if x != y {
			list = append(list, fmt.Sprintf("%s: %s and %s", what, orUnknown(x), orUnknown(y)))
		}
	}
	differ("seed, from which the programs are made", fmt.Sprint(m.a.Rec.Seed), fmt.Sprint(m.b.Rec.Seed))
	for _, arch := range m.archs {
		x, y := m.a.machine(arch), m.b.machine(arch)
		for _, what := range []string{"kernel configuration", "accelerator", "QEMU", "CPUs of the VM", "memory of the VM"} {
			// What one side never booted does not differ: the audit tells of it.
			if x["boots"] != "" && y["boots"] != "" || what == "kernel configuration" || what == "accelerator" {
				differ(what+" on "+arch, x[what], y[what])
			}
		}
		if m.sameSource(arch) {
			differ("effective kernel configuration on "+arch+", of the same source", m.a.config(arch), m.b.config(arch))
		}
	}
	return list
}

// sameSource tells whether the sides' kernels were built in two runs from one
// source by one compiler, so that nothing but what was asked of them can make
// their configurations differ.
func (m merger) sameSource(arch string) bool {
	x, y := cell(m.a.Rec, arch, m.a.Variant), cell(m.b.Rec, arch, m.b.Variant)
	tool := "gcc-" + arch
	return m.a.Rec.ID != m.b.Rec.ID && x != nil && y != nil && x.Commit != "" && x.Commit == y.Commit &&
		m.a.Rec.Provenance.Tools[tool] == m.b.Rec.Provenance.Tools[tool]
}

// config identifies the side's effective configuration; "" if it is not known.
func (s Side) config(arch string) string {
	if c := cell(s.Rec, arch, s.Variant); c != nil {
		return c.ConfigSHA256[:min(12, len(c.ConfigSHA256))]
	}
	return ""
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// machine tells what a side's kernel on arch was and what it ran on.
func (s Side) machine(arch string) map[string]string {
	m := map[string]string{"accelerator": s.Rec.Provenance.Accelerator[arch]}
	if c := cell(s.Rec, arch, s.Variant); c != nil {
		m["kernel configuration"] = c.Config
	}
	from := Source(s.Rec, arch, s.Variant)
	for _, b := range s.Rec.Boots {
		// A kept boot ran on another day's machine, and delivers no time.
		if b.Arch == arch && b.Variant == from && !b.Kept {
			m["boots"] = "some"
			m["QEMU"], m["parameters"] = b.QEMU, b.Cmdline
			m["CPUs of the VM"], m["memory of the VM"] = fmt.Sprint(b.CPUs), fmt.Sprintf("%d MiB", b.MemoryMiB)
			break
		}
	}
	return m
}

// names returns what the sides are called in the record.
func (m merger) names() (string, string) {
	if m.a.Variant != m.b.Variant {
		return m.a.Variant, m.b.Variant
	}
	return m.a.Variant + "@A", m.b.Variant + "@B"
}

func (m merger) record() *results.Record {
	nameA, nameB := m.names()
	rec := &results.Record{
		Schema: results.Schema, Seed: m.b.Rec.Seed, Started: m.b.Rec.Started, Finished: m.b.Rec.Finished,
		ID:       fmt.Sprintf("compare %s:%s %s:%s", m.a.Rec.ID, m.a.Variant, m.b.Rec.ID, m.b.Variant),
		Baseline: nameA, Candidate: nameB, Tolerances: m.b.Rec.Tolerances,
		Provenance: m.provenance(),
		Notes:      m.notes(),
	}
	m.a.into(rec, nameA, m)
	m.b.into(rec, nameB, m)
	rec.Normalise()
	MarkBaseline(rec)
	return rec
}

// shared tells whether both sides planned the scenario on arch, and both carried
// it out or both left it out.
func (m merger) shared(arch, scenario string) bool {
	planned := func(s Side, leftOut bool) bool {
		return slices.ContainsFunc(s.Rec.Planned, func(p results.Planned) bool {
			return p.Variant == s.Variant && p.Arch == arch && p.Scenario == scenario && (p.LeftOut != "") == leftOut
		})
	}
	both := func(leftOut bool) bool { return planned(m.a, leftOut) && planned(m.b, leftOut) }
	return slices.Contains(m.archs, arch) && (both(false) || both(true))
}

// otherHost tells whether the sides' times come from different machines.
func (m merger) otherHost() bool {
	return m.a.Rec.Provenance.Host.CPU != m.b.Rec.Provenance.Host.CPU || m.a.Rec.Provenance.Host.CPUs != m.b.Rec.Provenance.Host.CPUs
}

// into adds the side to rec under the name.
func (s Side) into(rec *results.Record, name string, m merger) {
	for _, p := range s.Rec.Planned {
		if p.Variant == s.Variant && m.shared(p.Arch, p.Scenario) {
			p.Variant = name
			rec.Planned = append(rec.Planned, p)
		}
	}
	for _, c := range s.Rec.Cells {
		if slices.Contains(m.archs, c.Arch) && c.Variant == s.Variant {
			c.Variant, c.SameAs = name, ""
			rec.Cells = append(rec.Cells, c)
		}
	}
	// The values of a kernel that was not booted, its image being another's, are
	// that one's.
	ours := func(arch, variant string) bool {
		return slices.Contains(m.archs, arch) && variant == Source(s.Rec, arch, s.Variant)
	}
	rec.Boots = take(rec.Boots, s.Rec.Boots, name, ours, func(b *results.Boot) (string, *string) { return b.Arch, &b.Variant })
	rec.Findings = take(rec.Findings, s.Rec.Findings, name, ours, func(f *results.Finding) (string, *string) { return f.Arch, &f.Variant })
	rec.Layouts = take(rec.Layouts, s.Rec.Layouts, name, ours, func(l *results.Layout) (string, *string) { return l.Arch, &l.Variant })
	rec.Unmeasured = take(rec.Unmeasured, s.Rec.Unmeasured, name, ours, func(u *results.Unmeasured) (string, *string) { return u.Arch, &u.Variant })
	for _, v := range s.Rec.Samples {
		if !ours(v.Arch, v.Variant) || v.Scenario != "boot" && !m.shared(v.Arch, v.Scenario) {
			continue
		}
		v.Variant = name
		if m.otherHost() && TierOf(v.Sample) == metric.Measured {
			rec.Unmeasured = append(rec.Unmeasured, results.Unmeasured{Arch: v.Arch, Variant: name, Scenario: v.Scenario, Metric: v.Metric,
				Why: "times of different machines are not compared"})
			continue
		}
		rec.Samples = append(rec.Samples, v)
	}
}

// take appends to a list what is ours of another, under the variant's new name;
// at tells where an element is from.
func take[T any](to, from []T, name string, ours func(arch, variant string) bool, at func(*T) (arch string, variant *string)) []T {
	for _, x := range from {
		if arch, variant := at(&x); ours(arch, *variant) {
			*variant = name
			to = append(to, x)
		}
	}
	return to
}

// provenance is b's, with what is a's beside it where the two differ.
func (m merger) provenance() results.Provenance {
	p, q := m.b.Rec.Provenance, m.a.Rec.Provenance
	if p.Base != q.Base {
		says := func(b results.Base) string { return strings.TrimSpace(b.Spec + " " + b.Version) }
		p.Base = results.Base{Spec: says(p.Base) + " (against " + says(q.Base) + ")"}
	}
	p.Plan = ""
	p.Series = slices.Clone(p.Series)
	for _, s := range q.Series {
		if !slices.ContainsFunc(p.Series, func(t results.Series) bool { return t.SHA256 == s.SHA256 }) {
			p.Series = append(p.Series, s)
		}
	}
	return p
}

// notes say what the sides are, and what a reader should know.
func (m merger) notes() []string {
	nameA, nameB := m.names()
	var list []string
	if m.a.Rec.ID != m.b.Rec.ID {
		list = append(list, fmt.Sprintf("%s is %s, and %s is %s", nameA, m.a, nameB, m.b))
	}
	differ := func(what, x, y string) {
		if x != y {
			list = append(list, fmt.Sprintf("%s differs: %s and %s", what, orUnknown(x), orUnknown(y)))
		}
	}
	p, q := m.a.Rec.Provenance, m.b.Rec.Provenance
	differ("the base", p.Base.Spec+" "+p.Base.Version+" "+p.Base.Commit, q.Base.Spec+" "+q.Base.Version+" "+q.Base.Commit)
	differ("packtest", p.Packtest, q.Packtest)
	differ("the host", fmt.Sprintf("%s, %d CPUs", p.Host.CPU, p.Host.CPUs), fmt.Sprintf("%s, %d CPUs", q.Host.CPU, q.Host.CPUs))
	if p.Geometries != q.Geometries {
		list = append(list, "the files of simulated TLBs differ: of those that packtest doesn't carry, what has one name need not be one")
	}
	for _, arch := range m.archs {
		differ("the compiler for "+arch, p.Tools["gcc-"+arch], q.Tools["gcc-"+arch])
		differ("the effective kernel configuration on "+arch, m.a.config(arch), m.b.config(arch))
		if x, y := m.a.machine(arch), m.b.machine(arch); x["boots"] != "" && y["boots"] != "" {
			differ("what the kernel was told on "+arch, x["parameters"], y["parameters"])
		}
	}
	if !maps.Equal(m.a.Rec.Tolerances, m.b.Rec.Tolerances) {
		list = append(list, fmt.Sprintf("the plans' tolerances differ, and those of %s hold", m.b))
	}
	for _, s := range []Side{m.a, m.b} {
		out := map[string]bool{}
		for _, pl := range s.Rec.Planned {
			if pl.Variant == s.Variant && pl.LeftOut == "" && !m.shared(pl.Arch, pl.Scenario) {
				out[pl.Scenario+" on "+pl.Arch] = true
			}
		}
		if len(out) > 0 {
			list = append(list, fmt.Sprintf("not compared, since only %s has it: %s", s, strings.Join(slices.Sorted(maps.Keys(out)), ", ")))
		}
	}
	return list
}
