// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"packtest/compare"
	"packtest/results"
)

// thousandRuns makes a results folder of a thousand runs as large as the
// reference, whose times vary and of which every two hundredth gets worse.
func thousandRuns(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	rec, err := results.NewStore("../../results").Load("reference")
	if err != nil {
		b.Fatal(err)
	}
	whole := filepath.Join(dir, results.RecordName)
	raw, err := os.ReadFile(filepath.Join("../../results/reference", results.RecordName))
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(whole, raw, 0o644); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(whole)
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var index bytes.Buffer
	for i := range 1000 {
		s := results.Summarise(rec)
		s.Started = time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC).AddDate(0, 0, i)
		s.Folder = s.Started.Format("20060102-150405")
		s.ID, s.Stamp = s.Folder, results.Stamp{Bytes: info.Size(), Changed: info.ModTime().UnixNano()}
		for _, variants := range s.Figures {
			for _, figures := range variants {
				figures["load load_time_per_program"] *= (1 + 0.1*random.NormFloat64()) * (1 + float64(i/200)/2)
				figures["boot boot_time"] *= 1 + 0.1*random.NormFloat64()
			}
		}
		line, err := json.Marshal(s)
		if err != nil {
			b.Fatal(err)
		}
		index.Write(append(line, '\n'))
		if err := os.Mkdir(filepath.Join(dir, s.Folder), 0o755); err != nil {
			b.Fatal(err)
		}
		// One file under many names: a thousand copies would be 5 GB.
		if err := os.Link(whole, filepath.Join(dir, s.Folder, results.RecordName)); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, results.HistoryName), index.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkHistory lists, searches and trends a thousand runs. Target: a second.
// On a machine that does other things, too, the processor time says more.
func BenchmarkHistory(b *testing.B) {
	dir := thousandRuns(b)
	for name, args := range map[string][]string{
		"list": nil, "search": {"improved", "6.1"}, "trends": {"--trends"}, "page": {"--format", "html"},
	} {
		b.Run(name, func(b *testing.B) {
			began := processorTime(b)
			for b.Loop() {
				var errs bytes.Buffer
				if code := run(b.Context(), append([]string{"history", "--results", dir}, args...), nil, io.Discard, &errs); code != 0 || errs.Len() > 0 {
					b.Fatal(fmt.Sprint("exit code ", code, "\n", errs.String()))
				}
			}
			withinASecond(b, began)
		})
	}
}

// BenchmarkResume resumes a run that has ended, as large as the reference: it is
// shown, and nothing is done. Target: a second.
func BenchmarkResume(b *testing.B) {
	rec, err := results.NewStore("../../results").Load("reference")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	store := results.NewStore(dir)
	if err := os.Mkdir(store.Dir(rec.ID), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := store.Save(rec); err != nil {
		b.Fatal(err)
	}
	began := processorTime(b)
	for b.Loop() {
		var out, errs bytes.Buffer
		code := run(b.Context(), []string{"resume", rec.ID, "--results", dir}, nil, &out, &errs)
		if code != compare.ExitCode(rec.Verdict) || out.Len() == 0 || !strings.Contains(errs.String(), "has ended") {
			b.Fatal(fmt.Sprint("exit code ", code, "\n", errs.String()))
		}
	}
	withinASecond(b, began)
}

// withinASecond reports the processor time since began, and demands that an
// operation takes a second at most.
func withinASecond(b *testing.B, began time.Duration) {
	b.Helper()
	each := (processorTime(b) - began).Seconds() / float64(b.N)
	b.ReportMetric(each, "cpu-s/op")
	if each > 1 {
		b.Errorf("%.2f s of processor time, want at most 1", each)
	}
}

func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
