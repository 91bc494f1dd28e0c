// SPDX-License-Identifier: GPL-2.0-or-later

package results

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"packtest/metric"
)

// Kind is which verb made a record.
type Kind string

// The kinds. Only a run's figures are of whole variants, so that trends can be
// made of them.
const (
	KindRun    Kind = "run"
	KindCheck  Kind = "check"
	KindBisect Kind = "bisect"
)

// Kinds returns every kind.
func Kinds() []Kind { return []Kind{KindRun, KindCheck, KindBisect} }

// Kind tells of which kind the record is.
func (r *Record) Kind() Kind {
	switch {
	case r.Check != nil:
		return KindCheck
	case r.Bisection != nil:
		return KindBisect
	}
	return KindRun
}

// Summary is one run's line in the history: what lists and trends need of it.
type Summary struct {
	Index  int    `json:"index"`  // version of the line
	Folder string `json:"folder"` // in the results folder
	Stamp  Stamp  `json:"stamp"`  // of the record that it was made from
	// Unreadable says why the record can't be read; nothing below is set then.
	Unreadable string `json:"unreadable,omitempty"`
	// Removed is set if the run's folder was removed to make room.
	Removed bool `json:"removed,omitempty"`

	// Kind is empty in the lines of runs that an earlier packtest removed.
	Kind      Kind      `json:"kind,omitempty"`
	ID        string    `json:"id"`
	Started   time.Time `json:"started"`
	Finished  time.Time `json:"finished"`
	Verdict   Verdict   `json:"verdict"`
	Why       string    `json:"why"`
	Against   *Against  `json:"against,omitempty"`
	Baseline  string    `json:"baseline,omitempty"`
	Candidate string    `json:"candidate"`
	Findings  int       `json:"findings"`
	Boots     int       `json:"boots"`
	Packtest  string    `json:"packtest"`
	Base      string    `json:"base"`   // spec and version
	Series    string    `json:"series"` // names and the beginnings of their hashes
	Seed      uint64    `json:"seed"`
	Host      string    `json:"host"`
	// Machines tells by architecture what decides whether two runs' figures can
	// be set beside each other: configuration, accelerator, QEMU, and the VM.
	Machines map[string]string `json:"machines"`
	// Figures are medians, by architecture, variant and figure.
	Figures map[string]map[string]map[string]float64 `json:"figures"`
}

// IsRun tells a run from a check and from a search for a patch. What can't be
// read is taken for one.
func (s Summary) IsRun() bool { return s.Kind == KindRun || s.Kind == "" }

// Figure names one of a summary's figures: "load jit_pages", or, with the label
// that tells it from others, "directmap directmap_4k programs=2048".
func Figure(scenario, metric, labels string) string {
	return strings.TrimSpace(scenario + " " + metric + " " + labels)
}

// ParseFigure takes a figure's name apart.
func ParseFigure(name string) (scenario, metric, labels string) {
	parts := strings.SplitN(name, " ", 3)
	parts = append(parts, "", "")
	return parts[0], parts[1], parts[2]
}

// Summarise makes a run's line. It takes what has a better and a worse and at
// most one label; of a figure against the number of programs, the last. What is
// simulated or traced follows from the kernel image, and is left to comparing
// two runs.
func Summarise(rec *Record) Summary {
	p := rec.Provenance
	s := Summary{
		Index: indexSchema, Folder: rec.ID, Kind: rec.Kind(), ID: rec.ID, Started: rec.Started, Finished: rec.Finished,
		Verdict: rec.Verdict, Why: rec.Why, Against: rec.Against, Baseline: rec.Baseline, Candidate: rec.Candidate,
		Findings: len(rec.Findings), Boots: len(rec.Boots), Packtest: p.Packtest, Seed: rec.Seed,
		Base: strings.TrimSpace(p.Base.Spec + " " + p.Base.Version), Host: fmt.Sprintf("%s, %d CPUs", p.Host.CPU, p.Host.CPUs),
		Machines: machines(rec), Figures: map[string]map[string]map[string]float64{},
	}
	var series []string
	for _, x := range p.Series {
		series = append(series, fmt.Sprintf("%s %.12s", x.Name, x.SHA256))
	}
	if rec.Check != nil {
		series = append(series, "checked: "+rec.Check.Series)
	}
	s.Series = strings.Join(series, ", ")
	last := map[string]float64{}
	for _, x := range rec.Samples {
		label, ok := summed(x)
		mid, have := median(x.Values)
		if !ok || !have {
			continue
		}
		name := Figure(x.Scenario, x.Metric, label)
		if n, err := strconv.ParseFloat(x.Labels["programs"], 64); err == nil {
			at := x.Arch + "\x00" + x.Variant + "\x00" + x.Metric
			if n < last[at] {
				continue
			}
			if old := Figure(x.Scenario, x.Metric, "programs="+strconv.FormatFloat(last[at], 'f', -1, 64)); last[at] != n {
				delete(s.Figures[x.Arch][x.Variant], old)
			}
			last[at] = n
		}
		s.figures(x.Arch, x.Variant)[name] = mid
	}
	return s
}

func (s *Summary) figures(arch, variant string) map[string]float64 {
	if s.Figures[arch] == nil {
		s.Figures[arch] = map[string]map[string]float64{}
	}
	if s.Figures[arch][variant] == nil {
		s.Figures[arch][variant] = map[string]float64{}
	}
	return s.Figures[arch][variant]
}

// summed tells whether a sample goes into a summary, and with which label.
func summed(x Sample) (label string, ok bool) {
	d, known := metric.Lookup(x.Metric)
	described := x.Better == metric.Neither && x.Metric != "programs"
	if !known || described || d.Tier == metric.Model || len(x.Labels) > 1 || x.Labels["pack"] != "" || len(x.Values) == 0 {
		return "", false
	}
	return metric.LabelString(x.Labels), true
}

func median(v []float64) (float64, bool) {
	if len(v) == 0 {
		return 0, false
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2, true
}

// machines says, by architecture, what the kernels were and what they ran on.
func machines(rec *Record) map[string]string {
	m := map[string]string{}
	for _, c := range rec.Cells {
		if m[c.Arch] == "" {
			m[c.Arch] = c.Config + ", " + rec.Provenance.Accelerator[c.Arch]
		}
	}
	seen := map[string]bool{}
	for _, b := range rec.Boots {
		// A kept boot ran on another day's machine, and delivers no time.
		if !b.Kept && !seen[b.Arch] && b.QEMU != "" && b.Trace == nil {
			seen[b.Arch] = true
			m[b.Arch] += fmt.Sprintf(", QEMU %s, %d CPUs, %d MiB", b.QEMU, b.CPUs, b.MemoryMiB)
		}
	}
	return m
}
