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
	"testing"
	"time"

	"golang.org/x/sys/unix"

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
			b.ReportMetric((processorTime(b)-began).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
