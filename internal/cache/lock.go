// SPDX-License-Identifier: GPL-2.0-or-later

package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"packtest/internal/fault"
)

// Lock takes the exclusive lock called name, waiting until ctx is done. While
// it waits it calls waiting once with a description of the holder (may be
// nil). The kernel drops the lock when the process dies, whatever killed it.
func (c *Cache) Lock(ctx context.Context, name string, waiting func(holder string)) (unlock func(), err error) {
	return c.lock(ctx, name, unix.LOCK_EX, waiting)
}

// Use marks the cache as in use until the returned function is called; any
// number of users may hold it, and GC runs only when none does.
func (c *Cache) Use(ctx context.Context, waiting func(holder string)) (done func(), err error) {
	return c.lock(ctx, "in-use", unix.LOCK_SH, waiting)
}

// lockPollInterval is how often a waiter tries again: flock can't be waited
// for together with a context.
const lockPollInterval = 100 * time.Millisecond

func (c *Cache) lock(ctx context.Context, name string, how int, waiting func(string)) (func(), error) {
	path := filepath.Join(c.root, "locks", lockFileName(name))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if waiting != nil {
			waiting(holder(f))
			waiting = nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for the lock %s, held by %s: %w", name, holder(f), context.Cause(ctx))
		case <-time.After(lockPollInterval):
		}
	}
	if how == unix.LOCK_EX {
		// Only a help for whoever waits: the lock itself is the flock.
		if err := f.Truncate(0); err == nil {
			_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
		}
	}
	return func() { f.Close() }, nil
}

// holder describes the process that last took the exclusive lock.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || convErr != nil {
		return "another packtest"
	}
	return fmt.Sprintf("another packtest (process %d)", pid)
}

// ErrInUse says that the cache could not be cleaned because something uses it.
var ErrInUse = &fault.Error{Kind: fault.Harness, Err: errors.New("the cache is in use"), Hint: "wait for the other packtest to end, then try again"}

// Exclusive takes the whole cache for cleaning, or returns ErrInUse at once.
func (c *Cache) Exclusive() (done func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.root, "locks", "in-use"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	return func() { f.Close() }, nil
}
