// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"packtest/plan"
	"packtest/results"
)

// looksName is the file in a search's folder that has the outcome of every boot, a
// line for each. The record adds up what boots gave; a search that goes on has to
// judge them one by one.
const looksName = "looks.jsonl"

// oneBoot names a boot of a search.
type oneBoot struct {
	arch, variant string
	number        int
}

func bootOf(b results.Boot) oneBoot { return oneBoot{b.Arch, b.Variant, b.Number} }

// keepSearch writes into the record what it takes to go on with the search.
func (b *bisector) keepSearch() error {
	if err := b.keepPlan(); err != nil {
		return err
	}
	return b.update(func(rec *results.Record) {
		if rec.Resume != nil {
			rec.Resume.Search = &results.Search{Finding: b.req.Finding, Metric: b.req.Metric, Confidence: b.req.Confidence, Tries: b.req.Tries, Looks: b.req.Looks}
		}
	})
}

// resumedSearch is the bisector of a search that goes on with r.
func resumedSearch(ctx context.Context, r *run, p *plan.Plan, s results.Search) (*bisector, error) {
	b := newBisector(r, BisectRequest{Request: Request{Plan: p}, Finding: s.Finding, Metric: s.Metric, Confidence: s.Confidence, Tries: s.Tries, Looks: s.Looks})
	return b, b.findCommits(ctx)
}

// goOn carries out the search from its beginning, with the outcomes of the boots
// that were made before in the place of boots.
func (b *bisector) goOn(ctx context.Context) error {
	if err := b.loadLooks(); err != nil {
		return err
	}
	if err := b.update(func(rec *results.Record) {
		rec.Boots, rec.Samples, rec.Unmeasured, rec.Layouts, rec.Bisection = nil, nil, nil, nil, nil
		// What was found by a boot that is made again was found all the same.
		rec.Findings = slices.DeleteFunc(rec.Findings, func(f results.Finding) bool {
			return b.before[oneBoot{f.Arch, f.Variant, f.Boot}] != nil
		})
	}); err != nil {
		return err
	}
	return b.carryOut(ctx)
}

func (b *bisector) loadLooks() error {
	text, err := os.ReadFile(filepath.Join(b.dir, looksName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the looks of the search: %w", err)
	}
	b.before = map[oneBoot]*outcome{}
	for line := range bytes.Lines(text) {
		var o outcome
		if json.Unmarshal(line, &o) == nil { // or the last line of a search that was killed
			b.before[bootOf(o.Boot)] = &o
		}
	}
	return nil
}

// keepLook keeps the outcome of a boot that is not to be made again.
func (b *bisector) keepLook(o *outcome) error {
	if o.harness != nil {
		return nil
	}
	line, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("keep a look: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(b.dir, looksName), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("keep a look: %w", err)
	}
	// After the line of a search that was killed while it wrote, one begins anew.
	_, err = f.Write(append(append([]byte("\n"), line...), '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep a look: %w", err)
	}
	return nil
}

// recall puts the outcomes of boots that were made before into the record, and
// returns them and the boots that are left.
func (b *bisector) recall(boots []*boot) (out map[*cell][]*outcome, left []*boot, err error) {
	out = map[*cell][]*outcome{}
	now := b.sitting
	defer func() { b.sitting = now }()
	for _, bt := range boots {
		o := b.before[oneBoot{bt.arch, bt.variant, bt.number}]
		if o == nil {
			left = append(left, bt)
			continue
		}
		b.sitting = o.Boot.Sitting
		if err := b.recordBoot(bt, o); err != nil {
			return nil, nil, err
		}
		out[bt.cell] = append(out[bt.cell], o)
	}
	return out, left, nil
}
