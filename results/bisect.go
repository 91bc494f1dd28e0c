// SPDX-License-Identifier: GPL-2.0-or-later

package results

// Bisection is the search for the patch that brings what a series shows. The
// record's candidate is the whole series and its baseline the series' ground;
// the other variants are the steps between them that were looked at.
type Bisection struct {
	Arch string `json:"arch"`
	// What was looked for: a finding by its kind and title, or a metric that got
	// worse, in the scenario. All are empty if nothing was found to look for.
	Kind     string `json:"kind,omitempty"`
	Title    string `json:"title,omitempty"`
	Metric   string `json:"metric,omitempty"`
	Scenario string `json:"scenario,omitempty"`
	// Patches are the series' patches in order, as SERIES/PATCH.
	Patches []string `json:"patches"`
	// Steps are the kernels that were looked at, in the series' order.
	Steps []BisectStep `json:"steps"`
	// Suspects are all groups of patches that can't be told apart.
	Suspects []Suspects `json:"suspects"`
	// Confidence is how likely a group had to be to end the search.
	Confidence float64 `json:"confidence"`
	// From and To are the first and the last of the patches of which one is the
	// culprit, counted from 1; 0 if the search did not find any.
	From int `json:"from,omitempty"`
	To   int `json:"to,omitempty"`
	// P is how likely it is one of these.
	P float64 `json:"p,omitempty"`
	// Why says in one sentence what came of it.
	Why string `json:"why"`
}

// Found tells whether the search came to an answer.
func (b *Bisection) Found() bool { return b.To > 0 }

// BisectStep is one kernel that was looked at: the first Step patches.
type BisectStep struct {
	Step    int    `json:"step"`
	Variant string `json:"variant"`
	// Bad looks showed what was looked for, Good ones did not, and Unclear ones
	// came to no end that says.
	Bad     int `json:"bad"`
	Good    int `json:"good"`
	Unclear int `json:"unclear,omitempty"`
	// Skipped says why the step can't be looked at.
	Skipped string `json:"skipped,omitempty"`
	// SameAs names the variant whose image is this one's, byte for byte.
	SameAs string `json:"same_as,omitempty"`
}

// Suspects are patches that can't be told apart, counted from 1; from 0 to 0 is
// what the series stands on.
type Suspects struct {
	From int     `json:"from"`
	To   int     `json:"to"`
	P    float64 `json:"p"`
}
