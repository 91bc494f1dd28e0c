// SPDX-License-Identifier: GPL-2.0-or-later

package metric

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Tolerance is how far a metric may move without being called better or worse:
// "2 %" of the baseline's value, or "4096", in the metric's unit. The zero value
// is none.
type Tolerance string

// UnmarshalText reads a tolerance, from a plan or a record.
func (t *Tolerance) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(x >= 0) || math.IsInf(x, 0) {
		return fmt.Errorf(`%q is no tolerance: use "2 %%", of the baseline's value, or a number in the metric's unit`, text)
	}
	*t = Tolerance(strconv.FormatFloat(x, 'f', -1, 64))
	if percent {
		*t += " %"
	}
	return nil
}

// Share returns the tolerance as a fraction of the baseline's value; 0 if it is
// absolute.
func (t Tolerance) Share() float64 {
	number, ok := strings.CutSuffix(string(t), " %")
	if !ok {
		return 0
	}
	x, _ := strconv.ParseFloat(number, 64) // UnmarshalText has seen to it
	return x / 100
}

// Absolute returns the tolerance in the metric's unit; 0 if it is a share.
func (t Tolerance) Absolute() float64 {
	if strings.HasSuffix(string(t), "%") {
		return 0
	}
	x, _ := strconv.ParseFloat(string(t), 64)
	return x
}
