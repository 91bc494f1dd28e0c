// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"regexp"
	"strconv"
	"strings"
)

// tag is what stands in brackets before a subject: "[PATCH bpf-next v6 6/7]".
type tag struct {
	// patch is set if a bracket holds the word PATCH, or a number of numbers.
	patch bool
	// n of m; m is 0 if the subject has no numbers, n is 0 in a cover letter.
	n, m int
	// version is "v1" if none is named.
	version string
	// reply is set if the subject begins with "Re:" or the like.
	reply bool
	// title is the subject without all that.
	title string
}

var (
	replyWord   = regexp.MustCompile(`(?i)^(re|aw|antw|sv|vs|fwd?|wg)(\[\d+\])?:\s*`)
	numberWord  = regexp.MustCompile(`^(\d{1,4})/(\d{1,4})$`)
	versionWord = regexp.MustCompile(`(?i)^(?:patch|rfc)?(v\d+(?:\.\d+)?)$`)
	patchWord   = regexp.MustCompile(`(?i)^patch(v\d+(\.\d+)?)?$`)
)

func parseTag(subject string) tag {
	t := tag{version: "v1", title: strings.TrimSpace(subject)}
	for {
		if at := replyWord.FindStringIndex(t.title); at != nil {
			t.reply = true
			t.title = t.title[at[1]:]
			continue
		}
		if !strings.HasPrefix(t.title, "[") {
			return t
		}
		group, rest, ok := strings.Cut(t.title[1:], "]")
		if !ok {
			return t
		}
		t.group(group)
		t.title = strings.TrimSpace(rest)
	}
}

func (t *tag) group(s string) {
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		if patchWord.MatchString(w) {
			t.patch = true
		}
		if m := versionWord.FindStringSubmatch(w); m != nil {
			t.version = strings.ToLower(m[1])
		}
		if m := numberWord.FindStringSubmatch(w); m != nil {
			// Four digits at most: there is nothing to go wrong.
			t.n, _ = strconv.Atoi(m[1])
			t.m, _ = strconv.Atoi(m[2])
			t.patch = true
		}
	}
}
