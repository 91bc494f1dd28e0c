// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"packtest/compare"
	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/report"
	"packtest/results"
)

// nightlyCmd is `packtest nightly`.
type nightlyCmd struct {
	runFlags
	Against  string `help:"Compare with this run instead of the last good one; if that shows nothing wrong, this run is the next one's last good." placeholder:"ID"`
	Keep     int    `help:"Keep the folders of the newest N runs; their lines in the history stay." placeholder:"N"`
	KeepDays int    `help:"Keep the folders of the last N days' runs. With --keep, what either keeps stays." placeholder:"N"`
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
	store := results.NewStore(w.resultsDir)
	release, err := store.HoldNightly()
	if err != nil {
		return err
	}
	defer release()
	if c.Keep < 0 || c.KeepDays < 0 {
		return fault.Inputf("--keep and --keep-days must be 1 or more")
	}
	if c.Against != "" { // a run is too long to learn of a typing error at its end
		if _, err := store.Load(c.Against); err != nil {
			return err
		}
	}
	p, text, err := c.asPlan()
	if err != nil {
		return err
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
		fmt.Fprintf(w.stderr, "packtest: what there is so far is in %s\n", dir)
		if how := w.howToResume(rec); how != "" {
			fmt.Fprintf(w.stderr, "packtest: this goes on with it: %s\n", how)
		}
	}
	if err := c.after(w, store, rec); err != nil {
		progress.failed(dir, rec, errors.Join(runErr, err))
		return errors.Join(runErr, err)
	}
	if runErr != nil && rec.Verdict != results.KernelFailed {
		progress.failed(dir, rec, runErr)
		return runErr
	}
	code := compare.ExitCode(rec.Verdict)
	if code == 0 && rec.Against != nil && compare.ExitCode(rec.Against.Verdict) == fault.Kernel.ExitCode() {
		code = fault.Kernel.ExitCode()
	}
	progress.ended(dir, rec, code)
	if code != 0 {
		return exitCode(code)
	}
	return nil
}

// after is what follows a run, however it ended: the comparison, the page, the
// text, and the removal of what is old.
func (c *nightlyCmd) after(w *world, store *results.Store, rec *results.Record) error {
	good, err := c.compare(w, store, rec)
	if err != nil {
		return err
	}
	keep := results.Keep{Runs: c.Keep, Spare: []string{rec.ID, good}}
	if c.KeepDays > 0 {
		keep.Since = w.now().Add(-time.Duration(c.KeepDays) * 24 * time.Hour)
	}
	removed, err := store.Retain(keep)
	if err != nil {
		return err
	}
	list, notes, err := store.History()
	if err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintf(w.stderr, "packtest: %s\n", n)
	}
	n := report.NewNightly(list)
	page, err := writeNightly(w.resultsDir, n)
	if err != nil {
		return err
	}
	if err := n.Text(w.stdout); err != nil {
		return err
	}
	for _, s := range removed {
		fmt.Fprintf(w.stdout, "Removed %s of %s (%s); its line in the history stays.\n", s.Folder, s.Started.Format("2006-01-02"), s.Verdict)
	}
	fmt.Fprintf(w.stdout, "Page: %s\n", page)
	return nil
}

// compare holds the run's candidate against the last good run's, and keeps what
// comes of it in the record. It returns the ID of that run, or "".
func (c *nightlyCmd) compare(w *world, store *results.Store, rec *results.Record) (string, error) {
	if rec.Verdict == results.Interrupted || rec.Verdict == results.HarnessFailed {
		return c.Against, nil // half a run compares with nothing
	}
	var both *results.Record
	var id string
	if c.Against != "" {
		good, err := store.Load(c.Against)
		if err != nil {
			return "", err
		}
		id = good.ID
		if both, err = compare.Sides(sideOf(good), sideOf(rec)); err != nil {
			return id, err
		}
	} else {
		list, _, err := store.History()
		if err != nil {
			return "", err
		}
		if id, both = lastGood(store, list, rec); both == nil {
			return "", nil
		}
	}
	verdict, why := compare.Judge(both)
	// In a comparison of its own, one variant of two runs has two names.
	why = strings.NewReplacer(rec.Candidate+"@A", rec.Candidate+" of "+id, rec.Candidate+"@B", rec.Candidate+" of this run").Replace(why)
	rec.Against = &results.Against{ID: id, Verdict: verdict, Why: why}
	if err := store.Save(rec); err != nil {
		return id, err
	}
	var b bytes.Buffer
	if err := report.Write(&b, "html", both); err != nil {
		return id, err
	}
	if err := cache.WriteFile(filepath.Join(store.Dir(rec.ID), "against.html"), b.Bytes(), 0o644); err != nil {
		return id, err
	}
	return id, store.Publish(rec.ID)
}

func sideOf(rec *results.Record) compare.Side {
	return compare.Side{Rec: rec, Variant: rec.Candidate}
}

// lastGood finds the newest run in which nothing was wrong, in itself or against
// the one before, and that can be compared with rec by compare's own rules.
func lastGood(store *results.Store, list []results.Summary, rec *results.Record) (string, *results.Record) {
	for _, s := range slices.Backward(list) {
		if s.Folder == rec.ID || s.Removed || !compare.Good(s) || s.Candidate != rec.Candidate || s.Seed != rec.Seed || !s.Started.Before(rec.Started) {
			continue
		}
		good, err := store.Load(s.Folder)
		if err != nil {
			continue
		}
		if both, err := compare.Sides(sideOf(good), sideOf(rec)); err == nil {
			return s.Folder, both
		}
	}
	return "", nil
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
