// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"math"
	"math/rand/v2"
	"slices"
)

// split is a place at which a sequence falls in two, and how likely one as clear
// would be by chance.
type split struct {
	at int
	p  float64
}

// stepAlpha is the chance of finding any step in a sequence that has none.
const stepAlpha = 0.01

// shuffles is how many random orders a step is held against.
const shuffles = 499

// shortest is the least number of values on either side of a step: a slow night
// is no trend.
const shortest = 3

// changePoints finds where a noisy sequence changes its level by more than a
// tolerance, a fraction of the level before.
//
// At each place the mean of the values before is held against that of those
// after, in units of its standard deviation there; what is far off, as a slow
// night is, counts as no further than the fence. Whether the largest difference
// is large is found by shuffling the values (Antoch and Huskova, "Permutation
// tests in change point analysis", Statistics & Probability Letters 53, 2001),
// and both halves are then searched in turn, as in E-divisive (Matteson and
// James, Journal of the American Statistical Association 109, 2014). The
// shuffles have a fixed seed: equal values give equal answers.
func changePoints(values []float64, tolerance float64) []split {
	var found []split
	var search func(lo, hi int)
	search = func(lo, hi int) {
		at, p, ok := clearest(values[lo:hi])
		if !ok || p > stepAlpha {
			return
		}
		search(lo, lo+at)
		found = append(found, split{lo + at, p})
		search(lo+at, hi)
	}
	search(0, len(values))
	// What is real and small is not shown. The smallest goes first, since its
	// going changes the levels beside it.
	for len(found) > 0 {
		least, size := 0, math.Inf(1)
		for i := range found {
			if s := stepSize(values, found, i); s < size {
				least, size = i, s
			}
		}
		if size > tolerance {
			break
		}
		found = slices.Delete(found, least, least+1)
	}
	return found
}

// stepSize returns how far apart the levels beside the step i are, as a fraction
// of the one before.
func stepSize(values []float64, at []split, i int) float64 {
	from, to := 0, len(values)
	if i > 0 {
		from = at[i-1].at
	}
	if i+1 < len(at) {
		to = at[i+1].at
	}
	before, _ := Median(values[from:at[i].at])
	after, _ := Median(values[at[i].at:to])
	switch {
	case before == after:
		return 0
	case before == 0:
		return math.Inf(1)
	}
	return math.Abs(after/before - 1)
}

// clearest returns the place at which values most clearly fall in two, and the
// share of random orders in which one is as clear.
func clearest(values []float64) (at int, p float64, ok bool) {
	n := len(values)
	if n < 2*shortest {
		return 0, 1, false
	}
	scores := fenced(values)
	at, best := furthest(scores)
	if best == 0 {
		return 0, 1, false
	}
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	asClear := 1
	for range shuffles {
		rng.Shuffle(n, func(i, j int) { scores[i], scores[j] = scores[j], scores[i] })
		if _, z := furthest(scores); z >= best*(1-1e-9) {
			asClear++
		}
		if float64(asClear) > stepAlpha*float64(shuffles+1) {
			return at, 1, true // no more shuffles make that unlikely
		}
	}
	return at, float64(asClear) / float64(shuffles+1), true
}

// furthest returns where the means before and after are furthest apart, and how
// far, in units that are the same everywhere. Scores must add up to 0.
func furthest(scores []float64) (at int, best float64) {
	n := float64(len(scores))
	sum := 0.0
	for i := 1; i <= len(scores)-shortest; i++ {
		sum += scores[i-1]
		if i < shortest {
			continue
		}
		k := float64(i)
		if z := math.Abs(sum) / math.Sqrt(k*(n-k)); z > best {
			at, best = i, z
		}
	}
	return at, best
}

// fence is how many standard deviations from the median a value counts at most.
const fence = 2

// fenced returns the values less their mean, none further from the median than
// the fence. The deviation is told from the median one, which for normal values
// is 0.6745 of the standard deviation (Hampel, Journal of the American
// Statistical Association 69, 1974); where most values are equal there is no
// fence.
func fenced(values []float64) []float64 {
	mid, _ := Median(values)
	off := make([]float64, len(values))
	for i, v := range values {
		off[i] = math.Abs(v - mid)
	}
	mad, _ := Median(off)
	scores := make([]float64, len(values))
	mean := 0.0
	for i, v := range values {
		d := v - mid
		if mad > 0 {
			d = max(-fence*mad/0.6745, min(fence*mad/0.6745, d))
		}
		scores[i] = d
		mean += d / float64(len(values))
	}
	for i := range scores {
		scores[i] -= mean
	}
	return scores
}

// exactSteps finds where an exact figure becomes another: every value that is
// further from the first of its stretch than the rule allows to either side
// begins a new one.
func exactSteps(values []float64, share, slack float64) []split {
	var list []split
	for i, from := 1, 0; i < len(values); i++ {
		if math.Abs(values[i]-values[from]) > max(slack, share*math.Abs(values[from])) {
			list = append(list, split{at: i})
			from = i
		}
	}
	return list
}
