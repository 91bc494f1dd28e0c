// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packtest/vm/console"
)

// fakeProc is a /proc with one QEMU of two threads.
type fakeProc struct {
	t      *testing.T
	dir    string
	waited [2]time.Duration
	state  string
	stolen int
}

func (f *fakeProc) write() {
	f.t.Helper()
	for i, w := range f.waited {
		dir := filepath.Join(f.dir, "7", "task", fmt.Sprint(7+i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			f.t.Fatal(err)
		}
		f.file(filepath.Join(dir, "schedstat"), fmt.Sprintf("1 %d 1\n", w.Nanoseconds()))
	}
	f.file(filepath.Join(f.dir, "7", "stat"), "7 (qemu (x) S) "+f.state+" 1 7\n")
	f.file(filepath.Join(f.dir, "stat"), fmt.Sprintf("cpu  1 2 3 4 5 6 7 %d 0 0\ncpu0 1\n", f.stolen))
}

func (f *fakeProc) file(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// Only time in which the guest could have run counts.
func TestPatience(t *testing.T) {
	for _, tc := range []struct {
		name  string
		every time.Duration // between two looks, of ten
		each  func(f *fakeProc)
		want  time.Duration
	}{
		{"an idle host", lookEvery, func(f *fakeProc) {}, 10 * lookEvery},
		{"every processor is busy half of the time", lookEvery, func(f *fakeProc) { f.waited[1] += lookEvery / 2 }, 5 * lookEvery},
		{"no processor at all", lookEvery, func(f *fakeProc) { f.waited[0] += 2 * lookEvery }, 0},
		{"stopped", lookEvery, func(f *fakeProc) { f.state = "T" }, 0},
		{"we were stopped", time.Minute, func(f *fakeProc) {}, 10 * lookLate},
		{"we were late, as others were", 3 * lookLate, func(f *fakeProc) { f.waited[0] += 5 * lookLate / 2 }, 10 * lookLate / 2},
		{"the clock jumps back", -time.Hour, func(f *fakeProc) {}, 0},
		{"all processors stolen", 10 * time.Millisecond, func(f *fakeProc) { f.stolen += 1000 }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &fakeProc{t: t, dir: t.TempDir(), state: "S"}
			f.write()
			now := time.Unix(1e9, 0)
			p := newPatience(f.dir, 7, now)
			for range 10 {
				now = now.Add(tc.every)
				tc.each(f)
				f.write()
				p.look(now)
			}
			if p.now.guest != tc.want {
				t.Errorf("the guest had %v, want %v", p.now.guest, tc.want)
			}
		})
	}
}

// A thread that waits for a processor is charged for it when it gets one.
func TestPatienceTakesBack(t *testing.T) {
	f := &fakeProc{t: t, dir: t.TempDir(), state: "S"}
	f.write()
	now := time.Unix(1e9, 0)
	p := newPatience(f.dir, 7, now)
	look := func(n int) {
		for range n {
			now = now.Add(lookEvery)
			p.look(now)
		}
	}
	wait := func(d time.Duration) {
		f.waited[1] += d
		f.write()
		look(1)
	}
	look(100) // 10 s of its own
	look(249) // 24.9 s that look the same
	if wait(25 * time.Second); p.now.guest != 10*time.Second {
		t.Errorf("the guest had %v, want 10s", p.now.guest)
	}
	look(50)
	if p.now.guest != 15*time.Second {
		t.Errorf("and then %v, want 15s", p.now.guest)
	}
	// It is known when that was.
	for at, want := range map[time.Duration]time.Duration{10 * time.Second: 0, 20 * time.Second: 10 * time.Second, 35 * time.Second: 25 * time.Second, 40 * time.Second: 25 * time.Second} {
		if got := p.past.lost(at); (got - want).Abs() > lookEvery {
			t.Errorf("%v lost after %v, want %v", got, at, want)
		}
	}
	if _, excused := excuse([]console.Event{{Kind: console.SoftLockup, At: 35 * time.Second}}, p.past); len(excused) != 1 {
		t.Error("the kernel is blamed for what came of it")
	}
	// Six times as many threads as before it comes to its turn.
	before := p.now
	for range 100 {
		look(5)
		wait(590 * time.Millisecond)
	}
	if got := p.now.since(before); got.guest > got.wall/20 {
		t.Errorf("the guest is said to have had %v of %v", got.guest, got.wall)
	}
	// More than there ever was.
	if wait(time.Hour); p.now.guest != 0 {
		t.Errorf("the guest had %v", p.now.guest)
	}
}

// A host that tells nothing denies nothing.
func TestPatienceWithoutProc(t *testing.T) {
	start := time.Unix(1e9, 0)
	p := newPatience(t.TempDir(), 7, start)
	p.look(start.Add(lookEvery))
	if p.now.guest != lookEvery {
		t.Errorf("the guest had %v", p.now.guest)
	}
}

func TestLimits(t *testing.T) {
	for _, tc := range []struct {
		guest, wall   time.Duration
		over, starved bool
	}{
		{9 * time.Second, 9 * time.Second, false, false},
		{10 * time.Second, 10 * time.Second, true, false},
		{10 * time.Second, time.Hour, true, false},
		{9 * time.Second, 100*time.Second - 1, false, false},
		{9 * time.Second, 100 * time.Second, true, true},
	} {
		over, starved := lapse{tc.guest, tc.wall}.over(10*time.Second, 10)
		if over != tc.over || starved != tc.starved {
			t.Errorf("%v of %v: %v, %v", tc.guest, tc.wall, over, starved)
		}
	}
	if s := (lapse{time.Second, 3 * time.Second}).denied(); !strings.Contains(s, "2s in which the host") {
		t.Errorf("%q", s)
	}
	if s := (lapse{time.Second, time.Second}).denied(); s != "" {
		t.Errorf("%q", s)
	}
}
