// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"math"
	"slices"

	"packtest/results"
)

// Sign is how surely a look at one kernel shows what a bisection is after.
type Sign struct {
	// Often and Seldom are a beta distribution's parameters: what is believed,
	// before anything was seen, of the chance that a look at a kernel that has
	// the fault shows it.
	Often, Seldom float64
	// False is the chance that a look at a kernel without the fault shows it all
	// the same: 0 for what is never seen by mistake.
	False float64
}

// Seen is the sign of a finding: one that was made is real, and how often it
// shows itself is not known (Jeffreys' prior).
func Seen() Sign { return Sign{Often: 0.5, Seldom: 0.5} }

// Counted is the sign of an exact metric, which repeats from boot to boot.
func Counted() Sign { return Sign{Often: 99, Seldom: 1} }

// Timed is the sign of a noisy metric, which is told apart by a test.
func Timed() Sign { return Sign{Often: 0.5, Seldom: 0.5, False: alpha} }

// Search looks for the patch that brings a fault. Step 0 is the kernel without
// the series and step n has its first n patches; a kernel has the fault if the
// culprit is applied.
//
// It is a Bayesian search, as git bisect cannot be for faults that show
// themselves now and then: every patch is as likely at first, and so is that the
// fault was there before; each look changes the odds by Bayes' rule, where the
// unknown chance that the fault shows is integrated out (the beta-binomial
// distribution, taken alike for all kernels that have the fault); the next look
// is the one from which the largest drop in entropy is to be expected for what
// it costs. See Waeber, Frazier and Henderson, "Bisection search with noisy
// responses", SIAM J. Control Optim. 51 (2013), and for the same question asked
// of flaky tests Henderson et al., "Flake Aware Culprit Finding", ICST 2023.
type Search struct {
	sign Sign
	// bad and good count the looks at each step.
	bad, good []int
	// blind steps can't be looked at.
	blind []bool
	// ruledOut patches change nothing.
	ruledOut []bool
}

// NewSearch returns a search among a series' patches.
func NewSearch(patches int, sign Sign) *Search {
	return &Search{sign: sign, bad: make([]int, patches+1), good: make([]int, patches+1),
		blind: make([]bool, patches+1), ruledOut: make([]bool, patches+1)}
}

// Bad says that a look at the step showed the fault.
func (s *Search) Bad(step int) { s.bad[step]++ }

// Good says that a look at the step did not show it.
func (s *Search) Good(step int) { s.good[step]++ }

// Blind says that the step can't be looked at: it doesn't build, say.
func (s *Search) Blind(step int) { s.blind[step] = true }

// Same says that two steps are the same kernel, so that none of the patches from
// one to the other is the culprit.
func (s *Search) Same(a, b int) {
	for k := min(a, b) + 1; k <= max(a, b); k++ {
		s.ruledOut[k] = true
	}
}

// RuleOut says that the patch, or with 0 what was there before, is not the culprit.
func (s *Search) RuleOut(patch int) { s.ruledOut[patch] = true }

// Suspects are patches that can't be told apart: From to To, counted from 1. 0 to
// 0 is the kernel that the series stands on. P is how likely it is that one of
// them is the culprit.
type Suspects struct {
	From, To int
	P        float64
}

// Suspects returns all groups of patches that can't be told apart from one
// another, in order. Their chances add up to 1.
func (s *Search) Suspects() []Suspects { return s.groups(s.odds()) }

// Best returns the most likely group.
func (s *Search) Best() Suspects {
	return slices.MaxFunc(s.Suspects(), func(a, b Suspects) int {
		if a.P < b.P {
			return -1
		}
		return 1
	})
}

// Span returns the shortest stretch of patches, of equals the first, that holds
// the culprit with at least the given chance.
func (s *Search) Span(chance float64) Suspects {
	list := s.Suspects()
	best := Suspects{From: list[0].From, To: list[len(list)-1].To, P: 1}
	for i := range list {
		g := Suspects{From: list[i].From}
		for _, next := range list[i:] {
			g.To, g.P = next.To, g.P+next.P
			if g.P >= chance {
				if g.To-g.From < best.To-best.From {
					best = g
				}
				break
			}
		}
	}
	return s.Narrow(best)
}

// odds returns how likely each patch is the culprit; 0 stands for none of them.
func (s *Search) odds() []float64 {
	p := make([]float64, len(s.bad))
	most := math.Inf(-1)
	for k := range p {
		p[k] = math.Inf(-1)
		if !s.ruledOut[k] {
			p[k] = s.logLikelihood(k)
		}
		most = max(most, p[k])
	}
	if math.IsInf(most, -1) {
		// What was seen contradicts itself, which ruling out alone can bring about:
		// then all that is left is that it was there before.
		p[0], most = 0, 0
	}
	sum := 0.0
	for k := range p {
		p[k] = math.Exp(p[k] - most)
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
	return p
}

// tally counts the looks at steps with and without culprit k.
func (s *Search) tally(k int) (hits, misses, falseHits, trueMisses float64) {
	for step := range s.bad {
		if step >= k {
			hits, misses = hits+float64(s.bad[step]), misses+float64(s.good[step])
		} else {
			falseHits, trueMisses = falseHits+float64(s.bad[step]), trueMisses+float64(s.good[step])
		}
	}
	return hits, misses, falseHits, trueMisses
}

func (s *Search) logLikelihood(k int) float64 {
	hits, misses, falseHits, trueMisses := s.tally(k)
	l := logBeta(s.sign.Often+hits, s.sign.Seldom+misses)
	if falseHits > 0 {
		l += falseHits * math.Log(s.sign.False)
	}
	return l + trueMisses*math.Log(1-s.sign.False)
}

// shows returns the chance that the next look at step shows the fault, if k is
// the culprit.
func (s *Search) shows(step, k int) float64 {
	if step < k {
		return s.sign.False
	}
	hits, misses, _, _ := s.tally(k)
	return (s.sign.Often + hits) / (s.sign.Often + s.sign.Seldom + hits + misses)
}

func logBeta(a, b float64) float64 {
	x, _ := math.Lgamma(a)
	y, _ := math.Lgamma(b)
	z, _ := math.Lgamma(a + b)
	return x + y - z
}

// Next returns the step to look at next: the one that is expected to tell most
// for what it costs, of equals the first. ok is false if no look would tell
// anything.
func (s *Search) Next(cost func(step int) float64) (step int, ok bool) {
	odds := s.odds()
	now := s.entropy(odds)
	best := 0.0
	for m := range s.bad {
		if s.blind[m] {
			continue
		}
		bad, good := make([]float64, len(odds)), make([]float64, len(odds))
		var pBad float64
		for k, p := range odds {
			if p == 0 {
				continue
			}
			q := s.shows(m, k)
			bad[k], good[k] = p*q, p*(1-q)
			pBad += p * q
		}
		left := expected(pBad, bad, s.entropy) + expected(1-pBad, good, s.entropy)
		if gain := (now - left) / cost(m); gain > best+1e-9 {
			step, best, ok = m, gain, true
		}
	}
	return step, ok
}

// expected returns what an outcome of chance p leaves, weighed by p.
func expected(p float64, odds []float64, entropy func([]float64) float64) float64 {
	if p <= 0 {
		return 0
	}
	for k := range odds {
		odds[k] /= p
	}
	return p * entropy(odds)
}

// entropy is Shannon's, in bits, of what can be told apart.
func (s *Search) entropy(odds []float64) float64 {
	var h float64
	for _, g := range s.groups(odds) {
		if g.P > 0 {
			h -= g.P * math.Log2(g.P)
		}
	}
	return h
}

// groups puts patches together between which no step can be looked at.
func (s *Search) groups(odds []float64) []Suspects {
	var list []Suspects
	from := 0
	for k := range odds {
		last := k == len(odds)-1
		if s.blind[k] && !last {
			continue
		}
		g := Suspects{From: from, To: k}
		for i := from; i <= k; i++ {
			g.P += odds[i]
		}
		list = append(list, g)
		from = k + 1
	}
	return list
}

// Narrow leaves out of a group the patches at its ends that are known to change
// nothing.
func (s *Search) Narrow(g Suspects) Suspects {
	for g.From < g.To && s.ruledOut[g.From] {
		g.From++
	}
	for g.To > g.From && s.ruledOut[g.To] {
		g.To--
	}
	return g
}

// judgeBisection draws the verdict on a search: what it found is wrong with the
// series, and one that found nothing has proved nothing.
func judgeBisection(rec *results.Record) (results.Verdict, string) {
	b := rec.Bisection
	switch {
	case rec.Verdict == results.Interrupted, rec.Verdict == results.HarnessFailed:
		return rec.Verdict, orElse(rec.Why, "the record does not say why")
	case !b.Found():
		return results.Inconclusive, orElse(b.Why, "the search came to no end")
	case b.Metric != "":
		return results.Regressed, b.Why
	}
	return results.KernelFailed, b.Why
}
