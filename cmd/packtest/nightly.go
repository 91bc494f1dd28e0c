// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"packtest/compare"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/plan"
	"packtest/report"
	"packtest/results"
)

// nightlyCmd is `packtest nightly`.
type nightlyCmd struct {
	runFlags
	Against  string `help:"Compare with this run instead of the last good one; if that shows nothing wrong, this run is the next one's last good." placeholder:"ID"`
	Keep     count  `help:"Keep the folders of the newest N runs; their lines in the history stay." placeholder:"N"`
	KeepDays count  `help:"Keep the folders of the last N days' runs. With --keep, what either keeps stays." placeholder:"N"`
	Progress string `help:"Progress on standard error: auto, plain lines, or json for one object a line." default:"auto" enum:"auto,plain,json"`
}

// nightlyPage is the folder of the page, in the results folder.
const nightlyPage = "nightly"

// Help is shown by --help.
func (nightlyCmd) Help() string {
	return `What a cron job or CI runs: a run as packtest run makes it, a comparison of its
candidate with that of the last good run made in the same way, and a page with
every figure over time, results/nightly/index.html. The text goes to standard
output. Without --keep and --keep-days every run is kept.

Examples:
  packtest nightly --keep 60
  packtest nightly --plan nightly.toml --progress plain
  packtest nightly --against 20260102-030405     accept what has changed since then

Exit code: as packtest run; 1 also if the candidate is worse than the last good
run's. 3 if another nightly run is going on in the same folder.`
}

// Run makes the run, compares it, and writes the page.
func (c *nightlyCmd) Run(w *world) error {
	p, text, err := c.asPlan()
	if err != nil {
		return err
	}
	store := results.NewStore(w.resultsDir)
	release, err := store.HoldNightly()
	if err != nil {
		return err
	}
	defer release()
	var named *results.Record
	if c.Against != "" { // a run is too long to learn of a mistake at its end
		if named, err = store.Load(c.Against); err != nil {
			return err
		}
		if _, err := compare.Sides(sideOf(named), sideOf(foretold(p, named))); err != nil {
			return err
		}
	}
	l, err := w.newLab()
	if err != nil {
		return err
	}
	progress := newListener(c.Progress, w.stderr)
	rec, runErr := w.carryOut(l, p, text, progress)
	if rec == nil {
		progress.failed("", nil, runErr)
		return runErr
	}
	dir := store.Dir(rec.ID)
	if runErr != nil {
		w.sayWhatThereIs(dir, rec, runErr)
	}
	return c.end(w, progress, rec, dir, runErr, c.after(w, store, rec, named))
}

// end says how a run and what followed it ended. What was proved wrong is the
// answer, whatever failed after it.
func (c *nightlyCmd) end(w *world, progress listener, rec *results.Record, dir string, runErr, afterErr error) error {
	wrong := fault.Kernel.ExitCode()
	code := compare.ExitCode(rec.Verdict)
	if code == 0 && rec.Against != nil && compare.ExitCode(rec.Against.Verdict) == wrong {
		code = wrong
	}
	if err := errors.Join(runErr, afterErr); err != nil {
		if code != wrong || runErr != nil && rec.Verdict != results.KernelFailed {
			progress.failed(dir, rec, err)
			return err
		}
		complain(w.stderr, err)
	}
	progress.ended(dir, rec, code)
	if code != 0 {
		return exitCode(code)
	}
	return nil
}

// foretold is as much of a run's record as its plan tells, to see beforehand
// whether it will compare with another; what only the run shows is taken from
// that one.
func foretold(p *plan.Plan, other *results.Record) *results.Record {
	rec := &results.Record{ID: "this run", Seed: p.Seed, Candidate: p.Candidate}
	rec.Provenance.Accelerator = other.Provenance.Accelerator
	for _, arch := range p.Arches {
		rec.Cells = append(rec.Cells, results.Cell{Arch: arch, Variant: p.Candidate, Config: p.Config})
		for _, s := range p.Scenarios {
			rec.Planned = append(rec.Planned, results.Planned{Arch: arch, Variant: p.Candidate, Scenario: s.Name})
		}
	}
	return rec
}

// after is what follows a run, however it ended: the comparison, the page, the
// text, and the removal of what is old. A comparison that fails stops no page,
// but nothing is removed then.
func (c *nightlyCmd) after(w *world, store *results.Store, rec, named *results.Record) error {
	spare, failed := c.compare(store, rec, named)
	var removed []results.Summary
	if failed == nil {
		keep := results.Keep{Runs: int(c.Keep), Spare: append(spare, rec.ID)}
		if c.KeepDays > 0 {
			keep.Since = w.now().Add(-time.Duration(c.KeepDays) * 24 * time.Hour)
		}
		removed, failed = store.Retain(keep)
	}
	list, notes, err := store.History()
	if err != nil {
		return errors.Join(failed, err)
	}
	for _, n := range notes {
		fmt.Fprintf(w.stderr, "packtest: %s\n", n)
	}
	n := report.NewNightly(list, rec.ID)
	page, err := writeNightly(w.resultsDir, n)
	if err != nil {
		return errors.Join(failed, err)
	}
	if err := n.Text(w.stdout); err != nil {
		return errors.Join(failed, err)
	}
	for _, s := range removed {
		fmt.Fprintf(w.stdout, "Removed %s of %s (%s); its line in the history stays.\n", s.Folder, s.Started.Format("2006-01-02"), s.Verdict)
	}
	fmt.Fprintf(w.stdout, "Page: %s\n", page)
	return failed
}

// compare holds the run's candidate against that of the run that was named, or
// of the last good run, and keeps what comes of it in the record. It returns the
// runs that later ones may be held against.
func (c *nightlyCmd) compare(store *results.Store, rec, named *results.Record) (spare []string, err error) {
	list, _, err := store.History()
	if err != nil {
		return nil, err
	}
	good := lastGood(store, list, rec)
	spare = []string{good.id}
	if named != nil {
		spare = append(spare, named.ID)
	}
	if cutShort(rec) {
		return spare, nil // half a run compares with nothing
	}
	if named != nil {
		good = reference{id: named.ID}
		if good.both, err = compare.Sides(sideOf(named), sideOf(rec)); err != nil {
			return spare, err
		}
	}
	if good.id == "" {
		return spare, nil
	}
	return spare, good.into(store, rec)
}

// into keeps in rec what comes of holding it against the reference.
func (g reference) into(store *results.Store, rec *results.Record) error {
	if g.both == nil { // said on the page and in the mail, and no one's fault
		rec.Against = &results.Against{ID: g.id, Verdict: results.Inconclusive, Why: g.why + ", so what changed since is not known"}
	} else {
		verdict, why := compare.Judge(g.both)
		// In a comparison of its own, one variant of two runs has two names.
		why = strings.NewReplacer(rec.Candidate+"@A", rec.Candidate+" of "+g.id, rec.Candidate+"@B", rec.Candidate+" of this run").Replace(why)
		if len(g.lacks) > 0 {
			why += "; not compared, since that run has none: " + strings.Join(g.lacks, ", ")
		}
		rec.Against = &results.Against{ID: g.id, Verdict: verdict, Why: why}
	}
	if err := store.Save(rec); err != nil {
		return err
	}
	if g.both != nil {
		var b bytes.Buffer
		if err := report.Write(&b, "html", g.both); err != nil {
			return err
		}
		if err := cache.WriteFile(filepath.Join(store.Dir(rec.ID), "against.html"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return store.Publish(rec.ID)
}

// writeNightly writes the page and the text into the results folder.
func writeNightly(dir string, n report.Nightly) (page string, err error) {
	folder := filepath.Join(dir, nightlyPage)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("write the nightly page: %w", err)
	}
	n.Folder = "../"
	var html, text bytes.Buffer
	if err := n.HTML(&html); err != nil {
		return "", err
	}
	if err := n.Text(&text); err != nil {
		return "", err
	}
	page = filepath.Join(folder, "index.html")
	if err := cache.WriteFile(page, html.Bytes(), 0o644); err != nil {
		return "", err
	}
	return page, cache.WriteFile(filepath.Join(folder, "index.txt"), text.Bytes(), 0o644)
}
