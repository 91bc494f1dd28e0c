// SPDX-License-Identifier: GPL-2.0-or-later

package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"packtest/internal/cache"
	"packtest/internal/fault"
)

// RecordName is the record's file name in a run's folder.
const RecordName = "record.json"

// Store is the folder that holds the runs, one folder each, and a link
// "latest" to the newest finished one.
type Store struct{ dir string }

// NewStore returns the store in dir; the folder is made when a run is.
func NewStore(dir string) *Store { return &Store{dir: dir} }

// Dir returns the folder of the run called id.
func (s *Store) Dir(id string) string { return filepath.Join(s.dir, id) }

// Ready tells whether runs can be kept in the store, and makes nothing: that is
// better known before the hours of work than after them.
func (s *Store) Ready() error {
	for dir := filepath.Clean(s.dir); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir):
			continue // it is made in the one above
		case errors.Is(err, unix.ENOTDIR), err == nil && !info.IsDir():
			return s.notFolder()
		case err == nil:
			err = unix.Access(dir, unix.W_OK)
		}
		if err != nil {
			return fault.WithHint(fault.Harnessf("no run can be kept in %s: %w", s.dir, err), elsewhere)
		}
		return nil
	}
}

// elsewhere is the way out where a store is of no use.
const elsewhere = "--results names another folder"

func (s *Store) notFolder() error {
	return fault.WithHint(fault.Inputf("the results folder %s is no folder", s.dir), elsewhere)
}

// Create makes a new run's folder and returns its ID: the time, in UTC, and if
// that is taken, a number.
func (s *Store) Create(now time.Time) (id string, err error) {
	if err := s.Ready(); err != nil {
		return "", err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return "", fmt.Errorf("make the results folder: %w", err)
	}
	base := now.UTC().Format("20060102-150405")
	for n := 1; ; n++ {
		id = base
		if n > 1 {
			id = fmt.Sprintf("%s-%d", base, n)
		}
		err := os.Mkdir(s.Dir(id), 0o755)
		if err == nil {
			return id, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make the run's folder: %w", err)
		}
	}
}

// Save writes the record into its run's folder, whole or not at all. Lists are
// sorted, so that equal runs give equal files.
func (s *Store) Save(r *Record) error {
	r.Normalise()
	b, err := r.encode()
	if err != nil {
		return fmt.Errorf("write the record of %s: %w", r.ID, err)
	}
	if err := cache.WriteFile(filepath.Join(s.Dir(r.ID), RecordName), b, 0o644); err != nil {
		return fmt.Errorf("write the record of %s: %w", r.ID, err)
	}
	return nil
}

// encode writes the record as JSON: indented, but for samples and layouts, which
// are most of it and have a line each.
func (r *Record) encode() ([]byte, error) {
	rest := *r
	rest.Samples, rest.Layouts = []Sample{}, []Layout{}
	b, err := json.MarshalIndent(rest, "", " ")
	if err != nil {
		return nil, err
	}
	// No string holds a line break, so these lines are what they look like.
	for key, write := range map[string]func(*bytes.Buffer) error{
		"samples": func(to *bytes.Buffer) error { return encodeLines(to, r.Samples) },
		"layouts": func(to *bytes.Buffer) error { return encodeLines(to, r.Layouts) },
	} {
		head, tail, ok := bytes.Cut(b, []byte("\n \""+key+"\": []"))
		if !ok {
			return nil, fmt.Errorf("no list of %s", key)
		}
		to := bytes.NewBuffer(slices.Clip(head))
		fmt.Fprintf(to, "\n %q: [", key)
		if err := write(to); err != nil {
			return nil, err
		}
		to.WriteString("]")
		to.Write(tail)
		b = to.Bytes()
	}
	return append(b, '\n'), nil
}

func encodeLines[T any](to *bytes.Buffer, list []T) error {
	for i, x := range list {
		b, err := json.Marshal(x)
		if err != nil {
			return err
		}
		if i > 0 {
			to.WriteString(",")
		}
		to.WriteString("\n  ")
		to.Write(b)
	}
	if len(list) > 0 {
		to.WriteString("\n ")
	}
	return nil
}

// Publish points "latest" to the run called id, and enters it in the history.
func (s *Store) Publish(id string) error {
	tmp := filepath.Join(s.dir, ".latest-"+id)
	_ = os.Remove(tmp)
	if err := os.Symlink(id, tmp); err != nil {
		return fmt.Errorf("point latest to %s: %w", id, err)
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, "latest")); err != nil {
		return fmt.Errorf("point latest to %s: %w", id, err)
	}
	_, _, _ = s.History() // it follows from the records: whoever reads it next makes up for this
	return nil
}

// Load reads a run's record: ref is an ID in the store, "latest", a run's
// folder, or the path of a record.
func (s *Store) Load(ref string) (*Record, error) {
	for _, p := range []string{filepath.Join(s.dir, ref, RecordName), filepath.Join(ref, RecordName), ref} {
		b, err := os.ReadFile(p)
		switch {
		case err == nil:
			return Parse(b, p)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.EISDIR):
			return nil, fault.Inputf("read the record of %s: %w", ref, err)
		}
	}
	if info, err := os.Stat(ref); err == nil && info.IsDir() {
		return nil, fault.WithHint(fault.Inputf("%s holds no run: it has no %s", ref, RecordName), "packtest history lists the runs")
	}
	return nil, fault.WithHint(fault.Inputf("no run called %q in %s", ref, s.dir), "packtest history lists the runs")
}

// Parse reads a record; name is used in errors.
func Parse(b []byte, name string) (*Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fault.Inputf("read the record %s: %w", name, err)
	}
	if r.Schema < 1 {
		return nil, fault.Inputf("%s is no record of a run: it has no schema", name)
	}
	if r.Schema > Schema {
		return nil, fault.WithHint(fault.Inputf("the record %s has schema %d; this packtest reads up to %d", name, r.Schema, Schema), "use a newer packtest")
	}
	return &r, nil
}

// IDs lists the runs that have a record, oldest first.
func (s *Store) IDs() ([]string, error) {
	dirs, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, unix.ENOTDIR) {
		return nil, s.notFolder()
	}
	if err != nil {
		return nil, fmt.Errorf("list the runs: %w", err)
	}
	var ids []string
	for _, d := range dirs {
		if !d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.dir, d.Name(), RecordName)); err == nil {
			ids = append(ids, d.Name())
		}
	}
	sort.Strings(ids)
	return ids, nil
}

// Normalise sorts the record's lists and makes empty ones lists, not null.
func (r *Record) Normalise() {
	r.Planned = append([]Planned{}, r.Planned...)
	r.Cells = append([]Cell{}, r.Cells...)
	r.Boots = append([]Boot{}, r.Boots...)
	r.Samples = append([]Sample{}, r.Samples...)
	r.Findings = append([]Finding{}, r.Findings...)
	r.Unmeasured = append([]Unmeasured{}, r.Unmeasured...)
	r.Layouts = append([]Layout{}, r.Layouts...)
	sortBy(r.Planned, func(p Planned) string { return p.Arch + "\x00" + p.Variant + "\x00" + p.Scenario })
	sortBy(r.Cells, func(c Cell) string { return c.Arch + "\x00" + c.Variant + "\x00" + c.Config })
	sortBy(r.Boots, func(b Boot) string { return fmt.Sprintf("%s\x00%s\x00%09d", b.Arch, b.Variant, b.Number) })
	// Samples of one cell and scenario keep the order in which they came:
	// labels such as programs=512 have no order of their own that sorting finds.
	sortBy(r.Samples, func(s Sample) string { return s.Arch + "\x00" + s.Variant + "\x00" + s.Scenario })
	sortBy(r.Findings, func(f Finding) string {
		return f.Arch + "\x00" + f.Variant + "\x00" + f.Scenario + "\x00" + f.Kind + "\x00" + f.Title
	})
	sortBy(r.Unmeasured, func(u Unmeasured) string {
		return u.Arch + "\x00" + u.Variant + "\x00" + u.Scenario + "\x00" + u.Metric
	})
	sortBy(r.Layouts, func(l Layout) string { return l.Arch + "\x00" + l.Variant + "\x00" + l.Scenario + "\x00" + l.Step })
}

func sortBy[T any](list []T, key func(T) string) {
	sort.SliceStable(list, func(i, j int) bool { return key(list[i]) < key(list[j]) })
}
