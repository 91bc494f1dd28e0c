// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"fmt"
	"slices"
	"strings"

	"packtest/compare"
	"packtest/internal/fault"
	"packtest/lab"
	"packtest/results"
)

// resumeCmd is `packtest resume`.
type resumeCmd struct {
	ID       string `arg:"" optional:"" help:"A run's ID; without one, the newest that has not ended."`
	Format   string `help:"Format of the report on standard output: ${formats}." default:"text" placeholder:"FORMAT"`
	Progress string `help:"Progress on standard error: auto, plain lines, or json for one object a line." default:"auto" enum:"auto,plain,json"`
}

// Help is shown by --help.
func (resumeCmd) Help() string {
	return `Goes on with a run that was interrupted, killed, or failed for no fault of a
kernel's: what was built and booted is not made again, and the record says what
was made when. A run that has ended is shown as it is.

Examples:
  packtest resume
  packtest resume 20260102-030405

A search for a patch goes on with the looks that were made. A check is begun
anew, with the same command. A run whose plan, packtest, kernels, QEMU or host
have changed is refused.

Exit code: as packtest run; 2 if the run can't be resumed.`
}

// Run resumes the run and prints its report.
func (c *resumeCmd) Run(w *world) error {
	if err := checkFormat(c.Format); err != nil {
		return err
	}
	store := results.NewStore(w.resultsDir)
	id := c.ID
	if id == "" {
		var err error
		if id, err = w.newestUnended(store); err != nil {
			return err
		}
	}
	before, err := store.Load(id)
	if err != nil {
		return err
	}
	if in, err := store.Load(before.ID); err != nil || in.ID != before.ID {
		return fault.WithHint(fault.Inputf("the run %s is not in %s", before.ID, w.resultsDir), "--results names the folder of the runs")
	}
	if how := begunAnew(before); how != "" && before.Verdict == results.Interrupted {
		return fault.WithHint(fault.Inputf("%s can't be resumed: it is begun anew, with what it built in the cache", before.ID), "%s", how)
	}
	if left, _ := lab.Unfinished(before); left == 0 && before.Verdict != results.Interrupted && !before.Finished.IsZero() {
		fmt.Fprintf(w.stderr, "packtest: the run %s has ended; there is nothing to go on with\n", before.ID)
		return w.show(before, c.Format)
	}
	return w.reported(c.Format, c.Progress, func() (work, error) {
		return func(l *lab.Lab) (*results.Record, error) { return l.Resume(w.ctx, before.ID, w.command()) }, nil
	})
}

// show prints a record's report and returns its exit code.
func (w *world) show(rec *results.Record, format string) error {
	if err := render(w.stdout, format, rec, colourful(w.stdout)); err != nil {
		return err
	}
	if code := compare.ExitCode(rec.Verdict); code != 0 {
		return exitCode(code)
	}
	return nil
}

// newestUnended returns the ID of the newest run that was cut short and can go
// on. It says which newer ones can't, and passes over those still at work.
func (w *world) newestUnended(store *results.Store) (string, error) {
	list, _, err := store.History()
	if err != nil {
		return "", err
	}
	for _, s := range slices.Backward(list) {
		if s.Removed || s.Unreadable != "" || s.Verdict != results.Interrupted {
			continue
		}
		release, err := store.Hold(s.Folder)
		if err != nil {
			fmt.Fprintf(w.stderr, "packtest: %s is left out: %v\n", s.Folder, err)
			continue
		}
		release()
		rec, err := store.Load(s.Folder)
		switch {
		case err != nil:
			return "", err
		case rec.Resume != nil:
			return s.Folder, nil
		}
		if how := begunAnew(rec); how != "" {
			fmt.Fprintf(w.stderr, "packtest: %s is left out; this begins it anew: %s\n", s.Folder, how)
		} else {
			fmt.Fprintf(w.stderr, "packtest: %s is left out: its record does not hold its plan\n", s.Folder)
		}
	}
	return "", fault.WithHint(fault.Inputf("no run was interrupted that can be resumed"), "packtest history lists the runs; packtest resume ID goes on with one of them")
}

// begunAnew returns the command of what can't be resumed, since its record does
// not hold its plan, such as a check's; "" for others.
func begunAnew(rec *results.Record) string {
	if rec.Resume != nil {
		return ""
	}
	return shellWords(rec.Command)
}

// howToResume returns the command that goes on with a run; "" if nothing does.
func (w *world) howToResume(rec *results.Record) string {
	if left, _ := lab.Unfinished(rec); left == 0 {
		return ""
	}
	words := []string{"packtest", "resume", rec.ID}
	if w.resultsDir != "results" {
		words = append(words, "--results", w.resultsDir)
	}
	if w.cacheDir != "" {
		words = append(words, "--cache", w.cacheDir)
	}
	return shellWords(words)
}

// sayWhatThereIs tells where what there is of something is that err cut short, and how
// to go on with it.
func (w *world) sayWhatThereIs(dir string, rec *results.Record, err error) {
	fmt.Fprintf(w.stderr, "packtest: what there is so far is in %s\n", dir)
	w.sayHowToGoOn(rec, err)
}

// sayHowToGoOn tells what is left of something that err cut short, and the command
// that does it.
func (w *world) sayHowToGoOn(rec *results.Record, err error) {
	if left := compare.Unbegun(rec); left != "" {
		fmt.Fprintf(w.stderr, "packtest: %s\n", left)
	}
	if how := w.howToResume(rec); how != "" {
		fmt.Fprintf(w.stderr, "packtest: this goes on with it: %s\n", how)
	} else if how := begunAnew(rec); how != "" && fault.Of(err) != fault.Input {
		fmt.Fprintf(w.stderr, "packtest: this begins it anew, with what it built in the cache: %s\n", how)
	}
}

// shellWords writes a command as a shell takes it.
func shellWords(words []string) string {
	var list []string
	for _, s := range words {
		list = append(list, shellWord(s))
	}
	return strings.Join(list, " ")
}

// shellWord quotes a word for a shell where it needs that.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
