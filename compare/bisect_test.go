// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"math"
	"math/rand/v2"
	"testing"
)

// hunt carries out one search: looks at kernels of which those from culprit on
// show the fault with the given chance, until one group of patches is as likely
// as confidence asks. It returns the group, the number of looks and how many
// kernels were built.
func hunt(r *rand.Rand, s *Search, patches, culprit int, shows, false_ float64, broken func(int) bool, confidence float64, most int) (g Suspects, looks, kernels int) {
	built := map[int]bool{0: true, patches: true}
	look := func(step int) bool {
		looks++
		chance := false_
		if step >= culprit {
			chance = shows
		}
		if r.Float64() < chance {
			s.Bad(step)
			return true
		}
		s.Good(step)
		return false
	}
	for looks < most && !look(patches) {
	}
	for looks < most {
		if g = s.Best(); g.P >= confidence {
			break
		}
		step, ok := s.Next(func(step int) float64 {
			if built[step] {
				return 1
			}
			return 4
		})
		if !ok {
			break
		}
		if broken(step) {
			s.Blind(step)
			continue
		}
		built[step] = true
		look(step)
	}
	return s.Best(), looks, len(built)
}

func none(int) bool { return false }

// Over many seeds, numbers of patches and chances that the fault shows itself,
// no more answers are wrong than the confidence allows, and none takes long.
func TestSearchIsAsSureAsItSays(t *testing.T) {
	const confidence, rounds = 0.95, 1000
	for _, tc := range []struct {
		shows float64
		looks float64 // a search of up to 20 patches takes no more on average
	}{{1, 12}, {0.7, 25}, {0.5, 35}, {0.25, 75}} {
		r := rand.New(rand.NewPCG(uint64(tc.shows*100), 2026))
		wrong, open, total, said := 0, 0, 0, 0.0
		for range rounds {
			n := 1 + r.IntN(20)
			culprit := 1 + r.IntN(n)
			g, looks, _ := hunt(r, NewSearch(n, Seen()), n, culprit, tc.shows, 0, none, confidence, 400)
			total += looks
			said += g.P
			switch {
			case g.P < confidence:
				open++
			case g.From != culprit || g.To != culprit:
				wrong++
			}
		}
		t.Logf("shows %.2f: %d of %d wrong, %d open, %.1f looks, mean confidence %.3f", tc.shows, wrong, rounds, open, float64(total)/rounds, said/rounds)
		if float64(wrong) > 1.2*(1-confidence)*rounds || open > rounds/100 || float64(total)/rounds > tc.looks {
			t.Errorf("shows %.2f: %d of %d wrong, %d open, %.1f looks on average", tc.shows, wrong, rounds, open, float64(total)/rounds)
		}
	}
}

// A fault that always shows needs no more kernels than a bisection, and an exact
// metric no more looks.
func TestSearchBuildsNoMoreThanItMust(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 2026))
	for _, tc := range []struct {
		sign  Sign
		looks int // with the end's and the base's
	}{{Seen(), 18}, {Counted(), 8}} {
		for culprit := 1; culprit <= 16; culprit++ {
			g, looks, kernels := hunt(r, NewSearch(16, tc.sign), 16, culprit, 1, 0, none, 0.95, 100)
			if g.From != culprit || g.To != culprit || kernels > 2+5 || looks > tc.looks {
				t.Errorf("%+v, culprit %d: %+v after %d looks at %d kernels", tc.sign, culprit, g, looks, kernels)
			}
		}
	}
}

// What is noisy on both sides is told, too.
func TestSearchWithFalseAlarms(t *testing.T) {
	const rounds = 500
	r := rand.New(rand.NewPCG(3, 2026))
	wrong := 0
	for range rounds {
		n := 1 + r.IntN(12)
		culprit := 1 + r.IntN(n)
		g, _, _ := hunt(r, NewSearch(n, Timed()), n, culprit, 0.8, alpha, none, 0.95, 400)
		if g.From != culprit || g.To != culprit {
			wrong++
		}
	}
	if float64(wrong) > 1.2*0.05*rounds {
		t.Errorf("%d of %d wrong", wrong, rounds)
	}
	t.Logf("%d of %d wrong", wrong, rounds)
}

// Kernels that can't be looked at leave a range, of which the culprit is one.
func TestSearchAroundBrokenKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2026))
	for _, tc := range []struct {
		culprit, from, to int
		broken            []int
	}{
		{5, 5, 5, []int{2, 8}},
		{5, 4, 6, []int{4, 5}},
		{4, 4, 6, []int{4, 5}},
		{7, 7, 7, []int{4, 5}},
		{1, 1, 10, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{10, 9, 10, []int{9}},
	} {
		broken := func(step int) bool {
			for _, b := range tc.broken {
				if b == step {
					return true
				}
			}
			return false
		}
		g, _, _ := hunt(r, NewSearch(10, Seen()), 10, tc.culprit, 1, 0, broken, 0.95, 200)
		if g.From != tc.from || g.To != tc.to || g.P < 0.95 {
			t.Errorf("culprit %d, broken %v: %+v", tc.culprit, tc.broken, g)
		}
	}
}

// A fault that the base has is not put on a patch, and patches that change
// nothing are not blamed.
func TestSearchAcquits(t *testing.T) {
	s := NewSearch(4, Seen())
	s.Bad(4)
	s.Bad(0)
	if g := s.Best(); g != (Suspects{0, 0, 1}) {
		t.Errorf("a fault of the base: %+v", g)
	}
	if _, ok := s.Next(func(int) float64 { return 1 }); ok {
		t.Error("there is still something to look at")
	}

	s = NewSearch(4, Counted())
	s.Bad(4)
	s.Good(0)
	s.Same(1, 3)
	if p := s.odds(); p[2] != 0 || p[3] != 0 || p[1] != p[4] {
		t.Errorf("patches 2 and 3 change nothing: %v", p)
	}
	s.Good(3)
	if g := s.Best(); g.From != 4 || g.P < 0.95 {
		t.Errorf("patch 4 is left: %+v", g)
	}
	s = NewSearch(2, Seen())
	s.Bad(2)
	s.Same(0, 2)
	if g := s.Best(); g.To != 0 {
		t.Errorf("the same binary from end to end: %+v", g)
	}
	if g := s.Narrow(Suspects{1, 2, 1}); g.From != 2 || g.To != 2 {
		t.Errorf("narrowed to %+v", g)
	}
}

// What is left is a stretch, and the shortest one.
func TestSearchSpan(t *testing.T) {
	s := NewSearch(8, Counted())
	s.Bad(8)
	if g := s.Span(0.95); g.From != 0 || g.To != 8 || math.Abs(g.P-1) > 1e-9 {
		t.Errorf("at first it is %+v", g)
	}
	s.Good(3)
	s.Bad(6)
	if g := s.Span(0.95); g.From != 4 || g.To != 6 || g.P < 0.95 {
		t.Errorf("between a good step and a bad one it is %+v", g)
	}
	s.Same(3, 4)
	if g := s.Span(0.95); g.From != 5 || g.To != 6 {
		t.Errorf("without a patch that changes nothing it is %+v", g)
	}
}

// The odds add up to 1 and follow Bayes' rule, by hand.
func TestSearchOdds(t *testing.T) {
	s := NewSearch(2, Seen())
	s.Bad(2)
	s.Good(1)
	// Culprit 2: one bad look, B(1.5, 0.5); 1 and 0: a good one as well, B(1.5, 1.5).
	// Their ratio is the chance of a miss after one hit: 0.5/2.
	want := []float64{0.25 / 1.5, 0.25 / 1.5, 1 / 1.5}
	for k, p := range s.odds() {
		if math.Abs(p-want[k]) > 1e-12 {
			t.Errorf("odds %v, want %v", s.odds(), want)
			break
		}
	}
}
