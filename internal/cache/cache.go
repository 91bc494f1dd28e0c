// SPDX-License-Identifier: GPL-2.0-or-later

// Package cache is packtest's folder of things that are expensive to make:
// content-addressed entries whose files are checked when they are taken out,
// working folders such as build trees, and the locks that keep two runs apart.
// What a key is made of, the callers decide.
//
//	ROOT/entries/KIND/KEY/         one entry: its files and manifest.json
//	ROOT/trees/NAME/               a working folder
//	ROOT/locks/NAME                a lock, with its holder's process ID
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"packtest/internal/fault"
)

// Cache is an open cache folder. Its methods may be called from several
// goroutines and processes at once.
type Cache struct{ root string }

// DefaultRoot returns $XDG_CACHE_HOME/packtest or ~/.cache/packtest.
func DefaultRoot() (string, error) {
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fault.WithHint(fmt.Errorf("find the cache folder: %w", err), "set XDG_CACHE_HOME or HOME")
	}
	return filepath.Join(d, "packtest"), nil
}

// Open opens the cache in root, making the folder if need be.
func Open(root string) (*Cache, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	for _, d := range []string{"entries", "trees", "locks"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return nil, fault.WithHint(fmt.Errorf("open cache: %w", err), "--cache or XDG_CACHE_HOME names a folder you may write to")
		}
	}
	return &Cache{root: root}, nil
}

// Root returns the cache's absolute path.
func (c *Cache) Root() string { return c.root }

// Tree returns the path of the working folder called name, which may hold
// slashes. The folder is made if need be; lock "trees/"+name to work in it.
func (c *Cache) Tree(name string) (string, error) {
	p := filepath.Join(c.root, "trees", filepath.FromSlash(name))
	if err := os.MkdirAll(p, 0o755); err != nil {
		return "", fmt.Errorf("cache tree %s: %w", name, err)
	}
	return p, nil
}

// ErrMiss says that the cache has no such entry.
var ErrMiss = errors.New("not in the cache")

// CorruptError says that an entry's files were not what was put there. The
// entry has been removed; make it again.
type CorruptError struct{ Kind, Key, Detail string }

// Error names the entry and what is wrong with it.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("cache entry %s/%s is corrupt (%s)", e.Kind, e.Key, e.Detail)
}

// Entry is one finished entry.
type Entry struct {
	Kind, Key, Dir string
	// Sums maps each file's slash-separated name to its SHA-256, in hex.
	Sums map[string]string
}

// Path returns the path of the file called name in the entry.
func (e *Entry) Path(name string) string { return filepath.Join(e.Dir, filepath.FromSlash(name)) }

type manifest struct {
	// Kind and Key are those that the entry was made under; entries of long ago
	// don't have them.
	Kind  string            `json:"kind,omitempty"`
	Key   string            `json:"key,omitempty"`
	Files map[string]string `json:"files"`
}

const manifestName = "manifest.json"

// Get returns a finished entry after checking every file in it. The error is
// ErrMiss, or a *CorruptError after which the entry is gone.
func (c *Cache) Get(kind, key string) (*Entry, error) {
	dir := c.entryDir(kind, key)
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); err == nil {
			return nil, c.corrupt(kind, key, "it has no manifest")
		}
		return nil, ErrMiss
	}
	if err != nil {
		return nil, fmt.Errorf("read cache entry %s/%s: %w", kind, key, err)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil || m.Files == nil {
		return nil, c.corrupt(kind, key, "its manifest can't be read")
	}
	if m.Key != "" && (m.Kind != kind || m.Key != key) {
		return nil, c.corrupt(kind, key, "it is the entry "+m.Kind+"/"+m.Key)
	}
	if extra, err := unlisted(dir, m.Files); err != nil {
		return nil, fmt.Errorf("read cache entry %s/%s: %w", kind, key, err)
	} else if extra != "" {
		return nil, c.corrupt(kind, key, extra+" was not put there")
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		sum, err := FileSum(filepath.Join(dir, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, c.corrupt(kind, key, name+" is missing")
		case err != nil:
			return nil, fmt.Errorf("read cache entry %s/%s: %w", kind, key, err)
		case sum != m.Files[name]:
			return nil, c.corrupt(kind, key, name+" has changed")
		}
	}
	now := time.Now()
	_ = os.Chtimes(filepath.Join(dir, manifestName), now, now) // for GC: last used
	return &Entry{Kind: kind, Key: key, Dir: dir, Sums: m.Files}, nil
}

// Put makes an entry: fill writes its files into a temporary folder, which is
// then renamed into place. If another process was faster, its entry is kept.
func (c *Cache) Put(kind, key string, fill func(dir string) error) (*Entry, error) {
	final := c.entryDir(kind, key)
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return nil, fmt.Errorf("make cache entry %s/%s: %w", kind, key, err)
	}
	tmp, release, err := newFolder(filepath.Dir(final), newPrefix)
	if err != nil {
		return nil, fmt.Errorf("make cache entry %s/%s: %w", kind, key, err)
	}
	defer release()
	defer os.RemoveAll(tmp)
	if err := fill(tmp); err != nil {
		return nil, err
	}
	sums, err := treeSums(tmp)
	if err != nil {
		return nil, fmt.Errorf("make cache entry %s/%s: %w", kind, key, err)
	}
	b, err := json.MarshalIndent(manifest{Kind: kind, Key: key, Files: sums}, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := WriteFile(filepath.Join(tmp, manifestName), append(b, '\n'), 0o644); err != nil {
		return nil, err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return nil, fmt.Errorf("make cache entry %s/%s: %w", kind, key, err)
	}
	if err := os.Rename(tmp, final); err != nil {
		if e, getErr := c.Get(kind, key); getErr == nil {
			return e, nil
		}
		return nil, fmt.Errorf("make cache entry %s/%s: %w", kind, key, err)
	}
	return &Entry{Kind: kind, Key: key, Dir: final, Sums: sums}, nil
}

// Remove removes an entry; it is no error if there is none.
func (c *Cache) Remove(kind, key string) error {
	if err := os.RemoveAll(c.entryDir(kind, key)); err != nil {
		return fmt.Errorf("remove cache entry %s/%s: %w", kind, key, err)
	}
	return nil
}

func (c *Cache) corrupt(kind, key, detail string) error {
	if err := c.Remove(kind, key); err != nil {
		return err
	}
	return &CorruptError{Kind: kind, Key: key, Detail: detail}
}

func (c *Cache) entryDir(kind, key string) string {
	return filepath.Join(c.root, "entries", kind, key)
}

// Key returns the SHA-256, in hex, of the parts, each with its length before
// it, so that no two lists of parts give the same key.
func Key(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// FileSum returns the SHA-256 of a file, in hex.
func FileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// WriteFile writes data to a temporary file beside path and renames it into
// place, so that a reader sees the old file or the new one and nothing else.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// unlisted returns a file of an entry that its manifest doesn't name, or "".
func unlisted(dir string, files map[string]string) (extra string, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if _, ok := files[filepath.ToSlash(rel)]; !ok && rel != manifestName {
			extra = rel
			return fs.SkipAll
		}
		return nil
	})
	return extra, err
}

func treeSums(dir string) (map[string]string, error) {
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		sum, err := FileSum(p)
		sums[filepath.ToSlash(rel)] = sum
		return err
	})
	return sums, err
}

func lockFileName(name string) string { return strings.NewReplacer("/", "_", "\\", "_").Replace(name) }
