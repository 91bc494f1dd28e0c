// SPDX-License-Identifier: GPL-2.0-or-later

package oracle

import (
	"strings"

	"packtest/guest/wire"
)

// maxComplaint is how many lines of the log a complaint is told with.
const maxComplaint = 30

// Complaints holds if the kernel has nothing to complain about in the lines of
// its log. That an allocation failed is no complaint. It is for times when the
// console is quiet; otherwise the host reads that, and knows more kinds.
func Complaints(lines []string) []wire.Finding {
	var list []wire.Finding
	for i, line := range lines {
		if !complaint(line) {
			continue
		}
		end := min(i+maxComplaint, len(lines))
		list = append(list, wire.Finding{Kind: "kernel-log", Title: title(line), Evidence: strings.Join(lines[i:end], "\n")})
	}
	return list
}

func complaint(line string) bool {
	for _, prefix := range []string{"WARNING: ", "BUG: ", "kernel BUG at ", "UBSAN: ", "INFO: rcu", "INFO: task ", "INFO: trying to register", "[ BUG: ",
		"bpf_prog_pack bug", "bpf_jit: "} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return strings.HasPrefix(line, "kmemleak: ") && strings.Contains(line, "new suspected memory leaks")
}

// title is the line without what differs from one time to the next.
func title(line string) string {
	var words []string
	for _, w := range strings.Fields(line) {
		if strings.ContainsAny(w, "0123456789") && !strings.Contains(w, "+0x") && !strings.Contains(w, ".c:") {
			w = "#"
		}
		words = append(words, w)
	}
	return "the kernel complains: " + strings.Join(words, " ")
}
