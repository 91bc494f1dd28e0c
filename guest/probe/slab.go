// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const slabDir = "/sys/kernel/slab"

// Slabs tells how many of the kernel's objects are in use, to the object, where
// the kernel counts them (CONFIG_SLUB_DEBUG). The usual figures don't tell:
// /proc/meminfo counts pages, and /proc/slabinfo takes for used all objects of the
// slabs that processors have at hand. So each cache is told to give those back first,
// with what KASAN kept of it. The files stay open, since opening one takes objects as
// well.
type Slabs struct{ caches []slabCache }

// slabCache is one cache's files: one has it give back what it keeps at hand, the
// other says how many objects are in use.
type slabCache struct {
	name            string
	shrink, objects int
	bytes           int64
}

// SlabCount is what is known of a cache's objects.
type SlabCount struct {
	// Cache is its name: that for kmalloc() of the several that one may have.
	Cache string
	// Objects are those in use.
	Objects int64
	// Bytes is an object's size.
	Bytes int64
}

// Slabs opens the files of all caches, but those whose memory is given back under
// pressure and those of kmemleak's books. The error is os.ErrNotExist if the kernel
// shows none, or doesn't count their objects.
func (k Kernel) Slabs() (_ *Slabs, err error) {
	list, err := os.ReadDir(k.path(slabDir))
	if err != nil {
		return nil, err
	}
	missing := error(&os.PathError{Op: "find caches in", Path: k.path(slabDir), Err: os.ErrNotExist})
	names := map[string]string{}
	for _, e := range list {
		target, err := os.Readlink(k.path(slabDir + "/" + e.Name()))
		if err == nil && strings.HasPrefix(e.Name(), "kmalloc-") {
			names[filepath.Base(target)] = e.Name()
		}
	}
	s := &Slabs{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, e := range list {
		if !e.IsDir() || strings.HasPrefix(e.Name(), "kmemleak_") {
			continue // another name of a cache, or books
		}
		c, counted, err := k.slabCache(slabDir + "/" + e.Name())
		if errors.Is(err, os.ErrNotExist) {
			missing = err // a cache may go meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		if !counted {
			continue
		}
		if c.name = names[e.Name()]; c.name == "" {
			c.name = e.Name()
		}
		s.caches = append(s.caches, c)
	}
	if len(s.caches) == 0 {
		return nil, missing
	}
	return s, nil
}

func (k Kernel) slabCache(dir string) (_ slabCache, counted bool, err error) {
	var figures [2]int64
	for i, name := range []string{"reclaim_account", "slab_size"} {
		text, err := k.readString(dir + "/" + name)
		if err != nil {
			return slabCache{}, false, err
		}
		if figures[i], err = leading(text); err != nil {
			return slabCache{}, false, fmt.Errorf("%s/%s: %w", dir, name, err)
		}
	}
	if figures[0] != 0 {
		return slabCache{}, false, nil
	}
	c := slabCache{shrink: -1, objects: -1, bytes: figures[1]}
	for _, f := range []struct {
		name string
		mode int
		fd   *int
	}{{"shrink", unix.O_WRONLY, &c.shrink}, {"objects", unix.O_RDONLY, &c.objects}} {
		path := k.path(dir + "/" + f.name)
		if *f.fd, err = unix.Open(path, f.mode|unix.O_CLOEXEC, 0); err != nil {
			return slabCache{}, false, errors.Join(&os.PathError{Op: "open", Path: path, Err: err}, c.close())
		}
	}
	return c, true, nil
}

// Count counts the objects of each cache.
func (s *Slabs) Count() ([]SlabCount, error) {
	var list []SlabCount
	b := make([]byte, 256)
	for _, c := range s.caches {
		if _, err := unix.Pwrite(c.shrink, []byte("1"), 0); err != nil {
			return nil, fmt.Errorf("shrink slab cache %s: %w", c.name, err)
		}
		n, err := unix.Pread(c.objects, b, 0)
		if err != nil {
			return nil, fmt.Errorf("count the objects of slab cache %s: %w", c.name, err)
		}
		objects, err := leading(string(b[:n]))
		if err != nil {
			return nil, fmt.Errorf("count the objects of slab cache %s: %w", c.name, err)
		}
		list = append(list, SlabCount{c.name, objects, c.bytes})
	}
	return list, nil
}

// leading is the number with which a text begins; those of each node may follow.
func leading(text string) (int64, error) {
	f := strings.Fields(text)
	if len(f) == 0 {
		return 0, lineError(text)
	}
	v, err := strconv.ParseUint(f[0], 10, 62)
	if err != nil {
		return 0, lineError(text)
	}
	return int64(v), nil
}

// Close closes the files.
func (s *Slabs) Close() error {
	var err error
	for _, c := range s.caches {
		err = errors.Join(err, c.close())
	}
	s.caches = nil
	return err
}

func (c slabCache) close() error {
	var err error
	for _, fd := range []int{c.shrink, c.objects} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}
