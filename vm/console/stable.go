// SPDX-License-Identifier: GPL-2.0-or-later

package console

import (
	"regexp"
	"strings"
)

// unstable is what differs in a header line from boot to boot or, such as line
// numbers, from one variant of a kernel to the next, in the order in which it is
// replaced.
var unstable = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`Killed process \d+ \((.+?)\).*`), "Killed process ($1)"},
	{regexp.MustCompile(`: segfault at .* in (\S+?)\[.*`), ": segfault in $1"},
	{regexp.MustCompile(` in (\S+?)\[[0-9a-f]+\+[0-9a-f]+\].*`), " in $1"},
	{regexp.MustCompile(`(?:: [0-9a-f]{4}(?: ilc:\d)?)? \[#\d+\].*`), ""},
	{regexp.MustCompile(`\(([\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+\)`), "($1)"},
	{regexp.MustCompile(`\b([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+`), "$1"},
	{regexp.MustCompile(`\b(?:0x)?[0-9a-f]{12,16}\b`), "ADDR"},
	{regexp.MustCompile(`^BUG (\S+) \((?:Not tainted|Tainted: [^)]*)\)`), "BUG $1"},
	{regexp.MustCompile(`(workqueue lockup) .*`), "$1"},
	{regexp.MustCompile(`\bCPU(?:: |#)\d+ ?`), ""},
	{regexp.MustCompile(`\bPID: \d+ ?`), ""},
	{regexp.MustCompile(`\bcpu \d+`), "cpu"},
	{regexp.MustCompile(`\[([^\s\[\]]+):\d+\]`), "[$1]"},
	{regexp.MustCompile(`\btask (\S+):\d+ blocked`), "task $1 blocked"},
	{regexp.MustCompile(`\bprocess (\S+?)[:/]\d+`), "process $1"},
	{regexp.MustCompile(`^(\S+?)\[\d+\]:`), "$1:"},
	// UBSAN tells the whole path, in the folder that this packtest builds from.
	{regexp.MustCompile(`\bin /\S*/tree/`), "in "},
	{regexp.MustCompile(`(\.[chS]):\d+(?::\d+)?`), "$1"},
	{regexp.MustCompile(`: (\S+?)/\d+/0x[0-9a-f]+$`), ": $1"},
	{regexp.MustCompile(` +pfn:[0-9a-f]+`), ""},
	{regexp.MustCompile(` +(?:pte|pmd|mm):[0-9a-f]+`), ""},
	{regexp.MustCompile(`\bfor (?:more than )?\d+ ?s(?:econds)?\b`), "for too long"},
	{regexp.MustCompile(`\b\d+ new suspected`), "new suspected"},
	{regexp.MustCompile(` +`), " "},
}

// stable takes out of a header line what makes it another one each time.
func stable(l string) string {
	for _, u := range unstable {
		l = u.re.ReplaceAllString(l, u.with)
	}
	return strings.TrimSpace(l)
}
