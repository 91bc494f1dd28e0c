// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// KTAP writes d's checks in the kernel's test format, version 1, as
// Documentation/dev-tools/ktap.rst has it: a test for every architecture and one
// for the run, with the checks below.
func KTAP(w io.Writer, d Document) error {
	out := bufio.NewWriter(w) // keeps its first error until Flush
	all := suites(d.Checks)
	fmt.Fprintf(out, "KTAP version 1\n1..%d\n# %s: %s\n", len(all), ktapText(d.Title), ktapText(string(d.Verdict)))
	for i, checks := range all {
		fmt.Fprintf(out, "    KTAP version 1\n    # Subtest: %s\n    1..%d\n", ktapText(checks[0].Arch), len(checks))
		ok, skipped := true, 0
		for n, c := range checks {
			result, directive := "ok", ""
			switch c.Mark {
			case Failed:
				result, ok = "not ok", false
			case Broken:
				result, ok, directive = "not ok", false, " # ERROR "+ktapText(c.Says)
			case Skipped:
				directive = " # SKIP " + ktapText(c.Says)
				skipped++
			}
			if c.Says != "" && directive == "" {
				fmt.Fprintf(out, "    # %s\n", ktapText(c.Says))
			}
			if c.Evidence != "" {
				for _, l := range strings.Split(printableLines(c.Evidence), "\n") {
					fmt.Fprintf(out, "    # | %s\n", endless(l))
				}
			}
			fmt.Fprintf(out, "    %s %d %s%s\n", result, n+1, ktapText(c.Name), directive)
		}
		result, directive := "ok", ""
		if !ok {
			result = "not ok"
		} else if skipped == len(checks) {
			directive = " # SKIP nothing was tested"
		}
		fmt.Fprintf(out, "%s %d %s%s\n", result, i+1, ktapText(checks[0].Arch), directive)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the report as KTAP: %w", err)
	}
	return nil
}

// ktapText makes s fit into a line of KTAP, where # begins a directive.
func ktapText(s string) string {
	return endless(strings.Join(strings.Fields(strings.ReplaceAll(printable(strings.ReplaceAll(s, "\n", " ")), "#", "No.")), " "))
}

// endless parts the words at which the kernel's own reader takes a log for
// ended, wherever in a line they stand: a panic's evidence may hold them.
func endless(s string) string {
	return strings.NewReplacer("List of all partitions:", "List of all partitions :",
		"Kernel panic - not syncing: VFS:", "Kernel panic - not syncing: VFS :",
		"reboot: System halted", "reboot : System halted").Replace(s)
}
