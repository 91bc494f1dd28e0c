// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"encoding/xml"
	"fmt"
	"io"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// JUnit writes d's checks as JUnit XML: a test suite for every architecture and
// one for the run. A check that the harness could not carry out is an error, one
// held against the candidate a failure.
func JUnit(w io.Writer, d Document) error {
	all := junit.Testsuites{Name: printable(d.Title)}
	for i, checks := range suites(d.Checks) {
		s := junit.Testsuite{Name: printable(d.Title + " " + checks[0].Arch), ID: i, Package: "packtest"}
		if !d.Started.IsZero() {
			s.Timestamp = d.Started.UTC().Format("2006-01-02T15:04:05")
		}
		var seconds float64
		for _, c := range checks {
			seconds += c.Seconds
			t := junit.Testcase{Name: printable(c.Name), Classname: "packtest." + printable(c.Arch)}
			if c.Seconds > 0 {
				t.Time = fmt.Sprintf("%.3f", c.Seconds)
			}
			says := &junit.Result{Message: printable(c.Says), Data: printableLines(c.Evidence)}
			switch c.Mark {
			case Failed:
				says.Type = "kernel"
				t.Failure = says
			case Broken:
				says.Type = "harness"
				t.Error = says
			case Skipped:
				t.Skipped = says
			default:
				if c.Says != "" {
					t.SystemOut = &junit.Output{Data: says.Message}
				}
			}
			s.AddTestcase(t)
		}
		s.Time = fmt.Sprintf("%.3f", seconds)
		all.AddSuite(s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write the report as JUnit: %w", err)
	}
	if err := all.WriteXML(w); err != nil {
		return fmt.Errorf("write the report as JUnit: %w", err)
	}
	return nil
}
