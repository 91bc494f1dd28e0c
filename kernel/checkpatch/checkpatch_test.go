// SPDX-License-Identifier: GPL-2.0-or-later

package checkpatch

import "testing"

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		said string
		want Report
		ok   bool
	}{
		{"total: 0 errors, 0 warnings, 0 checks, 12 lines checked\n\nYour patch has no obvious style problems and is ready for submission.\n", Report{}, true},
		{"ERROR:A: b\n#3:\n\ntotal: 1 errors, 2 warnings, 3 checks, 12 lines checked\n\nNOTE: x\n", Report{1, 2, 3, "ERROR:A: b\n#3:"}, true},
		{"WARNING:A: b\n\ntotal: 0 errors, 1 warnings, 12 lines checked\n", Report{0, 1, 0, "WARNING:A: b"}, true},
		{"", Report{}, false},
		{"Can't locate Encode.pm in @INC\n", Report{}, false},
		{"total: 99999999999999999999 errors, 0 warnings, 1 lines checked\n", Report{}, false},
	} {
		got, err := Parse(tc.said)
		if (err == nil) != tc.ok || tc.ok && got != tc.want {
			t.Errorf("Parse(%q) = %+v, %v", tc.said, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ERROR:A: b\n\ntotal: 1 errors, 2 warnings, 3 checks, 12 lines checked\n")
	f.Fuzz(func(t *testing.T, said string) {
		r, err := Parse(said)
		if err == nil && (r.Errors < 0 || r.Warnings < 0 || r.Checks < 0) {
			t.Errorf("%+v", r)
		}
	})
}
