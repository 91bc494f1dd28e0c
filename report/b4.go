// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// b4Check is one result as b4's check commands print them (misc/review-ci-example
// in b4): tool is the column it stands in, status pass, warn or fail.
type b4Check struct {
	Tool    string `json:"tool"`
	Status  string `json:"status"`
	Summary string `json:"summary"`
	Details string `json:"details,omitempty"`
}

// B4 writes d's checks as b4's review-series-check-cmd expects them: one column
// for every architecture and one for the run. What failed and what could not be
// carried out is a fail, and what says nothing a warning.
func B4(w io.Writer, d Document) error {
	list := []b4Check{}
	for _, checks := range suites(d.Checks) {
		c := b4Check{Tool: "packtest-" + printable(checks[0].Arch), Status: "pass"}
		count := map[Mark]int{}
		var details []string
		for _, ch := range checks {
			count[ch.Mark]++
			if ch.Mark != Passed {
				details = append(details, strings.TrimSpace(printable(fmt.Sprintf("%s: %s: %s", ch.Mark, ch.Name, ch.Says))+"\n"+printableLines(ch.Evidence)))
			}
		}
		switch {
		case count[Failed]+count[Broken] > 0:
			c.Status = "fail"
		case count[Skipped] > 0:
			c.Status = "warn"
		}
		var parts []string
		for _, m := range []Mark{Passed, Failed, Broken, Skipped} {
			if count[m] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", count[m], m))
			}
		}
		c.Summary = strings.Join(parts, ", ")
		if checks[0].Arch == wholeRun {
			c.Tool, c.Summary = "packtest", printable(checks[0].Says)
		}
		c.Details = strings.Join(details, "\n")
		list = append(list, c)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(list); err != nil {
		return fmt.Errorf("write the report for b4: %w", err)
	}
	return nil
}
