// SPDX-License-Identifier: GPL-2.0-or-later

package patches

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// carried is every series there has to be.
var carried = []string{"linux-6.1/bpf-prog-pack", "linux-6.1/nopack"}

// series returns the folders in FS that have a series file, and the names in
// each.
func series(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	files, err := fs.Glob(FS(), "*/*/series")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := fs.ReadFile(FS(), f)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(f)
		found[dir] = []string{}
		for l := bufio.NewScanner(bytes.NewReader(b)); l.Scan(); {
			if name := strings.TrimSpace(l.Text()); name != "" && name[0] != '#' {
				found[dir] = append(found[dir], name)
			}
		}
	}
	return found
}

func TestSeriesNamesExactlyWhatIsThere(t *testing.T) {
	found := series(t)
	for _, dir := range carried {
		if len(found[dir]) == 0 {
			t.Errorf("%s: no series, or an empty one", dir)
		}
	}
	err := fs.WalkDir(FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		dir, name := path.Dir(p), path.Base(p)
		if name == "series" || path.Base(dir) == "defects" {
			return nil // each defect is a series of one
		}
		if !slices.Contains(found[dir], name) {
			t.Errorf("%s is in no series", p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, names := range found {
		seen := map[string]bool{}
		for _, name := range names {
			if seen[name] {
				t.Errorf("%s/series names %s twice", dir, name)
			}
			seen[name] = true
			if _, err := fs.Stat(FS(), path.Join(dir, name)); err != nil {
				t.Errorf("%s/series: %v", dir, err)
			}
		}
		if !slices.IsSorted(names) {
			t.Errorf("%s/series is not in the order of the patches' numbers", dir)
		}
	}
}

func TestPatchesAreWhole(t *testing.T) {
	all := series(t)
	defects, err := Defects(FS(), "linux-6.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range defects {
		dir, name := path.Split(d.Path)
		all[dir] = append(all[dir], name)
	}
	for dir, names := range all {
		for _, name := range names {
			t.Run(path.Join(dir, name), func(t *testing.T) {
				b, err := fs.ReadFile(FS(), path.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				files, preamble, err := gitdiff.Parse(bytes.NewReader(b))
				if err != nil {
					t.Fatal(err)
				}
				if len(files) == 0 {
					t.Fatal("changes no file")
				}
				for _, f := range files {
					if len(f.TextFragments) == 0 {
						t.Errorf("%s: no hunk", fileName(f))
					}
				}
				h, err := gitdiff.ParsePatchHeader(preamble)
				if err != nil {
					t.Fatal(err)
				}
				if h.Author == nil || h.Author.Name == "" || h.Author.Email == "" {
					t.Fatal("no From:")
				}
				if h.AuthorDate.IsZero() {
					t.Error("no Date:")
				}
				if h.Title == "" {
					t.Error("no Subject:")
				}
				var signed, said bool
				for _, l := range strings.Split(h.Body, "\n") {
					switch {
					case l == "Signed-off-by: "+h.Author.String():
						signed = true
					case strings.TrimSpace(l) != "":
						said = true
					}
				}
				if !signed {
					t.Errorf("not signed off by its author, %s", h.Author)
				}
				if !said {
					t.Error("the changelog says nothing")
				}
			})
		}
	}
}

func fileName(f *gitdiff.File) string {
	if f.NewName != "" {
		return f.NewName
	}
	return f.OldName
}
