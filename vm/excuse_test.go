// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"testing"
	"time"

	"packtest/vm/console"
)

// stretch is a part of a boot in which the host takes a share of the time.
type stretch struct {
	from, to int // seconds
	share    float64
}

// fourMinutes is the history of a boot.
func fourMinutes(taken ...stretch) history {
	var h history
	var now lapse
	for now.wall < 4*time.Minute {
		share := 0.0
		for _, s := range taken {
			if now.wall >= time.Duration(s.from)*time.Second && now.wall < time.Duration(s.to)*time.Second {
				share = s.share
			}
		}
		now.wall += lookEvery
		now.guest += time.Duration((1 - share) * float64(lookEvery))
		h.add(now)
	}
	return h
}

// A stall is the kernel's, unless the host made it.
func TestExcuse(t *testing.T) {
	leap := history{{guest: 59 * time.Second, wall: 59 * time.Second}, {guest: 60 * time.Second, wall: 90 * time.Second}}
	for _, tc := range []struct {
		name    string
		past    history
		kind    console.Kind
		at      time.Duration
		excused bool
	}{
		{"an idle host", fourMinutes(), console.RCUStall, 90 * time.Second, false},
		{"two guests to a processor", fourMinutes(stretch{0, 240, 0.5}), console.RCUStall, 90 * time.Second, false},
		{"three guests to a processor", fourMinutes(stretch{0, 240, 0.67}), console.SoftLockup, 90 * time.Second, false},
		{"nearly no processor", fourMinutes(stretch{60, 90, 0.95}), console.SoftLockup, 90 * time.Second, true},
		{"stopped once", fourMinutes(stretch{60, 90, 1}), console.RCUStall, 90*time.Second + 300*time.Millisecond, true},
		{"all stood still", leap, console.RCUStall, 90 * time.Second, true},
		{"all stood still, and it was read before we looked", leap, console.RCUStall, 90*time.Second - time.Millisecond, true},
		{"noticed late", fourMinutes(stretch{60, 90, 1}), console.RCUStall, 94 * time.Second, true},
		{"long after", fourMinutes(stretch{60, 90, 1}), console.RCUStall, 120 * time.Second, false},
		{"before", fourMinutes(stretch{60, 90, 1}), console.RCUStall, 59 * time.Second, false},
		{"not stopped for so long", fourMinutes(stretch{60, 72, 1}), console.RCUStall, 72 * time.Second, false},
		{"not for a hung task", fourMinutes(stretch{60, 90, 1}), console.HungTask, 90 * time.Second, false},
		{"long enough for a hung task", fourMinutes(stretch{60, 180, 1}), console.HungTask, 181 * time.Second, true},
		{"no matter of time", fourMinutes(stretch{60, 90, 1}), console.Warning, 90 * time.Second, false},
		{"early", fourMinutes(stretch{0, 1, 1}), console.HardLockup, time.Second, false},
		{"never looked", nil, console.RCUStall, 90 * time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			events := []console.Event{{Kind: console.UBSAN}, {Kind: tc.kind, Title: "stuck", At: tc.at}}
			rest, excused := excuse(events, tc.past)
			if got := len(excused) == 1; got != tc.excused || len(rest)+len(excused) != 2 || rest[0].Kind != console.UBSAN {
				t.Errorf("excused %q, kept %v", excused, rest)
			}
		})
	}
}

// What was excused is told, whatever the ending; a good one it spoils.
func TestWithExcuses(t *testing.T) {
	_, excused := excuse([]console.Event{{Kind: console.RCUStall, Title: "stuck", At: 90 * time.Second}}, fourMinutes(stretch{60, 90, 1}))
	const said = "not held against the kernel: stuck (at 1m30s; of the 24s before, the host took 24s)"
	for _, tc := range []struct {
		ending  Ending
		detail  string
		excused []string
		want    Ending
		said    string
	}{
		{Done, "", nil, Done, ""},
		{Done, "", excused, HostBusy, said},
		{Timeout, "not done", append(excused, "x", "y"), Timeout, "not done; " + said + " and 2 more"},
		{Timeout, "", excused, Timeout, said},
		{Panic, "oops", nil, Panic, "oops"},
	} {
		if e, detail := withExcuses(tc.ending, tc.detail, tc.excused); e != tc.want || detail != tc.said {
			t.Errorf("%s: %s", e, detail)
		}
	}
}

// A week's history is small, and says when time was lost to a second.
func TestHistory(t *testing.T) {
	h := fourMinutes(stretch{60, 90, 1})
	if len(h) > 1500 || h[len(h)-1].wall < 4*time.Minute {
		t.Errorf("%d points to %v", len(h), h[len(h)-1].wall)
	}
	for at, want := range map[time.Duration]time.Duration{-time.Second: 0, 0: 0, 50 * time.Second: 0, 75 * time.Second: 15 * time.Second,
		90 * time.Second: 30 * time.Second, time.Hour: 30 * time.Second} {
		if got := h.lost(at); (got - want).Abs() > time.Second {
			t.Errorf("until %v: %v, want %v", at, got, want)
		}
	}
}

// A look adds to the history.
func TestPatienceRemembers(t *testing.T) {
	f := &fakeProc{t: t, dir: t.TempDir(), state: "S"}
	f.write()
	now := time.Unix(1e9, 0)
	p := newPatience(f.dir, 7, now)
	for i := range 50 {
		if i == 20 {
			f.state = "T"
			f.write()
		}
		now = now.Add(lookEvery)
		p.look(now)
	}
	if got := p.past.lost(2 * time.Second); got > lookEvery {
		t.Errorf("%v lost before it was stopped", got)
	}
	if got := p.past.lost(5 * time.Second); got != 3*time.Second {
		t.Errorf("%v lost in all, want 3s", got)
	}
}
