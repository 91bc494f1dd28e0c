// SPDX-License-Identifier: GPL-2.0-or-later

package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"packtest/internal/cache"
)

// HistoryName is the file in the results folder that holds a line for every run,
// so that a thousand of them are read in no time. All of it but the lines of
// runs that were removed follows from the records.
const HistoryName = "history"

// indexSchema is the version of a line; lines of another are made anew.
const indexSchema = 1

// History returns a summary of every run, oldest first, and what there is to say
// about the index: it holds each record against its line by size and time of
// change, and reads those anew that have none. A folder that holds another run's
// record, under a name of its own, was put there by somebody and is left out.
func (s *Store) History() (list []Summary, notes []string, err error) {
	defer s.lockIndex()()
	list, notes, err = s.history()
	return slices.DeleteFunc(list, Summary.copied), notes, err
}

// copied tells whether the folder is none that a run made: its record is another's.
func (s Summary) copied() bool { return s.Unreadable == "" && s.ID != s.Folder }

// lockIndex keeps others from rewriting the index between its being read and
// rewritten, until release is called: of two that do so at once, one would bring
// back lines that the other has changed. The lock is a file of its own, since the
// index is another file after it was rewritten. Where none can be made, no index
// can be either, and a file system without locks has none to wait for.
func (s *Store) lockIndex() (release func()) {
	f, err := os.OpenFile(s.indexPath()+".lock", os.O_RDONLY|os.O_CREATE, 0o644)
	if err != nil {
		return func() {}
	}
	for errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX), unix.EINTR) {
	}
	return func() { f.Close() }
}

// history is History for whoever holds the index, and leaves nothing out.
func (s *Store) history() (list []Summary, notes []string, err error) {
	known, spoilt := s.readIndex()
	ids, err := s.IDs()
	if err != nil {
		return nil, nil, err
	}
	list = make([]Summary, len(ids))
	var stale []int
	outdated := 0
	for i, id := range ids {
		stamp, err := s.stamp(id)
		if err != nil {
			return nil, nil, err
		}
		// Earlier lines do not say which kind of run theirs is.
		if old, ok := known[id]; ok && old.Stamp == stamp && (old.Kind != "" || old.Unreadable != "") {
			if list[i] = old; old.Removed { // it was to be, and is still there
				list[i].Removed = false
				outdated++
			}
		} else {
			list[i] = Summary{Folder: id, Stamp: stamp}
			stale = append(stale, i)
		}
		delete(known, id)
	}
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for _, i := range stale {
		g.Go(func() error {
			list[i] = s.summarise(list[i].Folder, list[i].Stamp)
			return nil
		})
	}
	_ = g.Wait()
	for _, old := range known {
		if old.Removed {
			list = append(list, old)
		} else {
			outdated++
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Folder < list[j].Folder })
	switch {
	case spoilt > 0:
		notes = append(notes, fmt.Sprintf("the index %s was damaged: %s made anew from the records", s.indexPath(), lines(len(stale))))
	case len(stale) > 1:
		// One is the run that has just ended, or is going on.
		notes = append(notes, fmt.Sprintf("the index %s was not up to date: %s made anew from the records", s.indexPath(), lines(len(stale))))
	}
	if len(stale)+outdated+spoilt > 0 {
		if err := s.writeIndex(list); err != nil {
			notes = append(notes, fmt.Sprintf("the index could not be kept: %v", err))
		}
	}
	return list, notes, nil
}

func lines(n int) string {
	if n == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", n)
}

func (s *Store) indexPath() string { return filepath.Join(s.dir, HistoryName) }

// Stamp tells a record's file from what it was before.
type Stamp struct {
	Bytes   int64 `json:"bytes"`
	Changed int64 `json:"changed"` // nanoseconds since 1970
}

func (s *Store) stamp(id string) (Stamp, error) {
	info, err := os.Stat(filepath.Join(s.Dir(id), RecordName))
	if err != nil {
		return Stamp{}, fmt.Errorf("list the runs: %w", err)
	}
	return Stamp{info.Size(), info.ModTime().UnixNano()}, nil
}

// summarise reads one record. One that can't be read has a line that says so.
func (s *Store) summarise(id string, stamp Stamp) Summary {
	rec, err := s.Load(id)
	if err != nil {
		return Summary{Index: indexSchema, Folder: id, Stamp: stamp, Unreadable: err.Error()}
	}
	sum := Summarise(rec)
	sum.Folder, sum.Stamp = id, stamp
	return sum
}

// readIndex returns the lines by folder, and how many can't be used.
func (s *Store) readIndex() (map[string]Summary, int) {
	known := map[string]Summary{}
	b, err := os.ReadFile(s.indexPath())
	if errors.Is(err, fs.ErrNotExist) {
		return known, 0
	}
	if err != nil {
		return known, 1
	}
	return parseIndex(b)
}

func parseIndex(b []byte) (known map[string]Summary, spoilt int) {
	known = map[string]Summary{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, len(b)+1)
	for sc.Scan() {
		var line Summary
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil || line.Index != indexSchema || line.Folder == "" || line.Folder != filepath.Base(line.Folder) {
			spoilt++
			continue
		}
		known[line.Folder] = line
	}
	return known, spoilt
}

// writeIndex replaces the index; whoever does so holds it.
func (s *Store) writeIndex(list []Summary) error {
	var b bytes.Buffer
	for _, line := range list {
		raw, err := json.Marshal(line)
		if err != nil {
			return fmt.Errorf("write the index: %w", err)
		}
		b.Write(append(raw, '\n'))
	}
	return cache.WriteFile(s.indexPath(), b.Bytes(), 0o644)
}
