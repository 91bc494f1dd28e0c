// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"sort"
	"strconv"

	"packtest/metric"
)

// LessLabels orders two sets of labels: by the first label, in the order of
// names, whose value differs; numbers by their value, so that 512 comes
// before 1024.
func LessLabels(a, b map[string]string) bool {
	names := make([]string, 0, len(a)+len(b))
	for k := range a {
		names = append(names, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			names = append(names, k)
		}
	}
	sort.Strings(names)
	for _, k := range names {
		x, y := a[k], b[k]
		if x == y {
			continue
		}
		nx, errX := strconv.ParseFloat(x, 64)
		ny, errY := strconv.ParseFloat(y, 64)
		if errX == nil && errY == nil && nx != ny {
			return nx < ny
		}
		return x < y
	}
	return metric.LabelString(a) < metric.LabelString(b)
}
