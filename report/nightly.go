// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"packtest/compare"
	"packtest/metric"
	"packtest/results"
)

// Nightly is what there is to say of many runs: the newest, how it compares with
// the last good one, what changed when, and the figures over time. Checks and
// searches are left out.
type Nightly struct {
	// Newest is the run that the report is about; nil if there is none.
	Newest *results.Summary
	// Runs are all of them, the newest first.
	Runs []results.Summary
	// Trends are in the order of reports.
	Trends []compare.Trend
	// Folder is where the runs' folders are, as seen from the page, with a slash
	// at its end; empty writes no links.
	Folder string

	axis []string // the runs on the plots' common axis, oldest first
}

// NewNightly makes a report of runs, which are oldest first. Newest names the
// run that it is about; if there is none of that name, it is the last that can
// be read.
func NewNightly(runs []results.Summary, newest string) Nightly {
	runs = slices.DeleteFunc(slices.Clone(runs), func(r results.Summary) bool { return !r.IsRun() })
	n := Nightly{Runs: runs, Trends: compare.Trends(runs)}
	n.axis = compare.Runs(n.Trends)
	slices.Reverse(n.Runs)
	for i := range n.Runs {
		if r := &n.Runs[i]; r.Unreadable == "" && (n.Newest == nil || r.Folder == newest) {
			n.Newest = r
		}
	}
	return n
}

// Change is a change point of one figure.
type Change struct {
	Run, Says string
	Tone      Tone
}

// Changes lists the change points, the newest first.
func (n Nightly) Changes() []Change {
	var list []Change
	for _, t := range n.Trends {
		for _, s := range t.Steps {
			how := fmt.Sprintf("%s, %s on %s: %s to %s%s, %s", trend{t}.name(), t.Variant, t.Arch,
				Quantity(t.Unit, s.Before), Quantity(t.Unit, s.After), percent(s.Before, s.After), s.Outcome)
			if s.P > 0 {
				how += fmt.Sprintf(" (p=%.3f)", s.P)
			}
			tone, but := n.blame(t, s)
			list = append(list, Change{Run: s.Run, Says: how + but, Tone: tone})
		}
	}
	slices.SortStableFunc(list, func(a, b Change) int { return strings.Compare(b.Run, a.Run) })
	return list
}

// bootTime is the metric that tells whether the machine was quiet.
const bootTime = "boot_time"

// blame says how a step is to be taken, and what speaks for the machine.
func (n Nightly) blame(t compare.Trend, s compare.Step) (Tone, string) {
	switch {
	case t.Metric == bootTime:
		return Muted, "; tells of the machine"
	case n.machineToo(t, s):
		return Muted, "; so did booting, so it may be the machine"
	}
	return stepTone(s), ""
}

// machineToo tells whether a time changed when booting the same kernel did, in
// the same direction.
func (n Nightly) machineToo(t compare.Trend, s compare.Step) bool {
	if d, _ := metric.Lookup(t.Metric); d.Tier != metric.Measured {
		return false
	}
	return slices.ContainsFunc(n.Trends, func(o compare.Trend) bool {
		return o.Metric == bootTime && o.Arch == t.Arch && o.Variant == t.Variant && slices.ContainsFunc(o.Steps, func(b compare.Step) bool {
			return b.Run == s.Run && (b.After > b.Before) == (s.After > s.Before)
		})
	})
}

func percent(before, after float64) string {
	if before == 0 {
		return ""
	}
	return fmt.Sprintf(" (%+.1f %%)", (after/before-1)*100)
}

func stepTone(s compare.Step) Tone {
	switch s.Outcome {
	case compare.Better:
		return Good
	case compare.Worse:
		return Bad
	}
	return Muted
}

// plotted is the trends that share a picture: one figure on one architecture.
type plotted struct {
	Arch, Name string
	Trends     []trend
}

type trend struct{ compare.Trend }

// name is the metric with what tells it from the same one elsewhere.
func (t trend) name() string {
	switch {
	case t.Labels != "":
		return fmt.Sprintf("%s (%s)", t.Metric, strings.ReplaceAll(t.Labels, "=", " "))
	}
	return t.Metric
}

// Last says what the figure's newest value is.
func (t trend) Last() string {
	return Quantity(t.Unit, t.Points[len(t.Points)-1].Value)
}

// pictures groups the trends.
func (n Nightly) pictures() []plotted {
	var list []plotted
	for _, t := range n.Trends {
		own := trend{t}
		if last := len(list) - 1; last < 0 || list[last].Arch != t.Arch || list[last].Name != own.name() {
			list = append(list, plotted{Arch: t.Arch, Name: own.name()})
		}
		list[len(list)-1].Trends = append(list[len(list)-1].Trends, own)
	}
	return list
}

// Archs are the architectures that have pictures, in order.
func (n Nightly) Archs() []string {
	return unique(func(add func(string)) {
		for _, t := range n.Trends {
			add(t.Arch)
		}
	})
}

// Pictures are those of one architecture.
func (n Nightly) Pictures(arch string) []plotted {
	return slices.DeleteFunc(n.pictures(), func(p plotted) bool { return p.Arch != arch })
}

// Good counts the runs in which nothing was wrong.
func (n Nightly) Good() int {
	good := 0
	for _, r := range n.Runs {
		if compare.Good(r) {
			good++
		}
	}
	return good
}

// LeftOut says of which trends runs are left out, since they were made under
// other conditions; "" if of none.
func (n Nightly) LeftOut() string {
	most := 0
	for _, t := range n.Trends {
		most = max(most, t.Left)
	}
	if most == 0 {
		return ""
	}
	return fmt.Sprintf("Left out of a trend: up to %s. Their QEMU, accelerator, configuration, VM, seed, number of programs or, for times, host are not those of the newest run.", countOf(most, "run"))
}

// Shown are the runs that the page lists.
func (n Nightly) Shown() []results.Summary { return n.Runs[:min(len(n.Runs), 60)] }

//go:embed nightly.tmpl
var nightlyTemplate string

//go:embed nightly.css
var nightlyStyle string

// HTML writes the page: it needs nothing else, no script and no network.
func (n Nightly) HTML(w io.Writer) error {
	t, err := template.New("nightly").Funcs(template.FuncMap{
		"style":    func() template.CSS { return template.CSS(pageStyle + nightlyStyle) },
		"tone":     func(v results.Verdict) Tone { return verdictTone(v) },
		"sentence": sentence, "plain": printable, "day": day,
		"countOf": countOf, "variants": func() []string { return n.variants() },
		"draw": func(p plotted) template.HTML { return template.HTML(n.draw(p)) },
		"line": func(variant string) int { return n.line(variant) },
	}).Parse(nightlyTemplate)
	if err != nil {
		return fmt.Errorf("read the nightly page's template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, n); err != nil {
		return fmt.Errorf("write the nightly page: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the nightly page: %w", err)
	}
	return nil
}

// Text writes what a mail from a cron job should say, 72 columns wide.
func (n Nightly) Text(w io.Writer) error {
	var b strings.Builder
	put := func(text string, hang int) {
		fmt.Fprintln(&b, strings.Join(wrap(printable(text), columns, 0, hang), "\n"))
	}
	if n.Newest == nil {
		put("packtest nightly: no runs", 0)
	} else {
		put(fmt.Sprintf("packtest nightly %s: %s", n.Newest.ID, strings.ToUpper(string(n.Newest.Verdict))), 0)
		put(sentence(n.Newest.Why), 0)
		put(n.Against(), 0)
		put(fmt.Sprintf("%s since %s, %d of them good.", countOf(len(n.Runs), "run"), day(n.Runs[len(n.Runs)-1].Started), n.Good()), 0)
		if left := n.LeftOut(); left != "" {
			put(left, 0)
		}
		changes := n.Changes()
		if len(changes) == 0 {
			put("Nothing has changed over these runs.", 0)
		} else {
			fmt.Fprintln(&b, "\nChanges, newest first")
		}
		for i, c := range changes {
			if i == 20 {
				put(fmt.Sprintf("  and %d more", len(changes)-i), 2)
				break
			}
			fmt.Fprintln(&b, strings.Join(wrap(printable("- "+c.Run+": "+c.Says), columns, 2, 4), "\n"))
		}
	}
	if _, err := io.WriteString(w, printableLines(b.String())+"\n"); err != nil {
		return fmt.Errorf("write the nightly report: %w", err)
	}
	return nil
}

// Against says how the newest run compares with the last good one.
func (n Nightly) Against() string {
	s := n.Newest
	switch {
	case s.Against != nil:
		return fmt.Sprintf("Against %s, the last good one: %s. %s", s.Against.ID, s.Against.Verdict, sentence(s.Against.Why))
	case s.Verdict == results.Interrupted || s.Verdict == results.HarnessFailed:
		return "It was not compared with an earlier run: it may be half of what was asked for."
	case slices.ContainsFunc(n.Runs, func(r results.Summary) bool {
		return r.Started.Before(s.Started) && r.Candidate == s.Candidate && compare.Good(r)
	}):
		return "It was not compared with an earlier run."
	}
	return "There was no earlier good run to compare it with."
}

// variants lists the variants, the newest run's baseline and candidate first.
func (n Nightly) variants() []string {
	return unique(func(add func(string)) {
		if n.Newest != nil {
			add(n.Newest.Baseline)
			add(n.Newest.Candidate)
		}
		for _, t := range n.Trends {
			add(t.Variant)
		}
	})
}

// line is the number of the colour of a variant's line.
func (n Nightly) line(variant string) int {
	return max(0, slices.Index(n.variants(), variant)) % lineColours
}

// TrendTable writes the trends as a table for a terminal.
func (n Nightly) TrendTable(w io.Writer) error {
	rows := [][]string{{"ARCH", "VARIANT", "FIGURE", "RUNS", "FIRST", "LAST", "CHANGED"}}
	for _, t := range n.Trends {
		own := trend{t}
		changed := ""
		for _, s := range t.Steps {
			changed += fmt.Sprintf(" %s%s %s;", s.Run, percent(s.Before, s.After), s.Outcome)
		}
		rows = append(rows, []string{t.Arch, t.Variant, own.name(), fmt.Sprint(len(t.Points)), Quantity(t.Unit, t.Points[0].Value), own.Last(), strings.Trim(changed, " ;")})
	}
	return writeColumns(w, rows)
}

func writeColumns(w io.Writer, rows [][]string) error {
	var widths []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(c))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		line := ""
		for i, c := range r {
			line += c + strings.Repeat(" ", widths[i]-width(c)+2)
		}
		fmt.Fprintln(&b, strings.TrimRight(line, " "))
	}
	if _, err := io.WriteString(w, printableLines(b.String())+"\n"); err != nil {
		return fmt.Errorf("write the trends: %w", err)
	}
	return nil
}

// better says which way a figure improves, for the page.
func (p plotted) Better() string {
	switch p.Trends[0].Better {
	case metric.Lower:
		return "lower is better"
	case metric.Higher:
		return "higher is better"
	}
	return ""
}
