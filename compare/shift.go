// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"math"
	"slices"
)

// confidence is the level of the interval around a shift. It is of one metric
// alone, without a correction for there being several.
const confidence = 0.95

// hodgesLehmann returns the median of all differences between a head value and
// a base value, by which the one side is estimated to be shifted against the
// other (Hodges and Lehmann, 1963), and the interval of shifts that the
// Mann-Whitney U test would not reject; ok is false if there are too few values
// for one.
func hodgesLehmann(base, head []float64) (shift, low, high float64, ok bool) {
	diffs := make([]float64, 0, len(base)*len(head))
	for _, b := range base {
		for _, h := range head {
			diffs = append(diffs, h-b)
		}
	}
	slices.Sort(diffs)
	shift, _ = Median(diffs)
	k := criticalU(len(base), len(head), 1-confidence)
	if k < 1 {
		return shift, 0, 0, false
	}
	return shift, diffs[k-1], diffs[len(diffs)-k], true
}

// manyPairs is where the normal approximation takes over from counting.
const manyPairs = 2500

// criticalU returns the largest U at which the two-sided U test of n and m
// values rejects at level a, plus one: the rank, from 1, of the interval's lower
// end among the sorted differences. It is -1 if no U does.
func criticalU(n, m int, a float64) int {
	if n*m > manyPairs {
		sd := math.Sqrt(float64(n) * float64(m) * float64(n+m+1) / 12)
		return max(0, int(float64(n*m)/2+normalQuantile(a/2)*sd))
	}
	u, below := -1, 0.0
	for i, ways := range countsOfU(n, m) {
		if below += ways; below > a/2 {
			break
		}
		u = i
	}
	if u < 0 {
		return -1
	}
	return u + 1
}

// countsOfU returns the probability of each U, 0 to n*m, if nothing differs: the
// coefficients of the Gaussian binomial of n+m over n, divided by their sum.
func countsOfU(n, m int) []float64 {
	p := make([]float64, n*m+1)
	p[0] = 1
	for i := 1; i <= n; i++ {
		for j := len(p) - 1; j >= m+i; j-- { // times 1 - x^(m+i)
			p[j] -= p[j-m-i]
		}
		for j := i; j < len(p); j++ { // divided by 1 - x^i
			p[j] += p[j-i]
		}
	}
	var sum float64
	for _, x := range p {
		sum += x
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// power is the chance that wouldDo's number of values shows a difference of the
// size seen.
const power = 0.8

// wouldDo returns about how many values a side it takes to show at level a that
// two sides of the given Cliff's delta differ, by Noether's formula (1987), and
// no fewer than it takes at all; 0 if the delta is nothing to go by.
func wouldDo(delta, a float64) int {
	least := enoughFor(a)
	if math.Abs(delta) == 1 {
		return least
	}
	if delta == 0 {
		return 0
	}
	z := normalQuantile(1-a/2) + normalQuantile(power)
	// Of n+n values: z^2 / (3 * (P - 1/2)^2), and P - 1/2 is delta/2.
	total := z * z / (3 * delta * delta / 4)
	if total > 1e6 {
		return 0
	}
	return max(least, int(math.Ceil(total/2)))
}

func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
