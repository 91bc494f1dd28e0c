// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"strings"
	"testing"

	"packtest/compare"
)

func TestDefects(t *testing.T) {
	d := Defects{Context: "on 6.1", Rows: []DefectRow{
		{"b", "breaks b", compare.Catch{Arch: "s390x", Config: "debug"}},
		{"a", "breaks a", compare.Catch{Arch: "x86_64", By: "overlap", What: "two | share", Scenario: "churn", Seconds: 2.34, Config: "measure"}},
		{"a", "breaks a", compare.Catch{Arch: "s390x", By: "jit_pages", What: "+5 %", Scenario: "load", Config: "measure"}},
		{"c", "breaks c", compare.Catch{Arch: "x86_64", Problem: "it does not build", Config: "measure"}},
	}}
	if d.Missed() != 1 || d.Unproved() != 1 {
		t.Errorf("%d missed and %d unproved, want one of each", d.Missed(), d.Unproved())
	}
	var b strings.Builder
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `# Defects

on 6.1

## x86_64: 1 of 2 found, and 1 not attacked to the end

| defect | what it does | found by | in | after | kernel |
|---|---|---|---|---|---|
| a | breaks a | overlap: two \| share | churn | 2.3 s | measure |
| c | breaks c | **proves nothing**: it does not build |  |  | measure |

## s390x: 1 of 2 found

| defect | what it does | found by | in | after | kernel |
|---|---|---|---|---|---|
| a | breaks a | jit_pages: +5 % | load |  | measure |
| b | breaks b | **not found** |  |  | debug |
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
