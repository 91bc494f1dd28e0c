// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/plan"
	"packtest/report"
	"packtest/results"
)

// historyCmd is `packtest history`.
type historyCmd struct {
	Search  []string `arg:"" optional:"" help:"Only runs in whose ID, kind, verdict, reason, base, series, variants or host every one of these words is found."`
	Kind    []string `help:"Only these kinds: run, check, bisect." placeholder:"KIND" sep:","`
	Verdict []string `help:"Only runs with these verdicts." placeholder:"VERDICT" sep:","`
	Since   string   `help:"Only runs begun since: 2026-01-02, or 168h ago." placeholder:"WHEN"`
	Last    count    `help:"Only the last N of them." placeholder:"N"`
	Trends  bool     `help:"Show every figure over these runs, and where it changed, instead of the runs."`
	Metric  []string `help:"Only trends of these metrics." placeholder:"NAME" sep:","`
	Variant []string `help:"Only trends of these variants." placeholder:"NAME" sep:","`
	Arch    []string `help:"Only trends on these architectures: x86_64, s390x." placeholder:"ARCH" sep:","`
	Format  string   `help:"text, json for the runs and their trends, or html for the page of packtest nightly." default:"text" enum:"text,json,html"`
}

// Help is shown by --help.
func (historyCmd) Help() string {
	return `Example:
  packtest history
  packtest history --verdict regressed,kernel-failed --since 720h
  packtest history upstream 6.1.192              runs with both words
  packtest history --kind check v6               checks of a series
  packtest history --trends --metric jit_pages
  packtest history --format html > nightly.html  the page, to be kept or sent

The list comes from an index in the results folder, which is made anew from the
records where it does not fit them.`
}

// Run lists the runs, oldest first, or what follows from them.
func (c *historyCmd) Run(w *world) error {
	list, notes, err := results.NewStore(w.resultsDir).History()
	if err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintf(w.stderr, "packtest: %s\n", n)
	}
	if len(list) == 0 {
		fmt.Fprintf(w.stderr, "packtest: no runs in %s\n", w.resultsDir)
	}
	if list, err = c.choose(list, w.now()); err != nil {
		return err
	}
	if c.Format == "text" && !c.Trends && len(c.Metric)+len(c.Variant)+len(c.Arch) > 0 {
		return fault.WithHint(fault.Inputf("--metric, --variant and --arch choose among trends, and none are shown"), "--trends shows them")
	}
	if c.Format == "text" && !c.Trends {
		if len(list) == 0 {
			return nil
		}
		return c.table(w, list)
	}
	n := report.NewNightly(list, "")
	n.Trends = slices.DeleteFunc(n.Trends, func(t compare.Trend) bool {
		return !oneOf(c.Metric, t.Metric) || !oneOf(c.Variant, t.Variant) || !oneOf(c.Arch, t.Arch)
	})
	switch {
	case c.Format == "html":
		return n.HTML(w.stdout)
	case c.Format == "json":
		b, err := json.MarshalIndent(struct {
			Runs   []results.Summary `json:"runs"`
			Trends []compare.Trend   `json:"trends"`
		}{append([]results.Summary{}, list...), append([]compare.Trend{}, n.Trends...)}, "", " ")
		if err != nil {
			return fmt.Errorf("write the history: %w", err)
		}
		fmt.Fprintf(w.stdout, "%s\n", b)
		return nil
	case len(n.Trends) == 0:
		fmt.Fprintln(w.stderr, "packtest: no figure of these runs has a trend")
		return nil
	}
	return n.TrendTable(w.stdout)
}

func (c *historyCmd) table(w *world, list []results.Summary) error {
	tw := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ID\tKIND\tVERDICT\tFINDINGS\tBASE\tWHY")
	for _, s := range list {
		if s.Unreadable != "" {
			fmt.Fprintf(tw, "%s\t\tunreadable\t\t\t%s\n", s.Folder, s.Unreadable)
			continue
		}
		why := s.Why
		if s.Against != nil && compare.ExitCode(s.Against.Verdict) == 1 {
			why = fmt.Sprintf("%s against %s: %s; %s", s.Against.Verdict, s.Against.ID, s.Against.Why, why)
		}
		if s.Removed {
			why = "(removed) " + why
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%s\t%s\n", s.Folder, s.Kind, s.Verdict, s.Findings, s.Base, why)
	}
	return tw.Flush()
}

// choose leaves out what was not asked for.
func (c *historyCmd) choose(list []results.Summary, now time.Time) ([]results.Summary, error) {
	var since time.Time
	if c.Since != "" {
		if ago, err := time.ParseDuration(c.Since); err == nil && ago >= 0 {
			since = now.Add(-ago)
		} else if since, err = time.Parse(time.DateOnly, c.Since); err != nil {
			return nil, fault.Inputf("--since %q is neither a day such as 2026-01-02 nor a duration such as 168h", c.Since)
		}
	}
	if err := known("verdict", c.Verdict, verdicts()); err != nil {
		return nil, err
	}
	if err := known("kind", c.Kind, kinds()); err != nil {
		return nil, err
	}
	if err := known("architecture", c.Arch, plan.Architectures()); err != nil {
		return nil, err
	}
	for _, m := range c.Metric {
		if err := plan.KnownMetric(m); err != nil {
			return nil, err
		}
	}
	list = slices.DeleteFunc(list, func(s results.Summary) bool {
		if s.Started.Before(since) || !oneOf(c.Verdict, string(s.Verdict)) || !oneOf(c.Kind, string(s.Kind)) {
			return true
		}
		text := strings.Join([]string{s.Folder, string(s.Kind), string(s.Verdict), s.Why, s.Base, s.Series, s.Baseline, s.Candidate, s.Host, s.Packtest, s.Unreadable}, "\n")
		return slices.ContainsFunc(c.Search, func(word string) bool { return !strings.Contains(strings.ToLower(text), strings.ToLower(word)) })
	})
	if c.Last > 0 && len(list) > int(c.Last) {
		list = list[len(list)-int(c.Last):]
	}
	return list, nil
}

// oneOf tells whether s is asked for; an empty list asks for everything.
func oneOf(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }

// known refuses what is not among the words that there are.
func known(what string, list, words []string) error {
	for _, s := range list {
		if !slices.Contains(words, s) {
			return fault.Inputf("unknown %s %q: use one of %s", what, s, strings.Join(words, ", "))
		}
	}
	return nil
}

// kinds are the kinds of runs.
func kinds() []string {
	var list []string
	for _, k := range results.Kinds() {
		list = append(list, string(k))
	}
	return list
}

// verdicts are the words that a run's verdict can be.
func verdicts() []string {
	var list []string
	for _, v := range []results.Verdict{results.Pass, results.Regressed, results.Improved, results.Inconclusive, results.Unchanged,
		results.KernelFailed, results.HarnessFailed, results.Interrupted} {
		list = append(list, string(v))
	}
	return list
}
