// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Published critical values of U, two-sided at 5 % (Mann and Whitney's table, as
// every textbook reprints it): U up to them rejects.
func TestCriticalU(t *testing.T) {
	for nm, want := range map[[2]int]int{
		{3, 3}: -1, {4, 4}: 0, {3, 5}: 0, {5, 5}: 2, {5, 8}: 6, {6, 6}: 5, {8, 8}: 13, {10, 10}: 23, {7, 12}: 18, {20, 20}: 127,
	} {
		got := criticalU(nm[0], nm[1], 0.05)
		if want >= 0 {
			want++
		}
		if got != want {
			t.Errorf("criticalU(%d, %d) = %d, want %d", nm[0], nm[1], got, want)
		}
	}
	// Counting and the approximation meet.
	n := 50
	if exact, approx := criticalU(n, n, 0.05), int(float64(n*n)/2+normalQuantile(0.025)*math.Sqrt(float64(n*n*(2*n+1))/12)); exact-approx > 2 || approx-exact > 2 {
		t.Errorf("counted %d, approximated %d", exact, approx)
	}
}

func TestHodgesLehmann(t *testing.T) {
	shift, low, high, ok := hodgesLehmann([]float64{1, 2, 3, 4}, []float64{11, 12, 13, 14})
	if shift != 10 || !ok || low != 7 || high != 13 {
		t.Errorf("shift %g, %g to %g, %v; want 10, 7 to 13", shift, low, high, ok)
	}
	if _, _, _, ok := hodgesLehmann([]float64{1, 2, 3}, []float64{11, 12, 13}); ok {
		t.Error("an interval from three values a side")
	}
}

// The interval holds the true shift as often as it says.
func TestShiftCoverage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const rounds, truth = 2000, 0.7
	held := 0
	for range rounds {
		var base, head []float64
		for range 7 {
			base = append(base, r.NormFloat64())
			head = append(head, r.NormFloat64()+truth)
		}
		if _, low, high, _ := hodgesLehmann(base, head); low <= truth && truth <= high {
			held++
		}
	}
	if share := float64(held) / rounds; share < 0.945 || share > 0.985 {
		t.Errorf("the interval held the shift %.1f %% of the time", share*100)
	}
}

// As many values as wouldDo says show the difference about as often as it says.
func TestWouldDo(t *testing.T) {
	if got := wouldDo(0, 0.05); got != 0 {
		t.Errorf("no effect: %d", got)
	}
	if got := wouldDo(1, 0.05); got != 4 {
		t.Errorf("wholly apart: %d", got)
	}
	r := rand.New(rand.NewPCG(3, 4))
	const shift = 1.2
	// Cliff's delta of two normal distributions that far apart.
	delta := math.Erf(shift / 2)
	n := wouldDo(delta, 0.05)
	told := 0
	const rounds = 500
	for range rounds {
		var base, head []float64
		for range n {
			base = append(base, r.NormFloat64())
			head = append(head, r.NormFloat64()+shift)
		}
		if uTest(base, head) <= 0.05 {
			told++
		}
	}
	if share := float64(told) / rounds; share < 0.7 || share > 0.92 {
		t.Errorf("%d values a side told %.0f %% of the time, want about 80 %%", n, share*100)
	}
}
