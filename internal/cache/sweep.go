// SPDX-License-Identifier: GPL-2.0-or-later

package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// newPrefix begins the names of folders in which entries are being made.
const newPrefix = ".new-"

// newFolder makes a folder in dir for an entry to be made in, with a lock on it
// that lasts until release is called or the process dies: by it Sweep tells what
// is being made from what nobody will ever finish.
func newFolder(dir string) (path string, release func(), err error) {
	for {
		path, err := os.MkdirTemp(dir, newPrefix)
		if err != nil {
			return "", nil, err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // swept before it was locked
		}
		if err != nil {
			return "", nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			f.Close()
			return "", nil, err
		}
		if _, err := os.Stat(path); err != nil {
			f.Close()
			continue
		}
		return path, func() { f.Close() }, nil
	}
}

// Sweep removes what processes left behind that were killed while they made an
// entry, and returns how many such there were.
func (c *Cache) Sweep() (int, error) {
	left, err := filepath.Glob(filepath.Join(c.root, "entries", "*", newPrefix+"*"))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, path := range left {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("sweep the cache: %w", err)
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			if err = os.RemoveAll(path); err == nil {
				n++
			}
		}
		f.Close()
		if err != nil {
			return n, fmt.Errorf("sweep the cache: %w", err)
		}
	}
	return n, nil
}
