// SPDX-License-Identifier: GPL-2.0-or-later

package results

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"packtest/internal/fault"
)

// Hold marks the run called id as in use until release is called; the error says
// that something uses it already. It is a lock on the folder itself: the kernel
// drops it when the process dies, and no file is left behind.
func (s *Store) Hold(id string) (release func(), err error) {
	return hold(s.Dir(id), "the run "+id)
}

// HoldNightly marks the store as in use by a nightly run; see Store.Hold.
func (s *Store) HoldNightly() (release func(), err error) {
	if err := s.Ready(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the results folder: %w", err)
	}
	return hold(s.dir, s.dir+" for a nightly run")
}

func hold(dir, what string) (func(), error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("hold %s: %w", what, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.WithHint(fault.Harnessf("another packtest is using %s", what), "wait for it to end, or end it")
		}
		return nil, fmt.Errorf("hold %s: %w", what, err)
	}
	return func() { f.Close() }, nil
}

// Keep says which runs stay: the newest Runs of each kind, and those begun since
// Since. What is zero keeps nothing by itself; if both are, everything stays.
type Keep struct {
	Runs  int
	Since time.Time
	// Spare names runs that stay whatever their age.
	Spare []string
}

// removing is what the folder of a run is called while it is removed.
const removing = ".removed-"

// Retain removes the folders of the runs that are not to be kept, and tells
// which. Their lines stay in the history, so that trends go on. A run that is
// in use, that "latest" points to, or whose record can't be read is never
// removed, nor is a folder that holds another run's record.
func (s *Store) Retain(k Keep) (removed []Summary, err error) {
	s.sweep()
	if k.Runs == 0 && k.Since.IsZero() {
		return nil, nil
	}
	defer s.lockIndex()()
	list, _, err := s.history()
	if err != nil {
		return nil, err
	}
	spare := map[string]bool{}
	for _, id := range k.Spare {
		spare[id] = true
	}
	if latest, err := os.Readlink(filepath.Join(s.dir, "latest")); err == nil {
		spare[latest] = true
	}
	var old []*Summary
	left := map[Kind]int{}
	for i := len(list) - 1; i >= 0; i-- {
		sum := &list[i]
		if sum.Removed || sum.Unreadable != "" || sum.copied() {
			continue
		}
		left[sum.Kind]++
		if left[sum.Kind] <= k.Runs || !k.Since.IsZero() && !sum.Started.Before(k.Since) || spare[sum.Folder] {
			continue
		}
		release, err := s.Hold(sum.Folder)
		if err != nil {
			continue
		}
		defer release()
		sum.Removed = true
		old = append(old, sum)
	}
	if len(old) == 0 {
		return nil, nil
	}
	// The lines come first: without a record they can't be made anew, and those
	// of runs that stay after all are put right.
	if err := s.writeIndex(list); err != nil {
		return nil, err
	}
	var errs []error
	for _, sum := range old {
		if err := os.Rename(s.Dir(sum.Folder), filepath.Join(s.dir, removing+sum.Folder)); err != nil {
			sum.Removed = false
			errs = append(errs, fmt.Errorf("remove the run %s: %w", sum.Folder, err))
			continue
		}
		removed = append(removed, *sum)
	}
	if len(errs) > 0 {
		errs = append(errs, s.writeIndex(list))
	}
	s.sweep()
	return removed, errors.Join(errs...)
}

// sweep removes what is being removed; what can't be goes next time.
func (s *Store) sweep() {
	dirs, _ := filepath.Glob(filepath.Join(s.dir, removing+"*"))
	for _, d := range dirs {
		_ = os.RemoveAll(d)
	}
}
