// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"packtest/compare"
	"packtest/metric"
	"packtest/results"
)

// Bench writes the raw values of rec in Go's benchmark format, which benchstat
// reads: the architecture, the variant and the accelerator as configuration, a
// benchmark for every scenario and set of labels, and a line for every boot.
//
//	benchstat -col variant report.bench
func Bench(w io.Writer, rec *results.Record) error {
	out := bufio.NewWriter(w) // keeps its first error until Flush
	b := builder{rec: rec, used: map[string]bool{}}
	b.gather()
	fmt.Fprintf(out, "# %s\n", printable("packtest "+rec.ID))
	fmt.Fprintf(out, "# %s\n", printable(b.context()))
	samples := slices.DeleteFunc(slices.Clone(rec.Samples), func(s results.Sample) bool { return len(finite(s.Values)) == 0 })
	benchUnits(out, samples)
	for _, arch := range b.archs {
		for _, v := range b.variants {
			from := compare.Source(rec, arch, v)
			of := slices.DeleteFunc(slices.Clone(samples), func(s results.Sample) bool { return s.Arch != arch || s.Variant != from })
			if len(of) == 0 {
				continue
			}
			fmt.Fprintf(out, "\narch: %s\nvariant: %s\n", word(arch), word(v))
			if acc := rec.Provenance.Accelerator[arch]; acc != "" {
				fmt.Fprintf(out, "accelerator: %s\n", word(acc))
			}
			benchLines(out, of)
		}
	}
	for _, u := range rec.Unmeasured {
		fmt.Fprintf(out, "# not measured: %s\n", printable(fmt.Sprintf("%s in %s of %s on %s: %s", u.Metric, u.Scenario, u.Variant, u.Arch, u.Why)))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the report as benchmarks: %w", err)
	}
	return nil
}

// benchLines writes one variant's samples, those of one benchmark together.
func benchLines(out io.Writer, samples []results.Sample) {
	lines := map[string][]string{}
	for _, s := range samples {
		name := benchName(s)
		for i, x := range finite(s.Values) {
			if len(lines[name]) <= i {
				lines[name] = append(lines[name], "")
			}
			lines[name][i] += " " + strconv.FormatFloat(x, 'f', -1, 64) + " " + benchUnit(s.Sample)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		for _, l := range lines[name] {
			fmt.Fprintf(out, "%s 1%s\n", name, l)
		}
	}
}

// benchUnits writes what is known of every unit: which way is better, and
// whether its values are exact. Exact is only said where they all agree.
func benchUnits(out io.Writer, samples []results.Sample) {
	better := map[string]metric.Better{}
	exact := map[string]bool{}
	for _, s := range samples {
		u, v := benchUnit(s.Sample), finite(s.Values)
		if _, ok := better[u]; !ok {
			better[u], exact[u] = s.Better, true
		}
		exact[u] = exact[u] && s.Exact && slices.Min(v) == slices.Max(v)
	}
	for _, u := range slices.Sorted(maps.Keys(better)) {
		line := ""
		if b := better[u]; b == metric.Lower || b == metric.Higher {
			line += " better=" + string(b)
		}
		if exact[u] {
			line += " assume=exact"
		}
		if line != "" {
			fmt.Fprintf(out, "Unit %s%s\n", u, line)
		}
	}
}

// benchName is "BenchmarkLoad/programs=512".
func benchName(s results.Sample) string {
	name := "BenchmarkX"
	if sc := word(s.Scenario); sc != "" {
		name = "Benchmark" + strings.ToUpper(sc[:1]) + sc[1:]
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		name += "/" + word(k) + "=" + word(s.Labels[k])
	}
	return name
}

// benchUnit is the metric, with a suffix by which benchstat knows times and
// sizes.
func benchUnit(s metric.Sample) string {
	suffix := map[string]string{"ns": "-ns", "bytes": "-B"}[s.Unit]
	return word(s.Metric) + suffix
}

// word keeps what may stand in a name of the format.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && r != '/' && r != '=' {
			return r
		}
		return '_'
	}, s)
}

func finite(v []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(v), func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
}
