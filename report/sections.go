// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"packtest/compare"
	faults "packtest/internal/fault"
	"packtest/results"
)

// problems lists what was planned and not carried out.
func (b *builder) problems() []Section {
	var l List
	for _, says := range compare.LeftOut(b.rec) {
		l.Items = append(l.Items, Item{Text: sentence(says)})
	}
	for _, p := range compare.Audit(b.rec) {
		it := Item{Text: sentence(p.What), Tone: Bad}
		if p.Fault != faults.Harness {
			it.Text += " (" + p.Fault.String() + "'s fault)"
		}
		l.Items = append(l.Items, it)
	}
	for _, c := range b.rec.Cells {
		if strings.Contains(strings.TrimSpace(c.Error), "\n") {
			l.Items = append(l.Items, Item{Text: fmt.Sprintf("What the build of %s for %s said:", c.Variant, c.Arch), Evidence: c.Error})
		}
	}
	if len(l.Items) == 0 {
		return nil
	}
	return []Section{{ID: "not-done", Title: "Planned and not carried out", Blocks: []Block{l}}}
}

func (b *builder) findings() Section {
	s := Section{ID: "findings", Title: "Findings"}
	f := compare.SortFindings(b.rec)
	var all List
	var less []results.Finding
	for _, n := range f.New {
		if f.Less(n) {
			less = append(less, n)
		}
	}
	f.New = slices.DeleteFunc(f.New, f.Less)
	add := func(list []results.Finding, tone Tone, where string) {
		// What several scenarios find alike stands in one place.
		alike := group(list, func(f results.Finding) (string, string) {
			return strings.Join([]string{f.Arch, f.Variant, f.Title, f.Kind, f.Evidence}, "\x00"), f.Scenario
		})
		for _, g := range alike {
			f := strings.Split(g.key, "\x00")
			text := fmt.Sprintf("%s, %s", f[0], f[1]+where)
			for i, scenario := range g.of {
				if scenario != "" && !slices.Contains(g.of[:i], scenario) {
					text += ", " + scenario
				}
			}
			all.Items = append(all.Items, Item{Text: fmt.Sprintf("%s: %s (%s)", text, f[2], f[3]), Tone: tone, Evidence: f[4]})
		}
	}
	add(less, Bad, " (less of it on the baseline)")
	add(f.New, Bad, "")
	add(f.Alone, Bad, " (the baseline did not get so far)")
	add(f.Shared, Muted, " and the baseline as well")
	add(f.Baseline, Muted, " (baseline only)")
	add(f.Others, Muted, "")
	if len(all.Items) == 0 {
		s.Blocks = []Block{Para{Text: "None: no broken oracle, no warning, oops or hang on any kernel" + b.attacked() + "."}}
		if len(compare.Audit(b.rec)) > 0 || len(compare.LeftOut(b.rec)) > 0 {
			s.Blocks = []Block{Para{Text: "None in what was carried out, which is not all that was planned."}}
		}
		return s
	}
	s.Blocks = []Block{all}
	return s
}

// attacked says how much was done to find something, on all kernels together.
func (b *builder) attacked() string {
	sum := map[string]float64{}
	for _, k := range b.rows {
		for _, v := range b.variants {
			if c, ok := b.values[k][v]; ok && c.HeadCentre != nil {
				sum[k.metric] += *c.HeadCentre
			}
		}
	}
	if sum["attack_looks"] == 0 {
		return ""
	}
	return fmt.Sprintf(", under attacks that loaded %s and ran %s times, with %s at all executable memory",
		Quantity("programs", sum["attack_loads"]), number(sum["attack_runs"]), Quantity("looks", sum["attack_looks"]))
}

// unmeasured lists what could not be measured; cells with the same reason stand
// together.
func (b *builder) unmeasured() []Section {
	type reason struct{ arch, metric, why string }
	var order []reason
	variants := map[reason][]string{}
	list := slices.Clone(b.rec.Unmeasured)
	slices.SortStableFunc(list, func(x, y results.Unmeasured) int {
		return slices.Index(b.archs, x.Arch) - slices.Index(b.archs, y.Arch)
	})
	for _, u := range list {
		r := reason{u.Arch, u.Metric, u.Why}
		if variants[r] == nil {
			order = append(order, r)
		}
		if !slices.Contains(variants[r], u.Variant) {
			variants[r] = append(variants[r], u.Variant)
		}
	}
	// What is missing for one reason on several architectures stands in one
	// line, and so do the metrics.
	wheres := group(order, func(r reason) (string, string) {
		where := r.arch
		if len(variants[r]) < len(b.variants) {
			where += " " + strings.Join(variants[r], ", ")
		}
		return r.metric + "\x00" + r.why, where
	})
	metrics := group(wheres, func(g grouped) (string, string) {
		metric, why, _ := strings.Cut(g.key, "\x00")
		return strings.Join(g.of, " and ") + "\x00" + why, metric
	})
	var items List
	for _, g := range metrics {
		where, why, _ := strings.Cut(g.key, "\x00")
		// A kernel without packs has no pack's occupancy, which goes without
		// saying in the short form.
		detail := slices.Equal(g.of, []string{"pack_occupancy"})
		items.Items = append(items.Items, Item{Text: fmt.Sprintf("%s (%s): %s", strings.Join(g.of, ", "), where, why), Detail: detail})
	}
	if len(items.Items) == 0 {
		return nil
	}
	detail := !slices.ContainsFunc(items.Items, func(it Item) bool { return !it.Detail })
	return []Section{{ID: "not-measured", Title: "Not measured", Detail: detail, Blocks: []Block{items}}}
}

// grouped is a key and what has it, both in the order of their first coming.
type grouped struct {
	key string
	of  []string
}

func group[T any](list []T, split func(T) (key, member string)) []grouped {
	var out []grouped
	for _, x := range list {
		key, member := split(x)
		i := slices.IndexFunc(out, func(g grouped) bool { return g.key == key })
		if i < 0 {
			i = len(out)
			out = append(out, grouped{key: key})
		}
		out[i].of = append(out[i].of, member)
	}
	return out
}

func (b *builder) provenance() Section {
	r, p := b.rec, b.rec.Provenance
	var f Facts
	add := func(detail bool, name, value string) {
		if value != "" {
			f.Items = append(f.Items, Fact{Name: name, Value: value, Detail: detail})
		}
	}
	base := strings.TrimSpace(p.Base.Spec + " " + p.Base.Version)
	if p.Base.SHA256 != "" {
		base += ", sha256 " + short(p.Base.SHA256)
	} else if p.Base.Commit != "" {
		base += ", commit " + short(p.Base.Commit)
	}
	add(false, "base", base)
	for _, s := range p.Series {
		add(false, "series", fmt.Sprintf("%s, %s, sha256 %s", s.Name, countOf(len(s.Patches), "patch"), short(s.SHA256)))
		add(true, s.Name+", title", s.Title)
		for i, name := range s.Patches {
			add(true, fmt.Sprintf("%s, patch %d", s.Name, i+1), name)
		}
	}
	for _, tool := range slices.Sorted(maps.Keys(p.Tools)) {
		add(false, tool, p.Tools[tool])
	}
	for _, a := range slices.Sorted(maps.Keys(p.Accelerator)) {
		add(true, "accelerator, "+a, p.Accelerator[a])
	}
	host := p.Host.CPU
	if p.Host.CPUs > 0 {
		host += fmt.Sprintf(", %s", countOf(p.Host.CPUs, "CPU"))
	}
	if p.Host.Memory > 0 {
		host += ", " + Quantity("bytes", float64(p.Host.Memory))
	}
	add(false, "host", strings.TrimPrefix(host, ", "))
	add(true, "host's system", strings.TrimSpace(p.Host.OS+" "+p.Host.Kernel))
	for _, a := range b.archs {
		add(true, "mitigations, "+a, b.mitigations(a))
	}
	add(true, "seed", fmt.Sprint(r.Seed))
	add(true, "command", strings.Join(r.Command, " "))
	add(true, "started", day(r.Started))
	add(true, "finished", day(r.Finished))
	add(true, "packtest", p.Packtest)
	if len(f.Items) == 0 {
		f.Items = []Fact{{Name: "unknown", Value: "the record does not say"}}
	}
	blocks := []Block{f}
	if p.Plan != "" {
		blocks = append(blocks, List{Items: []Item{{Text: "The plan:", Evidence: p.Plan}}})
	}
	simulated := func(s results.Sample) bool { return strings.HasPrefix(s.Metric, "itlb_model_") }
	if p.Geometries != "" && slices.ContainsFunc(r.Samples, simulated) {
		blocks = append(blocks, List{Items: []Item{{Text: "Instruction TLBs of the user's, simulated beside packtest's own:", Evidence: p.Geometries, Detail: true}}})
	}
	for _, n := range r.Notes {
		blocks = append(blocks, Para{Text: sentence(n)})
	}
	return Section{ID: "made-with", Title: "Made with", Blocks: blocks}
}

// mitigations lists what the guest says of the processor's vulnerabilities,
// those that do not affect it left out.
func (b *builder) mitigations(arch string) string {
	for _, boot := range b.rec.Boots {
		if boot.Arch != arch || len(boot.Mitigations) == 0 {
			continue
		}
		var on []string
		for _, k := range slices.Sorted(maps.Keys(boot.Mitigations)) {
			if v := boot.Mitigations[k]; v != "Not affected" {
				on = append(on, k+": "+v)
			}
		}
		if len(on) == 0 {
			return "none needed, says the guest"
		}
		return strings.Join(on, "; ")
	}
	return ""
}

func (b *builder) kernels() Section {
	t := Table{Caption: "one row for every kernel", Columns: []Column{{Title: "kernel"}, {Title: "stack", Words: true}, {Title: "objects"}, {Title: "build"}, {Title: "image, sha256", Words: true}, {Title: "config, sha256", Words: true}}}
	for _, a := range b.archs {
		for _, v := range b.variants {
			for _, c := range b.rec.Cells {
				if c.Arch == a && c.Variant == v {
					t.Rows = append(t.Rows, kernelRow(c))
				}
			}
		}
	}
	return Section{ID: "kernels", Title: "Kernels", Detail: true, Blocks: []Block{t}}
}

func kernelRow(c results.Cell) Row {
	stack := "the base as it is"
	if len(c.Stack) > 0 {
		stack = strings.Join(c.Stack, ", ")
	}
	objects, built, image := "n/m", "n/m", short(c.Image)
	if c.Objects > 0 {
		objects = fmt.Sprint(c.Objects)
		if c.Incremental {
			objects += ", others reused"
		}
	}
	if c.BuildSeconds > 0 {
		built = duration(c.BuildSeconds)
		if c.Cached {
			built += ", earlier"
		}
	}
	if c.SameAs != "" {
		image += " = " + c.SameAs
	}
	if c.Error != "" {
		image = "not built"
	}
	return Row{Cells: []Cell{{Text: c.Arch + " " + c.Variant, Hint: "configuration " + c.Config + ", commit " + c.Commit}, {Text: stack}, {Text: objects},
		{Text: built}, {Text: image, Hint: c.Image}, {Text: short(c.ConfigSHA256), Hint: c.ConfigSHA256}}}
}

func (b *builder) boots() Section {
	t := Table{Caption: "one row for every start of a kernel", Columns: []Column{{Title: "boot"}, {Title: "scenarios", Words: true}, {Title: "ended", Words: true}, {Title: "took"}, {Title: "machine", Words: true}, {Title: "console", Words: true}}}
	for _, a := range b.archs {
		for _, boot := range b.rec.Boots {
			if boot.Arch != a {
				continue
			}
			end := Cell{Text: boot.Ending, Tone: Good, Hint: boot.Detail}
			if boot.Ending != results.EndingDone {
				end.Tone = Bad
			}
			took := "n/m"
			if boot.Seconds > 0 {
				took = fmt.Sprintf("%.1f s", boot.Seconds)
			}
			if boot.Kept {
				took += ", on " + boot.Started.UTC().Format("2006-01-02")
			}
			t.Rows = append(t.Rows, Row{Cells: []Cell{
				{Text: fmt.Sprintf("%s %s %d", boot.Arch, boot.Variant, boot.Number), Hint: boot.Release},
				{Text: strings.Join(boot.Scenarios, ", ")}, end, {Text: took},
				{Text: fmt.Sprintf("%s, %s, %d MiB", boot.Accelerator, countOf(boot.CPUs, "CPU"), boot.MemoryMiB), Hint: boot.QEMU + "; " + boot.Cmdline},
				{Text: boot.Console},
			}})
		}
	}
	return Section{ID: "boots", Title: "Boots", Detail: true, Blocks: []Block{t}}
}

func (b *builder) limits() Section {
	var blocks []Block
	for _, a := range b.archs {
		if b.rec.Provenance.Accelerator[a] == "tcg" {
			blocks = append(blocks, Para{Text: "Times under TCG are an emulator's and say nothing of a processor; layout figures do not depend on it."})
			break
		}
	}
	blocks = append(blocks, b.itlbLimits()...)
	blocks = append(blocks, Para{Detail: true, Text: "A metric weighs in the verdict, or is only shown, by the table in docs/metrics.md. Noisy metrics differ if the Mann-Whitney U test says so at 5 % after Holm's correction over all of one comparison, and the medians lie more than 10 % apart."})
	return Section{ID: "limits", Title: "Limits", Blocks: blocks}
}

// sentence ends text with a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}
