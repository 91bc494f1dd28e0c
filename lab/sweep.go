// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"packtest/internal/cache"
)

// sweep clears away what runs left behind that were killed and could not do it
// themselves, and tells of it. A run that is at work is not touched. That it
// fails stops nobody.
func (l *Lab) sweep() {
	n, err := l.Cache.Sweep()
	if err != nil {
		l.note("%v", err)
	}
	if n > 0 {
		l.note("the cache held %d entries half made by a packtest that was killed: removed", n)
	}
	if n, err = cache.SweepTemp(); err != nil {
		l.note("%v", err)
	}
	if n > 0 {
		l.note("there were %d temporary folders of packtests that were killed: removed", n)
	}
	// No run takes that long from its folder to its record.
	if n, err = l.Store.Sweep(l.Now().Add(-time.Hour)); err != nil {
		l.note("%v", err)
	}
	if n > 0 {
		l.note("there were %d things of runs in the results that were killed as they began: removed", n)
	}
	ids, err := l.Store.IDs()
	if err != nil {
		l.note("%v", err)
	}
	for _, id := range ids {
		if left, _ := leftBehind(l.Store.Dir(id)); len(left) == 0 {
			continue
		}
		release, err := l.Store.Hold(id)
		if err != nil {
			continue // it is at work
		}
		if err := l.sweepRun(id); err != nil {
			l.note("clear away what the run %s left behind: %v", id, err)
		}
		release()
	}
}

// sweepRun clears away what a killed run left in its folder; the caller holds
// it. The console of a boot that was cut short stays, beside those of the others.
func (l *Lab) sweepRun(id string) error {
	dir := l.Store.Dir(id)
	left, err := leftBehind(dir)
	if err != nil || len(left) == 0 {
		return err
	}
	var bytes int64
	for _, path := range left {
		bytes += size(path)
		if err := rescueConsole(dir, path); err != nil {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	l.note("the run %s was killed: %d MiB that it left behind are removed", id, (bytes+1<<20-1)>>20)
	return nil
}

// leftBehind lists what has a name that only lasts as long as the run.
func leftBehind(dir string) ([]string, error) { return filepath.Glob(filepath.Join(dir, ".*")) }

// bootFolder is the pattern of a boot's folder: what came of it is known when
// it is over.
func bootFolder(b *boot) string { return fmt.Sprintf(".boot-%s-%s-%d-*", b.arch, b.variant, b.number) }

var bootName = regexp.MustCompile(`^\.boot-(.+)-[0-9]+$`)

func rescueConsole(dir, path string) error {
	m := bootName.FindStringSubmatch(filepath.Base(path))
	if m == nil {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(path, "console.log"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	to := filepath.Join(dir, "consoles")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	return cache.WriteFile(filepath.Join(to, m[1]+".log.cut-short"), text, 0o644)
}

// size is what a file or folder holds; what can't be read holds nothing.
func size(path string) (n int64) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
