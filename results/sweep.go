// SPDX-License-Identifier: GPL-2.0-or-later

package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var runName = regexp.MustCompile(`^[0-9]{8}-[0-9]{6}(-[0-9]+)?$`)

// Sweep removes what runs left in the store that were killed before they had a
// record, or while they wrote what all runs share, and returns how many things
// that were. What has changed since then, or is in use, stays.
func (s *Store) Sweep(then time.Time) (int, error) {
	list, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("sweep the results: %w", err)
	}
	n := 0
	for _, d := range list {
		info, err := d.Info()
		if err != nil || info.ModTime().After(then) {
			continue
		}
		unfinished := strings.HasPrefix(d.Name(), ".latest-") || strings.HasPrefix(d.Name(), ".") && strings.Contains(d.Name(), ".new-")
		switch {
		case !d.IsDir() && unfinished:
			err = os.Remove(filepath.Join(s.dir, d.Name()))
		case d.IsDir() && runName.MatchString(d.Name()):
			var gone bool
			if gone, err = s.sweepStillborn(d.Name()); !gone && err == nil {
				continue
			}
		default:
			continue
		}
		if err != nil {
			return n, fmt.Errorf("sweep the results: %w", err)
		}
		n++
	}
	return n, nil
}

// sweepStillborn removes the folder of a run that has no record, unless it is at
// work or there is anything in the folder that it may be wanted for.
func (s *Store) sweepStillborn(id string) (gone bool, err error) {
	// Whoever goes on with a run that has a record must not find it held.
	if empty, err := s.stillborn(id); err != nil || !empty {
		return false, nil
	}
	release, err := s.Hold(id)
	if err != nil {
		return false, nil
	}
	defer release()
	if empty, err := s.stillborn(id); !empty { // it may have come to something since
		return false, err
	}
	return true, os.RemoveAll(s.Dir(id))
}

// stillborn tells whether there is nothing in a run's folder but what is hidden.
func (s *Store) stillborn(id string) (bool, error) {
	files, err := os.ReadDir(s.Dir(id))
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(files, func(f os.DirEntry) bool { return !strings.HasPrefix(f.Name(), ".") }), nil
}
