// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
		{9 * time.Second, starvedAfter*10*time.Second - 1, false, false},
		{9 * time.Second, starvedAfter * 10 * time.Second, true, true},
	} {
		over, starved := lapse{tc.guest, tc.wall}.over(10 * time.Second)
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
