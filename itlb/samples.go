// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import (
	"maps"
	"strconv"

	"packtest/itlb/trace"
	"packtest/metric"
)

// SweepEntries are the capacities at which Samples reads the curves.
func SweepEntries() []int {
	return []int{8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096}
}

// Samples turns a result into the catalogue's metrics, in a fixed order. Walks
// are left out where the second level also holds translations of data.
func Samples(r *Result) []metric.Sample {
	s := sampler{base: map[string]string{
		"form": r.Form, "loaded": strconv.Itoa(r.Loaded), "hot": strconv.Itoa(r.Hot),
	}}
	s.trace(r)
	for _, m := range r.Models {
		s.model(r, m)
	}
	for _, c := range r.Curves {
		for _, n := range SweepEntries() {
			s.add("itlb_model_capacity_programs_missing", float64(r.ProgramsMissingAt(c, n)),
				"bound", string(c.Bound), "mapping", c.Mapping, "entries", strconv.Itoa(n))
			s.split("itlb_model_capacity_misses_per_run", perRun(r, Warm), func(p Part) uint64 { return c.Misses(Warm, p, n) },
				"bound", string(c.Bound), "mapping", c.Mapping, "entries", strconv.Itoa(n))
		}
	}
	return s.list
}

type sampler struct {
	base map[string]string // labels that all samples have
	list []metric.Sample
}

// add adds one sample with the labels given as names and values in turn.
func (s *sampler) add(name string, value float64, labels ...string) {
	all := maps.Clone(s.base)
	for i := 0; i < len(labels); i += 2 {
		all[labels[i]] = labels[i+1]
	}
	s.list = append(s.list, metric.New(name, all, value))
}

// split adds a sample of BPF pages' count and one of all pages'.
func (s *sampler) split(name string, scale float64, count func(Part) uint64, labels ...string) {
	s.add(name, float64(count(BPF))*scale, append([]string{"part", BPF.String()}, labels...)...)
	s.add(name, float64(total(count))*scale, append([]string{"part", "all"}, labels...)...)
}

func total(count func(Part) uint64) uint64 { return count(BPF) + count(Kernel) + count(User) }

func perRun(r *Result, lap Lap) float64 { return 1 / float64(r.LapRuns(lap)) }

func (s *sampler) trace(r *Result) {
	for _, p := range []Part{BPF, Kernel, User} {
		s.add("itlb_trace_pages", float64(r.Trace.Pages[p]), "part", p.String())
	}
	s.leaves(BPF.String(), r.Trace.Translations[BPF])
	s.leaves("all", r.Trace.AllTranslations)
	s.split("itlb_trace_transitions_per_run", perRun(r, Warm), func(p Part) uint64 { return r.Trace.Fetches[Warm][p] })
	f := r.Trace.Flushes
	s.add("itlb_trace_flushes", float64(f[trace.FlushAll]+f[trace.FlushNonGlobal]), "seen", "fully")
	s.add("itlb_trace_flushes", float64(f[trace.FlushPage]+f[trace.FlushUnknown]), "seen", "partly")
}

func (s *sampler) leaves(part string, l Leaves) {
	for _, c := range []struct {
		page string
		n    int
	}{{"4k", l.Small}, {"large", l.Large}, {"all", l.Small + l.Large}} {
		s.add("itlb_trace_translations", float64(c.n), "part", part, "page", c.page)
	}
}

func (s *sampler) model(r *Result, m *Model) {
	labels := []string{"geometry", m.Geometry.Name, "policy", string(m.Policy), "bound", string(m.Bound), "mapping", m.Mapping}
	s.add("itlb_model_programs_missing", float64(r.ProgramsMissing(m)), labels...)
	for _, lap := range []Lap{Cold, Warm} {
		labels := append(labels, "lap", lap.String())
		misses := func(p Part) uint64 { return m.Misses(lap, p) }
		s.split("itlb_model_misses_per_run", perRun(r, lap), misses, labels...)
		s.add("itlb_model_misses_per_kiloinstruction", 1000*float64(total(misses))/float64(r.Trace.Instructions[lap]), labels...)
		if len(m.Geometry.L2.Arrays) > 0 && !m.Geometry.L2.WithData {
			s.split("itlb_model_walks_per_run", perRun(r, lap), func(p Part) uint64 { return m.Walks(lap, p) }, labels...)
		}
	}
}
