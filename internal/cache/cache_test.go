// SPDX-License-Identifier: GPL-2.0-or-later

package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T) *Cache {
	t.Helper()
	c, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fill(name, data string) func(string) error {
	return func(dir string) error {
		return os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644)
	}
}

func TestPutGet(t *testing.T) {
	c := open(t)
	if _, err := c.Get("k", "1"); !errors.Is(err, ErrMiss) {
		t.Fatalf("Get before Put: %v", err)
	}
	if _, err := c.Put("k", "1", fill("f", "hello")); err != nil {
		t.Fatal(err)
	}
	// The second maker finds the first one's entry and keeps it.
	if _, err := c.Put("k", "1", fill("f", "hello")); err != nil {
		t.Fatal(err)
	}
	e, err := c.Get("k", "1")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(e.Path("f")); string(b) != "hello" {
		t.Errorf("f = %q", b)
	}
}

func TestPutFailureLeavesNothing(t *testing.T) {
	c := open(t)
	boom := errors.New("boom")
	if _, err := c.Put("k", "1", func(string) error { return boom }); !errors.Is(err, boom) {
		t.Fatalf("err = %v", err)
	}
	left, _ := os.ReadDir(filepath.Join(c.Root(), "entries", "k"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCorruptEntryIsNamedAndRemoved(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		harm       func(e *Entry) error
	}{
		{"changed", "f has changed", func(e *Entry) error { return os.WriteFile(e.Path("f"), []byte("hellO"), 0o644) }},
		{"truncated", "f has changed", func(e *Entry) error { return os.Truncate(e.Path("f"), 1) }},
		{"missing", "f is missing", func(e *Entry) error { return os.Remove(e.Path("f")) }},
		{"no manifest", "no manifest", func(e *Entry) error { return os.Remove(e.Path(manifestName)) }},
		{"one bit", "f has changed", func(e *Entry) error { return os.WriteFile(e.Path("f"), []byte("iello"), 0o644) }},
		{"another entry's place", "it is the entry k/2", func(e *Entry) error {
			return errors.Join(os.RemoveAll(e.Dir), os.Rename(filepath.Join(filepath.Dir(e.Dir), "2"), e.Dir))
		}},
		{"another entry's file", "f has changed", func(e *Entry) error {
			return os.Rename(filepath.Join(filepath.Dir(e.Dir), "2", "f"), e.Path("f"))
		}},
		{"a file too many", "g was not put there", func(e *Entry) error { return os.WriteFile(e.Path("g"), nil, 0o644) }},
		{"a file that the manifest forgot", "f was not put there", func(e *Entry) error {
			return os.WriteFile(e.Path(manifestName), []byte(`{"files":{}}`), 0o644)
		}},
		{"bad manifest", "manifest can't be read", func(e *Entry) error { return os.WriteFile(e.Path(manifestName), []byte("{"), 0o644) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := open(t)
			e, err := c.Put("k", "1", fill("f", "hello"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Put("k", "2", fill("f", "other")); err != nil {
				t.Fatal(err)
			}
			if err := tc.harm(e); err != nil {
				t.Fatal(err)
			}
			_, err = c.Get("k", "1")
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("err = %v, want %q", err, tc.want)
			}
			if _, err := c.Get("k", "1"); !errors.Is(err, ErrMiss) {
				t.Errorf("after a corrupt Get: %v", err)
			}
		})
	}
}

func TestLockExcludesAndNamesTheHolder(t *testing.T) {
	c := open(t)
	unlock, err := c.Lock(t.Context(), "trees/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	told := ""
	if _, err := c.Lock(ctx, "trees/x", func(h string) { told = h }); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("second lock: %v", err)
	}
	if !strings.Contains(told, "process") {
		t.Errorf("holder = %q", told)
	}
	unlock()
	again, err := c.Lock(t.Context(), "trees/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestExclusiveOnlyWhenUnused(t *testing.T) {
	c := open(t)
	a, err := c.Use(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Use(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	a()
	if _, err := c.Exclusive(); !errors.Is(err, ErrInUse) {
		t.Fatalf("with a user left: %v", err)
	}
	b()
	done, err := c.Exclusive()
	if err != nil {
		t.Fatal(err)
	}
	done()
}

func TestItems(t *testing.T) {
	c := open(t)
	if _, err := c.Put("kernel", "1", fill("f", strings.Repeat("x", 10000))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tree("build/a"); err != nil {
		t.Fatal(err)
	}
	items, err := c.Items()
	if err != nil {
		t.Fatal(err)
	}
	if len(items) != 2 || items[0].Name != "entries/kernel/1" || items[1].Name != "trees/build/a" {
		t.Fatalf("items = %+v", items)
	}
	if items[0].Bytes < 10000 {
		t.Errorf("entry takes %d bytes", items[0].Bytes)
	}
	if err := c.RemoveItem(items[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get("kernel", "1"); !errors.Is(err, ErrMiss) {
		t.Errorf("after RemoveItem: %v", err)
	}
}

func TestKeyKeepsPartsApart(t *testing.T) {
	if Key("ab", "c") == Key("a", "bc") {
		t.Error("two different lists of parts have one key")
	}
}
