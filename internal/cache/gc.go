// SPDX-License-Identifier: GPL-2.0-or-later

package cache

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"
)

// Item is one thing in the cache that GC may remove as a whole.
type Item struct {
	// Name is the slash-separated path below the root, such as
	// "entries/kernel/0a1b..." or "trees/build/linux-6.1-s390x-measure".
	Name string
	// Bytes is the space it takes on the disk.
	Bytes int64
	// Used is when it was last put or taken out.
	Used time.Time
}

// Items lists what the cache holds, sorted by name.
func (c *Cache) Items() ([]Item, error) {
	var items []Item
	for _, top := range []string{"entries", "trees"} {
		kinds, err := os.ReadDir(filepath.Join(c.root, top))
		if err != nil {
			return nil, fmt.Errorf("list the cache: %w", err)
		}
		for _, kind := range kinds {
			things, err := os.ReadDir(filepath.Join(c.root, top, kind.Name()))
			if err != nil {
				return nil, fmt.Errorf("list the cache: %w", err)
			}
			for _, thing := range things {
				it, err := c.item(filepath.Join(top, kind.Name(), thing.Name()))
				if err != nil {
					return nil, err
				}
				items = append(items, it)
			}
		}
	}
	sort.Slice(items, func(i, j int) bool { return items[i].Name < items[j].Name })
	return items, nil
}

func (c *Cache) item(rel string) (Item, error) {
	it := Item{Name: filepath.ToSlash(rel)}
	root := filepath.Join(c.root, rel)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // a build is at work here
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			it.Bytes += st.Blocks * 512
		}
		if filepath.Dir(p) == root || p == root {
			if t := info.ModTime(); t.After(it.Used) {
				it.Used = t
			}
		}
		return nil
	})
	if err != nil {
		return Item{}, fmt.Errorf("measure %s: %w", rel, err)
	}
	return it, nil
}

// RemoveItem removes one item listed by Items. The caller holds Exclusive.
func (c *Cache) RemoveItem(it Item) error {
	p := filepath.Join(c.root, filepath.FromSlash(it.Name))
	// A read-only folder inside would stop RemoveAll for an ordinary user.
	_ = filepath.WalkDir(p, func(q string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(q, 0o755)
		}
		return nil
	})
	if err := os.RemoveAll(p); err != nil {
		return fmt.Errorf("remove %s: %w", it.Name, err)
	}
	return nil
}

// Free returns the bytes an ordinary user may still write to the file system
// that holds path.
func Free(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
