// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"packtest/internal/cache"
)

// journal knows what the last run of every step in a build tree complained of.
// An object that is not compiled again says nothing, so what it said is kept. It
// is written as the build goes: a build that is killed loses nothing.
type journal struct {
	path   string
	source string // the folder of source files
	out    *os.File
	said   Warnings
	// begun is when the build began that did not end, zero if there is none, and
	// seen are the objects of it that were heard.
	begun time.Time
	seen  map[string]bool

	step, target string // what is being heard, and on which file
	lines        []string
	failed       []string // what the steps said that failed
	last         []string // what the last step said
}

// entry is one line of a journal: a step and what it said, or a build's beginning.
type entry struct {
	Begun  time.Time `json:"begun,omitzero"`
	Step   string    `json:"step,omitempty"`
	Target string    `json:"target,omitempty"`
	Said   []Warning `json:"said,omitempty"`
}

// openJournal reads the journal at path; one that is not there is empty.
func openJournal(path string) (*journal, error) {
	j := &journal{path: path, said: Warnings{}, seen: map[string]bool{}}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read what the build said: %w", err)
	}
	for line := range bytes.Lines(b) {
		var e entry
		if json.Unmarshal(line, &e) != nil {
			continue // the last line of a build that was killed
		}
		if !e.Begun.IsZero() {
			j.begun, j.seen = e.Begun, map[string]bool{}
			continue
		}
		j.note(e)
	}
	return j, nil
}

func (j *journal) note(e entry) {
	j.seen[e.Target] = true
	key := e.Step + " " + e.Target
	delete(j.said, key)
	if len(e.Said) > 0 {
		j.said[key] = e.Said
	}
}

// begin prepares for a build in the tree dir of what lies in the folder source.
// Objects that a build made which was killed before it was heard are removed: they
// are to say it again. What was said of files that are gone is forgotten.
func (j *journal) begin(dir, source string) error {
	j.source = source
	if err := j.prune(dir); err != nil {
		return fmt.Errorf("look for what a build spoke of: %w", err)
	}
	if !j.begun.IsZero() {
		if err := j.forget(dir); err != nil {
			return fmt.Errorf("remove objects whose warnings are unknown: %w", err)
		}
	}
	if err := j.end(); err != nil {
		return err
	}
	var err error
	if j.out, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return fmt.Errorf("keep what the build says: %w", err)
	}
	// File times lag behind the clock by a tick.
	return j.write(entry{Begun: time.Now().Add(-time.Second)})
}

func (j *journal) forget(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(p) != ".o" {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil || st.ModTime().Before(j.begun) || j.seen[filepath.ToSlash(name)] {
			return err
		}
		return os.Remove(p)
	})
}

// prune drops what was said of files that no longer exist: make leaves their
// objects where they are, and will never take it back.
func (j *journal) prune(dir string) error {
	for key := range j.said {
		_, target, _ := strings.Cut(key, " ")
		file, err := madeOf(dir, target)
		if err != nil {
			return err
		}
		if file != "" && !exists(file, dir, j.source) {
			delete(j.said, key)
		}
	}
	return nil
}

// madeOf returns the file without which nothing can be said of a target in the
// tree dir: the source that kbuild wrote down beside an object, or the target
// itself if it is a source or an object for which there is no such note. It is ""
// for all else, which is put together from others and may be passing, and for
// tools for the host, whose paths are from the root.
func madeOf(dir, target string) (string, error) {
	if filepath.IsAbs(target) {
		return "", nil
	}
	b, err := os.ReadFile(filepath.Join(dir, filepath.Dir(target), "."+filepath.Base(target)+".cmd"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if file, ok := strings.CutPrefix(line, "source_"+target+" := "); ok {
			return strings.TrimSpace(file), nil
		}
	}
	switch filepath.Ext(target) {
	case ".o", ".s", ".c", ".S", ".h":
		return target, nil
	}
	return "", nil
}

// exists tells whether file, if it is a path from the root, is there, or else
// whether any of the folders has it.
func exists(file string, folders ...string) bool {
	if filepath.IsAbs(file) {
		folders = []string{""}
	}
	return slices.ContainsFunc(folders, func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, file))
		return err == nil
	})
}

func (j *journal) write(e entry) error {
	b, err := json.Marshal(e)
	if err == nil {
		_, err = j.out.Write(append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep what the build says: %w", err)
	}
	return nil
}

// line hears one line of make's output. What can't be written is told by end.
func (j *journal) line(line string) error {
	m := stepLine.FindStringSubmatch(line)
	if m == nil {
		j.lines = append(j.lines, line)
		return nil
	}
	err := j.flush()
	j.step, j.target = m[1], strings.TrimPrefix(m[2], j.source+"/")
	return err
}

// flush takes down what the step said that is over.
func (j *journal) flush() error {
	lines := j.lines
	j.lines, j.last = nil, lines
	if text := strings.Join(lines, "\n"); wrong.MatchString(text) && j.step != sparseStep {
		j.failed = append(j.failed, text)
	}
	if j.step == "" {
		return nil
	}
	e := entry{Step: j.step, Target: j.target, Said: complaints(j.step, j.source, lines)}
	j.note(e)
	return j.write(e)
}

// stop leaves the journal of a build that was cut short.
func (j *journal) stop() {
	j.out.Close()
	j.out = nil
}

// failure is what the steps said that failed, in an order that does not depend
// on which of them was faster; where none said anything, what make did.
func (j *journal) failure() string {
	slices.Sort(j.failed)
	text := strings.Join(j.failed, "\n")
	if text == "" {
		text = strings.Join(j.last, "\n")
	}
	return text
}

// end says that make has come to its end and was heard in full. The journal is
// written anew, without what later lines overrule.
func (j *journal) end() error {
	if j.out != nil {
		err := j.flush()
		if closeErr := j.out.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("keep what the build says: %w", err)
		}
		j.out = nil
	}
	var b bytes.Buffer
	for _, k := range slices.Sorted(maps.Keys(j.said)) {
		step, target, _ := strings.Cut(k, " ")
		line, err := json.Marshal(entry{Step: step, Target: target, Said: j.said[k]})
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	j.begun, j.step, j.target = time.Time{}, "", ""
	return cache.WriteFile(j.path, b.Bytes(), 0o644)
}
