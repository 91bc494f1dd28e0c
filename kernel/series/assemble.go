// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"packtest/internal/fault"
)

// part is one mail or file on its way into a series.
type part struct {
	tag
	// where names it in errors: "mail 3" or a file.
	where string
	// file is its file name; "" in an mbox.
	file string
	body []byte
}

// hasDiff tells whether text changes anything.
var hasDiff = regexp.MustCompile(`(?m)^(diff --git |--- \S.*\n\+\+\+ )`)

// patchFile tells the names under which single patches are kept.
func patchFile(name string) bool {
	return slices.Contains([]string{".patch", ".diff", ".eml"}, path.Ext(name))
}

// partsOf reads what the file called where holds: a bare diff, one mail or an
// mbox.
func partsOf(where string, body []byte) ([]part, error) {
	file := ""
	if patchFile(where) {
		file = where
	}
	body, err := unpack(where, body)
	if err != nil {
		return nil, err
	}
	if !isMail(body) {
		return []part{{tag: tag{version: "v1", title: where}, where: where, file: file, body: body}}, nil
	}
	var list []part
	mails := splitMbox(body)
	for i, raw := range mails {
		name := where
		if len(mails) > 1 {
			name = fmt.Sprintf("%s: mail %d", where, i+1)
		}
		letters, err := readMail(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, l := range letters {
			p := part{tag: parseTag(l.subject), where: name, body: l.patch()}
			if len(mails) == 1 && len(letters) == 1 {
				p.file = file
			}
			list = append(list, p)
		}
	}
	return list, nil
}

// assemble makes a series of parts: it leaves out what belongs to a thread and
// is no patch, sorts by the numbers in the subjects, and accepts nothing but
// the whole of one version.
func assemble(name string, parts []part) (Series, error) {
	s := Series{Name: name}
	patches, covers, err := s.sift(parts)
	if err != nil {
		return s, err
	}
	if len(patches) == 0 {
		return s, fault.WithHint(fault.Inputf("%s holds no patch", name), "git format-patch --stdout BASE..HEAD writes a file that does")
	}
	if err := sameVersion(name, append(slices.Clone(patches), covers...)); err != nil {
		return s, err
	}
	for _, c := range covers {
		if c.title == unwritten {
			c.title = ""
		}
		if s.Title == "" {
			s.Title = c.title
		} else if c.title != "" && c.title != s.Title {
			s.note("%s holds two cover letters; %q is left out", name, c.title)
		}
		if err := s.trailers(c.body); err != nil {
			return s, err
		}
	}
	if patches, err = s.ordered(patches, covers); err != nil {
		return s, err
	}
	for i, p := range patches {
		if p.file == "" {
			p.file = fileName(i+1, p.title)
		}
		patch, err := Parse(p.file, p.body)
		if err != nil {
			return s, fmt.Errorf("%s: %w", p.where, err)
		}
		if err := s.trailers(p.body); err != nil {
			return s, err
		}
		s.Patches = append(s.Patches, patch)
	}
	if s.Title == "" && len(s.Patches) == 1 {
		s.Title = s.Patches[0].Subject
	}
	s.Hash = hashOf(s.Patches)
	return s, nil
}

// unwritten is the title of a cover letter that git made and nobody wrote.
const unwritten = "*** SUBJECT HERE ***"

// sift tells patches and cover letters from the rest of a thread, which is
// noted by number.
func (s *Series) sift(parts []part) (patches, covers []part, err error) {
	tagged := slices.ContainsFunc(parts, func(p part) bool { return p.patch && !p.reply })
	var left int
	for _, p := range parts {
		diff := hasDiff.Match(p.body)
		switch {
		case p.reply, !diff && !p.patch:
			left++
		case p.m > 0 && p.n == 0, !diff && strings.HasPrefix(path.Base(p.file), "0000-"):
			covers = append(covers, p)
		case p.patch && !diff:
			return nil, nil, fault.Inputf("%s: %q has no diff in it", p.where, p.title)
		case diff && !p.patch && tagged:
			s.note("%s: %q is left out: its subject does not say PATCH, as others do", p.where, p.title)
		default:
			patches = append(patches, p)
		}
	}
	if left > 0 {
		s.note("%s: %d of %d mails are no patches and were left out", s.Name, left, len(parts))
	}
	return patches, covers, nil
}

func sameVersion(name string, parts []part) error {
	versions := unique(parts, func(p part) string { return p.version })
	if len(versions) > 1 {
		return fault.WithHint(fault.Inputf("%s holds several versions of a series: %s", name, strings.Join(versions, ", ")), "save one of them alone")
	}
	return nil
}

// ordered sorts the patches by number, drops the ones that came twice, and
// demands that none is missing.
func (s *Series) ordered(patches, covers []part) ([]part, error) {
	covers = slices.DeleteFunc(slices.Clone(covers), func(p part) bool { return p.m == 0 })
	numbered := 0
	for i := range patches {
		if p := &patches[i]; p.m > 0 {
			numbered++
		} else if n, ok := fileNumber(p.file); ok {
			p.n = n
		}
	}
	if numbered == 0 && len(covers) == 0 {
		return s.unnumbered(patches)
	}
	if numbered < len(patches) {
		for _, p := range patches {
			if p.m == 0 {
				return nil, fault.Inputf("%s: %q has no number, and others in %s have", p.where, p.title, s.Name)
			}
		}
	}
	totals := unique(append(slices.Clone(patches), covers...), func(p part) string { return strconv.Itoa(p.m) })
	if len(totals) > 1 {
		return nil, fault.Inputf("%s holds parts of several series: one of %s patches, one of %s", s.Name, totals[0], totals[1])
	}
	patches, err := s.once(patches)
	if err != nil {
		return nil, err
	}
	m := patches[0].m
	var missing []string
	for n := 1; n <= m; n++ {
		if !slices.ContainsFunc(patches, func(p part) bool { return p.n == n }) {
			missing = append(missing, strconv.Itoa(n))
		}
	}
	if last := patches[len(patches)-1]; last.n > m {
		return nil, fault.Inputf("%s: %q is number %d of %d", last.where, last.title, last.n, m)
	}
	if len(missing) > 0 {
		return nil, fault.Inputf("%s lacks patch %s of %d", s.Name, strings.Join(missing, ", "), m)
	}
	return patches, nil
}

// unnumbered orders patches whose subjects have no numbers: by their files'
// numbers if all have one, or else as they come.
func (s *Series) unnumbered(patches []part) ([]part, error) {
	if !slices.ContainsFunc(patches, func(p part) bool { return p.n == 0 }) {
		return s.once(patches)
	}
	var out []part
	for _, p := range patches {
		if slices.ContainsFunc(out, func(o part) bool { return same(o, p) }) {
			s.note("%s: %q is there twice; the second is left out", p.where, p.title)
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

// once sorts by number and keeps one patch of each.
func (s *Series) once(patches []part) ([]part, error) {
	slices.SortStableFunc(patches, func(a, b part) int { return cmp.Compare(a.n, b.n) })
	var out []part
	for _, p := range patches {
		if len(out) == 0 || out[len(out)-1].n != p.n {
			out = append(out, p)
			continue
		}
		if first := out[len(out)-1]; !same(first, p) {
			return nil, fault.Inputf("%s and %s are both patch %d, and differ", first.where, p.where, p.n)
		}
		s.note("%s: patch %d, %q, is there twice; the second is left out", p.where, p.n, p.title)
	}
	return out, nil
}

// same tells whether two parts are the same patch, whatever a mailing list
// wrote below it.
func same(a, b part) bool {
	x, errX := Parse("", a.body)
	y, errY := Parse("", b.body)
	if errX != nil || errY != nil {
		return bytes.Equal(a.body, b.body)
	}
	return x.Author == y.Author && x.Message == y.Message && x.diff() == y.diff()
}

// diff returns what the patch changes, without what stands around it.
func (p Patch) diff() string {
	var b strings.Builder
	for _, f := range p.files {
		b.WriteString(f.String())
	}
	return b.String()
}

var numberedFile = regexp.MustCompile(`^(?:v\d+-)?(\d{1,4})[-_.]`)

// fileNumber returns the number a file's name begins with, as git format-patch
// writes it.
func fileNumber(file string) (int, bool) {
	m := numberedFile.FindStringSubmatch(path.Base(file))
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil && n > 0
}

// fileName returns what git format-patch would call the patch, or nearly so.
func fileName(n int, title string) string {
	slug := strings.Join(strings.FieldsFunc(title, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_')
	}), "-")
	return fmt.Sprintf("%04d-%s.patch", n, strings.TrimRight(slug[:min(len(slug), 52)], "-."))
}

func unique(parts []part, of func(part) string) []string {
	var list []string
	for _, p := range parts {
		if v := of(p); !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}
