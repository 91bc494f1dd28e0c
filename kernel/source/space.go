// SPDX-License-Identifier: GPL-2.0-or-later

package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"packtest/internal/fault"
)

// What things take on the disk, in bytes, measured with Linux 6.1 and rounded up.
const (
	packSpace = 500 << 20  // an unpacked source, as git's objects
	treeSpace = 1600 << 20 // its files
)

// SpaceError says that a disk is full, or too full to start.
type SpaceError struct {
	// Path is a folder on the disk.
	Path string
	// Need and Free are bytes; Need is 0 if it ran full at work.
	Need, Free uint64
	// Err is what was seen when it ran full.
	Err error
}

// Error names the disk's folder and the figures.
func (e *SpaceError) Error() string {
	if e.Need > 0 {
		return fmt.Sprintf("no space: %s needs %s, %s are free", e.Path, humanize.IBytes(e.Need), humanize.IBytes(e.Free))
	}
	return fmt.Sprintf("no space left on the disk of %s (%s free): %v", e.Path, humanize.IBytes(e.Free), e.Err)
}

// Unwrap returns what was seen when the disk ran full.
func (e *SpaceError) Unwrap() error { return e.Err }

// Fault returns fault.Harness: the machine is at fault.
func (e *SpaceError) Fault() fault.Kind { return fault.Harness }

func withSpaceHint(e *SpaceError) error {
	return &fault.Error{Kind: fault.Harness, Err: e, Hint: "packtest gc empties the cache; XDG_CACHE_HOME moves it to another disk"}
}

// NeedSpace returns a *SpaceError unless the disk of dir has need bytes free.
func NeedSpace(dir string, need uint64) error {
	free, err := freeSpace(dir)
	if err != nil {
		return err
	}
	if free < need {
		return withSpaceHint(&SpaceError{Path: dir, Need: need, Free: free})
	}
	return nil
}

// NoSpace returns err as a *SpaceError if it says that the disk of dir ran
// full, and err itself if not.
func NoSpace(err error, dir string) error {
	var already *SpaceError
	if err == nil || errors.As(err, &already) {
		return err
	}
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) &&
		!strings.Contains(err.Error(), "No space left on device") && !strings.Contains(err.Error(), "Disk quota exceeded") {
		return err
	}
	free, _ := freeSpace(dir)
	return withSpaceHint(&SpaceError{Path: dir, Free: free, Err: err})
}

func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
