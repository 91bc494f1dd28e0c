// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"packtest/metric"
	"packtest/results"
)

// Point is one run's value of a figure.
type Point struct {
	Run   string    `json:"run"`
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// Trend is one figure of one variant over the runs whose machine, seed and
// number of programs are the newest one's.
type Trend struct {
	Arch     string        `json:"arch"`
	Variant  string        `json:"variant"`
	Scenario string        `json:"scenario"`
	Metric   string        `json:"metric"`
	Labels   string        `json:"labels,omitempty"`
	Unit     string        `json:"unit"`
	Better   metric.Better `json:"better"`
	Exact    bool          `json:"exact"`
	// Points are the runs' values, oldest first; Left counts the runs that have
	// one which is not comparable.
	Points []Point `json:"points"`
	Left   int     `json:"left_out"`
	// Steps are the points at which it changed.
	Steps []Step `json:"steps"`
}

// Step is a change point: from Points[At] on the figure is another.
type Step struct {
	At  int    `json:"at"`
	Run string `json:"run"`
	// Before and After are the medians of the stretches on both sides.
	Before  float64 `json:"before"`
	After   float64 `json:"after"`
	Outcome Outcome `json:"outcome"` // better, worse or changed
	// P is how likely so clear a step would be if the order of the runs meant
	// nothing; 0 for exact figures, which need no test.
	P float64 `json:"p"`
}

// Trends makes a trend of every figure that a rule judges or that has a time,
// in the order of reports. Runs must be oldest first.
func Trends(runs []results.Summary) []Trend {
	type id struct{ arch, variant, figure string }
	newest := map[id]string{}
	trends := map[id]*Trend{}
	for _, run := range slices.Backward(runs) {
		if !proves(run) {
			continue
		}
		for arch, variants := range run.Figures {
			for variant, figures := range variants {
				for figure, value := range figures {
					k := id{arch, variant, figure}
					t := trends[k]
					if t == nil {
						if t = newTrend(arch, variant, figure); t == nil {
							continue
						}
						trends[k], newest[k] = t, conditions(run, arch, variant, t)
					}
					if conditions(run, arch, variant, t) != newest[k] {
						t.Left++
						continue
					}
					t.Points = append(t.Points, Point{Run: run.Folder, At: run.Started, Value: value})
				}
			}
		}
	}
	var list []Trend
	for _, t := range trends {
		slices.Reverse(t.Points)
		list = append(list, *t)
	}
	sortTrends(list)
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU()) // a thousand runs take the better part of a second
	for i := range list {
		g.Go(func() error {
			list[i].Steps = steps(&list[i])
			return nil
		})
	}
	_ = g.Wait()
	return list
}

// proves leaves out runs whose figures may be half of what was asked for, and
// checks and searches, whose kernels are steps of a series.
func proves(run results.Summary) bool {
	return run.Unreadable == "" && run.IsRun() && run.Verdict != results.Interrupted && run.Verdict != results.HarnessFailed
}

// Good tells whether nothing was wrong in a run, in itself or against an earlier
// one, so that later ones can be held against it. One that was worse than the
// last good run is not good, or it would be complained of once and never again.
func Good(run results.Summary) bool {
	return run.Unreadable == "" && ExitCode(run.Verdict) == 0 && (run.Against == nil || ExitCode(run.Against.Verdict) != 1)
}

// newTrend returns an empty trend; nil for a figure that isn't worth one.
func newTrend(arch, variant, figure string) *Trend {
	scenario, name, labels := results.ParseFigure(figure)
	d, ok := metric.Lookup(name)
	if !ok || rule(name).Gate != Judged && d.Tier != metric.Measured {
		return nil
	}
	return &Trend{Arch: arch, Variant: variant, Scenario: scenario, Metric: name, Labels: labels, Unit: d.Unit, Better: d.Better, Exact: d.Exact, Steps: []Step{}}
}

// conditions tells what a figure depends on and is no matter of the kernel. The
// number of programs stands for what a plan can change about a scenario; a time
// depends on the host as well.
func conditions(run results.Summary, arch, variant string, t *Trend) string {
	programs, ok := run.Figures[arch][variant][results.Figure(t.Scenario, "programs", "")]
	if !ok {
		programs = run.Figures[arch][variant][results.Figure("load", "programs", "")]
	}
	c := fmt.Sprintf("%s, seed %d, %g programs", run.Machines[arch], run.Seed, programs)
	if !t.Exact {
		c += ", " + run.Host
	}
	return c
}

func sortTrends(list []Trend) {
	place := map[string]int{}
	for i, d := range metric.Catalogue() {
		place[d.Name] = i
	}
	slices.SortFunc(list, func(a, b Trend) int {
		for _, c := range []int{
			strings.Compare(b.Arch, a.Arch), // x86_64 first
			place[a.Metric] - place[b.Metric],
			strings.Compare(a.Scenario, b.Scenario),
			strings.Compare(a.Labels, b.Labels),
			strings.Compare(a.Variant, b.Variant),
		} {
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

// steps finds a trend's change points.
func steps(t *Trend) []Step {
	var values []float64
	for _, p := range t.Points {
		values = append(values, p.Value)
	}
	r := rule(t.Metric)
	var at []split
	if t.Exact {
		at = exactSteps(values, max(r.SlackShare, spread), r.Slack)
	} else {
		at = changePoints(values, r.Tolerance)
	}
	list := []Step{}
	for i, s := range at {
		from, to := 0, len(values)
		if i > 0 {
			from = at[i-1].at
		}
		if i+1 < len(at) {
			to = at[i+1].at
		}
		before, _ := Median(values[from:s.at])
		after, _ := Median(values[s.at:to])
		way := metric.Higher
		if after < before {
			way = metric.Lower
		}
		list = append(list, Step{At: s.at, Run: t.Points[s.at].Run, Before: before, After: after, Outcome: direction(t.Better, way), P: s.p})
	}
	return list
}

// Runs lists the runs that appear in trends, oldest first.
func Runs(trends []Trend) []string {
	seen := map[string]bool{}
	for _, t := range trends {
		for _, p := range t.Points {
			seen[p.Run] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
