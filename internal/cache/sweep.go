// SPDX-License-Identifier: GPL-2.0-or-later

package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// newPrefix begins the names of folders in which entries are being made.
const newPrefix = ".new-"

// newFolder makes a folder in dir, whose name begins with prefix, with a lock on
// it that lasts until release is called or the process dies: by it a sweep tells
// what is in use from what nobody will ever finish.
func newFolder(dir, prefix string) (path string, release func(), err error) {
	for {
		path, err := os.MkdirTemp(dir, prefix)
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
	n, err := sweep(left)
	if err != nil {
		return n, fmt.Errorf("sweep the cache: %w", err)
	}
	return n, nil
}

// tempPrefix begins the names of temporary folders outside of the cache. Folders
// of packtests that did not lock theirs are called otherwise.
const tempPrefix = "packtest-tmp-"

// TempDir makes a folder in parent, or where the system has such if that is "",
// that lasts no longer than the process; what names what it is for. If the process
// is killed, another one's SweepTemp removes it.
func TempDir(parent, what string) (dir string, remove func(), err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	dir, release, err := newFolder(parent, tempPrefix+what+"-")
	if err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir); release() }, nil
}

// SweepTemp removes the temporary folders of processes of this user that were
// killed, and returns how many there were.
func SweepTemp() (int, error) {
	parents := []string{os.TempDir()}
	if parents[0] != "/tmp" {
		parents = append(parents, "/tmp") // see vm's sockets, whose paths must be short
	}
	n := 0
	for _, parent := range parents {
		left, err := filepath.Glob(filepath.Join(parent, tempPrefix+"*"))
		if err != nil {
			return n, err
		}
		swept, err := sweep(slices.DeleteFunc(left, func(path string) bool { return !own(path) }))
		n += swept
		if err != nil {
			return n, fmt.Errorf("sweep the temporary folders: %w", err)
		}
	}
	return n, nil
}

// own tells whether path is a folder, no link to one, of this user's.
func own(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// sweep removes the folders that nobody has locked, and returns how many.
func sweep(left []string) (n int, err error) {
	for _, path := range left {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return n, err
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			if err = os.RemoveAll(path); err == nil {
				n++
			}
		}
		f.Close()
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
