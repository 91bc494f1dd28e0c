// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"strconv"

	"packtest/metric"
)

// LessLabels orders two sets of labels: by the first label, in the order of
// names, whose value differs; numbers by their value, so that 512 comes
// before 1024.
func LessLabels(a, b map[string]string) bool {
	// The first name whose values differ decides.
	first, differ := "", false
	for _, labels := range []map[string]string{a, b} {
		for k := range labels {
			if a[k] != b[k] && (!differ || k < first) {
				first, differ = k, true
			}
		}
	}
	if differ {
		x, y := a[first], b[first]
		nx, errX := strconv.ParseFloat(x, 64)
		ny, errY := strconv.ParseFloat(y, 64)
		if errX == nil && errY == nil && nx != ny {
			return nx < ny
		}
		return x < y
	}
	return metric.LabelString(a) < metric.LabelString(b)
}
