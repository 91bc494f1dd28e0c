// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"slices"
	"strings"

	"packtest/compare"
	"packtest/metric"
	"packtest/results"
)

// Build makes the document of a record. The verdict is drawn anew from what the
// record holds; where it isn't the one written down, the document says so.
func Build(rec *results.Record) Document {
	b := builder{rec: rec, used: map[string]bool{}}
	b.gather()
	verdict, why := compare.Judge(rec)
	d := Document{
		Title:   "packtest " + rec.ID,
		Verdict: verdict,
		Why:     why,
		Context: b.context(),
		Leads:   b.leads(),
		Checks:  b.checks(verdict, why),
		Started: rec.Started,
	}
	if rec.Check != nil {
		b.checked(&d)
		return d
	}
	if rec.Bisection != nil {
		b.bisection(&d)
		return d
	}
	d.Sections = append(d.Sections, b.problems()...)
	d.Sections = append(d.Sections, b.findings())
	for i, arch := range b.archs {
		s := b.metrics(arch)
		if i == len(b.archs)-1 {
			s.Blocks = append(s.Blocks, b.signs()...)
		}
		if len(s.Blocks) > 0 {
			d.Sections = append(d.Sections, s)
		}
	}
	d.Sections = append(d.Sections, b.directMap()...)
	d.Sections = append(d.Sections, b.itlb()...)
	d.Sections = append(d.Sections, b.maps()...)
	d.Sections = append(d.Sections, b.testBPF()...)
	d.Sections = append(d.Sections, b.unmeasured()...)
	d.Sections = append(d.Sections, b.provenance(), b.kernels(), b.boots(), b.limits())
	if rec.Verdict != "" && rec.Verdict != verdict {
		d.Sections = append([]Section{{ID: "verdict", Title: "Another verdict than was written down", Blocks: []Block{Para{
			Text: fmt.Sprintf("The record says %s (%s). By the rules of this packtest it is %s.", rec.Verdict, rec.Why, verdict), Tone: Bad}}}}, d.Sections...)
	}
	return d
}

// builder holds what several parts of a document are made from.
type builder struct {
	rec      *results.Record
	archs    []string
	variants []string // the baseline, the candidate, then the others
	rows     []rowKey
	values   map[rowKey]map[string]compare.Change // by variant; Head holds the values
	changes  map[rowKey]map[string]compare.Change // by variant, against the baseline
	used     map[string]bool                      // signs that stand in a table; true if the text form shows them
}

// rowKey names one line of a metrics table.
type rowKey struct{ arch, scenario, metric, labels string }

func keyOf(c compare.Change) rowKey {
	return rowKey{c.Arch, c.Scenario, c.Metric, metric.LabelString(c.Labels)}
}

func (b *builder) gather() {
	b.archs = unique(func(add func(string)) {
		for _, p := range b.rec.Planned {
			add(p.Arch)
		}
		for _, c := range b.rec.Cells {
			add(c.Arch)
		}
		for _, s := range b.rec.Samples {
			add(s.Arch)
		}
	})
	slices.SortFunc(b.archs, func(x, y string) int { return strings.Compare(y, x) }) // x86_64 first
	rest := unique(func(add func(string)) {
		for _, p := range b.rec.Planned {
			add(p.Variant)
		}
		for _, c := range b.rec.Cells {
			add(c.Variant)
		}
		for _, s := range b.rec.Samples {
			add(s.Variant)
		}
	})
	slices.Sort(rest)
	b.variants = unique(func(add func(string)) {
		add(b.rec.Baseline)
		add(b.rec.Candidate)
		for _, v := range rest {
			add(v)
		}
	})
	b.values = map[rowKey]map[string]compare.Change{}
	b.changes = map[rowKey]map[string]compare.Change{}
	var all []compare.Change
	for _, v := range b.variants {
		for _, c := range compare.Between(b.rec, "", v).Changes {
			if len(c.Head) == 0 {
				continue
			}
			k := keyOf(c)
			if b.values[k] == nil {
				b.values[k] = map[string]compare.Change{}
				all = append(all, c)
			}
			b.values[k][v] = c
		}
	}
	compare.Sort(all)
	for _, c := range all {
		b.rows = append(b.rows, keyOf(c))
	}
	for _, cmp := range compare.Compare(b.rec) {
		for _, c := range cmp.Changes {
			k := keyOf(c)
			if b.changes[k] == nil {
				b.changes[k] = map[string]compare.Change{}
			}
			b.changes[k][cmp.Head] = c
		}
	}
}

// unique collects what it is given, without the empty and what it has already.
func unique(each func(add func(string))) []string {
	var list []string
	each(func(s string) {
		if s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	})
	return list
}

// paired tells whether the record compares anything.
func (b *builder) paired() bool { return b.rec.Baseline != "" && len(b.variants) > 1 }

func (b *builder) context() string {
	p := b.rec.Provenance
	what := b.rec.Candidate
	if b.rec.Baseline != "" && b.rec.Baseline != b.rec.Candidate {
		what += " against " + b.rec.Baseline
	}
	base := strings.TrimSpace(p.Base.Spec + " " + p.Base.Version)
	if base == "" {
		base = "an unknown base"
	}
	if acc := b.accelerators(); acc != "" {
		return fmt.Sprintf("%s, on %s; %s", what, base, acc)
	}
	return fmt.Sprintf("%s, on %s; nothing was booted", what, base)
}

// accelerators says what the kernels ran on: "TCG", or "x86_64 KVM, s390x TCG";
// "" if none was chosen.
func (b *builder) accelerators() string {
	var each []string
	all := unique(func(add func(string)) {
		for _, a := range b.archs {
			if acc := b.rec.Provenance.Accelerator[a]; acc != "" {
				each = append(each, a+" "+strings.ToUpper(acc))
				add(strings.ToUpper(acc))
			}
		}
	})
	if len(all) == 1 && len(each) == len(b.archs) {
		return all[0]
	}
	return strings.Join(each, ", ")
}

// value returns the median of a metric in a variant; the largest label value is
// taken if there are several rows. ok is false if it was not measured.
func (b *builder) value(arch, metric, variant string) (x float64, ok bool) {
	for _, k := range b.rows {
		if k.arch != arch || k.metric != metric {
			continue
		}
		if c, have := b.values[k][variant]; have && c.HeadCentre != nil {
			x, ok = *c.HeadCentre, true
		}
	}
	return x, ok
}

func (b *builder) leads() []Lead {
	var list []Lead
	for _, a := range b.archs {
		if s := b.lead(a); s != "" {
			list = append(list, Lead{Arch: a, Says: s})
		}
	}
	return list
}

// lead says in one sentence what the candidate's figures are and what the
// baseline's were.
func (b *builder) lead(arch string) string {
	base, cand := b.rec.Baseline, b.rec.Candidate
	paired := base != "" && base != cand
	var parts []string
	n, haveN := b.value(arch, "programs", cand)
	if pages, ok := b.value(arch, "jit_pages", cand); ok && haveN && pages > 0 {
		s := fmt.Sprintf("%s on %s", Quantity("programs", n), Quantity("pages", pages))
		was, ok := b.value(arch, "jit_pages", base)
		each, okEach := b.value(arch, "programs_per_page", base)
		if paired && ok && okEach {
			s += fmt.Sprintf(" instead of %s (%.1f a page instead of %.1f)", number(was), n/pages, each)
		} else {
			s += fmt.Sprintf(" (%.1f a page)", n/pages)
		}
		parts = append(parts, s)
	}
	if loaded, grew, ok := b.directMapGrowth(arch, cand); ok {
		_, was, okWas := b.directMapGrowth(arch, base)
		s := fmt.Sprintf("DirectMap4k grows by %s over %s", Quantity("bytes", grew), Quantity("programs", loaded))
		switch {
		case paired && okWas && grew != was:
			parts = append(parts, s+" instead of "+Quantity("bytes", was))
		case !paired:
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, "; ")
}
