// SPDX-License-Identifier: GPL-2.0-or-later

// Package series reads patch series and applies them. A series is a folder with
// a quilt "series" file and the patches that it lists, a folder of patches, an
// mbox, or a range of commits; a stack is several of them, applied in order on a
// base. No patch is ever skipped: what is missing, can't be read or does not
// apply is an error that names the patch, the file and the hunk. Finding and
// unpacking the base is left to kernel/source.
package series

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"packtest/internal/cache"
	"packtest/internal/fault"
)

// Series is patches in order.
type Series struct {
	// Name is the last element of the folder's or file's name, or the range.
	Name    string
	Patches []Patch
	// Hash is the SHA-256 of the patches' names and texts, in hex.
	Hash string
	// Title is the cover letter's; "" if there is none.
	Title string
	// BaseCommit is the commit that the series says it was made on, and
	// Prerequisites are the patch IDs (git patch-id --stable) of what it says
	// must be applied before it; see git format-patch --base.
	BaseCommit    string
	Prerequisites []string
	// Notes tell what was left out and what could not be checked.
	Notes []string
}

// First returns the series' first n patches as a series of their own, or all of
// it if it has no more. Its name says how far it goes.
func (s Series) First(n int) Series {
	if n >= len(s.Patches) {
		return s
	}
	s.Name = fmt.Sprintf("%s, %d of %d", s.Name, n, len(s.Patches))
	s.Patches = slices.Clone(s.Patches[:n])
	s.Hash = hashOf(s.Patches)
	return s
}

func (s *Series) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// Open reads the series at the path name: a folder with a quilt series file, a
// folder of patches, a Maildir, an mbox (gzip will do), a mail, or one diff.
func Open(name string) (Series, error) {
	st, err := os.Stat(name)
	if err != nil {
		return Series{}, fault.Inputf("read series %s: %w", name, err)
	}
	dir, file := os.DirFS(filepath.Dir(name)), filepath.Base(name)
	if !st.IsDir() {
		return LoadFile(dir, file)
	}
	if _, err := fs.Stat(dir, path.Join(file, "series")); !errors.Is(err, fs.ErrNotExist) {
		return Load(dir, file)
	}
	if isMaildir(dir, file) {
		return LoadMaildir(dir, file)
	}
	return LoadFolder(dir, file)
}

// LoadFile reads the series in one file: an mbox, a mail, or one diff. An mbox
// may hold a whole thread, in any order: replies are left out, the patches are
// sorted by the numbers in their subjects, and what is missing, is there twice
// and differs, or belongs to another version is an input error.
func LoadFile(fsys fs.FS, file string) (Series, error) {
	body, err := readFile(fsys, file)
	if err != nil {
		return Series{}, fault.Inputf("read series %s: %w", file, err)
	}
	return loadMbox(path.Base(file), body)
}

// readFile reads a file of a series, which is no disk image named by mistake.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, maxMbox)
}

func loadMbox(file string, body []byte) (Series, error) {
	name := file
	for _, ext := range []string{".gz", ".mbox", ".mbx", ".eml", ".patch", ".diff"} {
		name = strings.TrimSuffix(name, ext)
	}
	parts, err := partsOf(file, body)
	if err != nil {
		return Series{Name: name}, err
	}
	return assemble(name, parts)
}

// LoadFolder reads the series in a folder of patches, *.patch, *.diff and *.eml,
// by the same rules as LoadFile. Where subjects have no numbers the files'
// count, and where those have none, their names.
func LoadFolder(fsys fs.FS, dir string) (Series, error) {
	s := Series{Name: path.Base(dir)}
	files, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return s, fault.Inputf("read series %s: %w", dir, err)
	}
	var parts []part
	for _, f := range files {
		if !patchFile(f.Name()) {
			continue
		}
		body, err := readFile(fsys, path.Join(dir, f.Name()))
		if err != nil {
			return s, fault.Inputf("read series %s: %w", dir, err)
		}
		more, err := partsOf(f.Name(), body)
		if err != nil {
			return s, err
		}
		parts = append(parts, more...)
	}
	if len(parts) == 0 {
		return s, fault.WithHint(fault.Inputf("%s holds no patch", dir), `a series is a folder of *.patch files, or one with a file "series" that lists them, or an mbox`)
	}
	// Whoever puts a file there means it; only a thread has more in it.
	if i := slices.IndexFunc(parts, func(p part) bool { return !p.patch && hasDiff.Match(p.body) }); i >= 0 &&
		slices.ContainsFunc(parts, func(p part) bool { return p.patch && !p.reply }) {
		return s, fault.WithHint(fault.Inputf("%s: its subject does not say PATCH, as those of others in %s do", parts[i].where, dir), "say in a file \"series\" which patches there are, in order")
	}
	return assemble(s.Name, parts)
}

// Patch is one patch, as a mail or a bare diff.
type Patch struct {
	// Name is its file name in the series.
	Name string
	// Subject is the first line of its changelog without "[PATCH n/m]"; for a
	// bare diff, its name.
	Subject string
	// Message is the changelog, its subject included.
	Message string
	// Author is "NAME <MAIL>" and Date its date as git reads it; "" if the
	// patch does not say.
	Author, Date string
	// Body is the whole text.
	Body []byte
	// Files are the files it changes, adds or removes.
	Files []string

	files []*gitdiff.File
}

// Load reads the series in the folder dir of fsys ("." for the top). A missing
// or empty patch, one that is no patch, one listed twice, and a series without
// patches are input errors.
func Load(fsys fs.FS, dir string) (Series, error) {
	s := Series{Name: path.Base(dir)}
	listName := path.Join(dir, "series")
	list, err := readFile(fsys, listName)
	if err != nil {
		return s, fault.WithHint(fault.Inputf("read series %s: %w", dir, err), `a series is a folder with patches and a file "series" that lists them`)
	}
	seen := map[string]bool{}
	for i, line := range strings.Split(string(list), "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		name := fields[0]
		switch {
		case len(fields) > 2 || len(fields) == 2 && fields[1] != "-p1":
			return s, fault.Inputf("%s:%d: %q: only -p1 can stand behind a patch", listName, i+1, strings.TrimSpace(line))
		case !fs.ValidPath(path.Join(dir, name)) || strings.Contains(name, ".."):
			return s, fault.Inputf("%s:%d: %q leads out of the series", listName, i+1, name)
		case seen[name]:
			return s, fault.Inputf("%s:%d: %s is listed twice", listName, i+1, name)
		}
		seen[name] = true
		body, err := readFile(fsys, path.Join(dir, name))
		if err != nil {
			return s, fault.Inputf("%s:%d: %w", listName, i+1, err)
		}
		p, err := Parse(name, body)
		if err != nil {
			return s, err
		}
		if err := s.trailers(body); err != nil {
			return s, err
		}
		s.Patches = append(s.Patches, p)
	}
	if len(s.Patches) == 0 {
		return s, fault.Inputf("%s lists no patch", listName)
	}
	s.Hash = hashOf(s.Patches)
	return s, nil
}

func hashOf(patches []Patch) string {
	parts := []string{"patches"}
	for _, p := range patches {
		parts = append(parts, p.Name, string(p.Body))
	}
	return cache.Key(parts...)
}

// Parse reads one patch.
func Parse(name string, body []byte) (Patch, error) {
	p := Patch{Name: name, Subject: name, Message: name + "\n", Body: body}
	if len(bytes.TrimSpace(body)) == 0 {
		return p, fault.Inputf("patch %s is empty", name)
	}
	files, preamble, err := gitdiff.Parse(bytes.NewReader(body))
	if err != nil {
		return p, fault.Inputf("patch %s can't be read: %w", name, err)
	}
	if len(files) == 0 {
		return p, fault.Inputf("patch %s changes no file", name)
	}
	p.files = files
	for _, f := range files {
		for _, n := range []string{f.OldName, f.NewName} {
			if n != "" && (len(p.Files) == 0 || p.Files[len(p.Files)-1] != n) {
				p.Files = append(p.Files, n)
			}
		}
	}
	header, err := gitdiff.ParsePatchHeader(preamble)
	if err != nil || header == nil || header.Title == "" {
		return p, nil // a bare diff, or a quilt patch with free text before it
	}
	p.Subject = encoded(header.Title)
	p.Message = p.Subject + "\n"
	if header.Body != "" {
		p.Message += "\n" + strings.TrimRight(header.Body, "\n") + "\n"
	}
	if a := header.Author; a != nil {
		p.Author = fmt.Sprintf("%s <%s>", encoded(a.Name), a.Email)
	}
	if !header.AuthorDate.IsZero() {
		p.Date = fmt.Sprintf("%d %s", header.AuthorDate.Unix(), header.AuthorDate.Format("-0700"))
	}
	if strings.ContainsRune(p.Author+p.Message, 0) {
		return p, fault.Inputf("patch %s has a NUL byte before its diff", name)
	}
	return p, nil
}

// Touching returns the patches of the stack that change file, as SERIES/PATCH,
// in order.
func Touching(stack []Series, file string) []string {
	return which(stack, func(p Patch) bool { return slices.Contains(p.Files, file) })
}

// Mentioning returns the patches of the stack whose text has word in it, as
// SERIES/PATCH, in order.
func Mentioning(stack []Series, word string) []string {
	whole := regexp.MustCompile(`\b` + regexp.QuoteMeta(word) + `\b`)
	return which(stack, func(p Patch) bool { return whole.Match(p.Body) })
}

func which(stack []Series, wanted func(Patch) bool) []string {
	var out []string
	for _, s := range stack {
		for _, p := range s.Patches {
			if wanted(p) {
				out = append(out, s.Name+"/"+p.Name)
			}
		}
	}
	return out
}

// ApplyError says which patch does not apply, and where.
type ApplyError struct {
	// Series and Patch name the patch.
	Series, Patch string
	// File is the file in the kernel; "" if git did not name one.
	File string
	// Hunk counts the file's hunks from 1; 0 if it is not about a hunk.
	Hunk int
	// Reject is the text of the hunk.
	Reject string
	// Detail is what git said.
	Detail string
}

// Error names the patch, the file and the hunk.
func (e *ApplyError) Error() string {
	where := ""
	switch {
	case e.Hunk > 0:
		where = fmt.Sprintf("hunk %d of %s: ", e.Hunk, e.File)
	case e.File != "":
		where = e.File + ": "
	}
	text := fmt.Sprintf("apply %s/%s: %s%s", e.Series, e.Patch, where, e.Detail)
	if e.Reject != "" {
		text += "\n" + strings.TrimRight(e.Reject, "\n")
	}
	return text
}

// Fault returns fault.Input: the series does not fit the base.
func (e *ApplyError) Fault() fault.Kind { return fault.Input }
