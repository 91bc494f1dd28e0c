// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"packtest/internal/fault"
)

// However a series was mailed, it is the same patches: the same commits come of
// it as of plain.mbox.
func TestMbox(t *testing.T) {
	ctx := context.Background()
	r, base := repo(t)
	want := ""
	for _, tc := range []struct {
		file, title string
		notes       []string // a part of each
	}{
		{"plain.mbox", "core: count well", nil},
		{"reversed.mbox", "core: count well", nil},
		{"crlf.mbox", "core: count well", nil},
		{"base.mbox", "core: count well", nil},
		{"thunderbird.mbox", "", nil},
		{"quoted-printable.mbox", "", nil},
		{"latin1.mbox", "", nil},
		{"base64.mbox", "", nil},
		{"attached.mbox", "", nil},
		{"in-body-from.mbox", "", nil},
		{"all-attached.mbox", "", []string{"1 of 4 mails are no patches"}},
		{"flowed.mbox", "core: count well", nil},
		{"flowed-delsp.mbox", "core: count well", nil},
		{"flowed-not.mbox", "core: count well", nil},
		{"b4.mbox", "core: count well", []string{"4 of 8 mails are no patches"}},
		{"thread.mbox", "core: count well", []string{`mail 7: "core: say three instead of two" is left out`, "1 of 7 mails are no patches", "mail 5: patch 2, "}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			s, err := Open(filepath.Join("testdata/mbox", tc.file))
			if err != nil {
				t.Fatal(err)
			}
			commit, err := Apply(ctx, r, base, []Series{s})
			if err != nil {
				t.Fatal(err)
			}
			if want == "" {
				want = commit
			}
			if commit != want {
				log, _ := r.Run(ctx, "log", "--format=%an <%ae> %ad%n%B", "--date=raw", base+".."+commit)
				wants, _ := r.Run(ctx, "log", "--format=%an <%ae> %ad%n%B", "--date=raw", base+".."+want)
				t.Errorf("another commit than plain.mbox's: %s", cmp.Diff(wants, log))
			}
			if s.Title != tc.title || len(s.Notes) != len(tc.notes) {
				t.Errorf("title %q, want %q; notes %q", s.Title, tc.title, s.Notes)
			}
			for i, n := range tc.notes {
				if i < len(s.Notes) && !strings.Contains(s.Notes[i], n) {
					t.Errorf("note %q, want %q in it", s.Notes[i], n)
				}
			}
		})
	}
	log, err := r.Run(ctx, "log", "--format=%an <%ae>|%ad|%B", "--date=raw", "-1", want+"^")
	if d := cmp.Diff(`Björn Ångström <bjorn@example.org>|1643102430 +0100|core: zähle auf Deutsch, at least where it is about the number five

Fünf ist fünf, and a line that is long enough for quoted-printable to fold it somewhere.

Signed-off-by: Björn Ångström <bjorn@example.org>`, log); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
}

func TestMboxRefuses(t *testing.T) {
	for file, want := range map[string]string{
		"missing.mbox":          "missing lacks patch 1, 2 of 3",
		"differ.mbox":           "differ.mbox: mail 1 and differ.mbox: mail 2 are both patch 1, and differ",
		"versions.mbox":         "versions holds several versions of a series: v6, v7",
		"cover-of-another.mbox": "several versions of a series: v6, v5",
		"two-series.mbox":       "one of 3 patches, one of 2",
		"no-diff.mbox":          `no-diff.mbox: mail 3: "new: add a header" has no diff`,
		"html-only.mbox":        `html-only.mbox: mail 3: "new: add a header" has no diff`,
		"only-replies.mbox":     "only-replies holds no patch",
		"half-numbered.mbox":    `half-numbered.mbox: mail 3: "new: add a header" has no number`,
		"beyond.mbox":           `mail 4: "new: add a header" is number 4 of 3`,
		"charset.mbox":          `charset.mbox: its character set "x-none" is unknown`,
		"encoding.mbox":         `its transfer encoding "uuencode" is unknown`,
		"cut-base64.mbox":       "can't be decoded as base64",
		"two-bases.mbox":        "names two base-commits, 0123456789ab and fedcba987654",
		"absent.mbox":           "absent.mbox: no such file",
	} {
		t.Run(file, func(t *testing.T) {
			_, err := Open(filepath.Join("testdata/mbox", file))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("Open = %v, want %q", err, want)
			}
			if fault.Of(err) != fault.Input {
				t.Errorf("fault = %v, want input", fault.Of(err))
			}
		})
	}
}

func TestOneMail(t *testing.T) {
	s, err := Open("testdata/mbox/single.patch")
	if err != nil {
		t.Fatal(err)
	}
	if s.Title != "core: say three instead of two" || len(s.Patches) != 1 || s.Patches[0].Name != "single.patch" {
		t.Errorf("series %+v", s)
	}
}

func TestCompressed(t *testing.T) {
	b, err := os.ReadFile("testdata/mbox/plain.mbox")
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	s, err := LoadFile(fstest.MapFS{"t.mbox.gz": {Data: z.Bytes()}}, "t.mbox.gz")
	if err != nil || len(s.Patches) != 3 || s.Name != "t" {
		t.Errorf("series %+v, %v", s, err)
	}
	if _, err := LoadFile(fstest.MapFS{"t.mbox.gz": {Data: z.Bytes()[:20]}}, "t.mbox.gz"); err == nil || fault.Of(err) != fault.Input {
		t.Errorf("cut: %v", err)
	}
}

func TestFolder(t *testing.T) {
	strip := func(s string) string { return strings.Replace(s, "[PATCH v6 1/2] ", "", 1) }
	for _, tc := range []struct {
		name    string
		files   []string
		want    []string // patches' names, or part of the error
		refused bool
	}{
		{"by the subject, whatever the files are called", []string{"b.patch", numbered(1, first), "a.patch", numbered(2, second)}, []string{"b.patch", "a.patch"}, false},
		{"by the file's number", []string{"0010-x.patch", second, "0002-y.patch", strip(first), "README", "no patch"}, []string{"0002-y.patch", "0010-x.patch"}, false},
		{"by name", []string{"b.diff", second, "a.patch", strip(first)}, []string{"a.patch", "b.diff"}, false},
		{"with a cover letter", []string{"0000-cover-letter.patch", "Subject: [PATCH v6 0/2] *** SUBJECT HERE ***\n\nx\n", "0001-a.patch", numbered(1, first), "0002-b.patch", numbered(2, second)}, []string{"0001-a.patch", "0002-b.patch"}, false},
		{"one is missing", []string{"0002-b.patch", numbered(2, second)}, []string{"s lacks patch 1 of 2"}, true},
		{"one number twice", []string{"0001-a.patch", strip(first), "0001-b.patch", second}, []string{"0001-a.patch and 0001-b.patch are both patch 1, and differ"}, true},
		{"nothing", []string{"README", "x"}, []string{"s holds no patch"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := fstest.MapFS{}
			for i := 0; i < len(tc.files); i += 2 {
				m["s/"+tc.files[i]] = &fstest.MapFile{Data: []byte(tc.files[i+1])}
			}
			s, err := LoadFolder(m, "s")
			if tc.refused {
				if err == nil || !strings.Contains(err.Error(), tc.want[0]) || fault.Of(err) != fault.Input {
					t.Errorf("LoadFolder = %v, want %q", err, tc.want[0])
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range s.Patches {
				names = append(names, p.Name)
			}
			if d := cmp.Diff(tc.want, names); d != "" || s.Title != "" {
				t.Errorf("title %q: %s", s.Title, d)
			}
		})
	}
}

// numbered makes a diff a mail that says it is patch n of 2.
func numbered(n int, diff string) string {
	if i := strings.Index(diff, "diff --git"); i > 0 {
		diff = diff[i:]
	}
	return "From: Jane Doe <jane@example.org>\nSubject: [PATCH v6 " + string(rune('0'+n)) + "/2] part\n\nwhy\n---\n" + diff
}

func TestTag(t *testing.T) {
	for subject, want := range map[string]tag{
		"[PATCH bpf-next v6 6/7] bpf: x":   {patch: true, n: 6, m: 7, version: "v6", title: "bpf: x"},
		"[PATCH v6 bpf-next 06/07] bpf: x": {patch: true, n: 6, m: 7, version: "v6", title: "bpf: x"},
		"[bpf-next PATCH,v2,1/3] x":        {patch: true, n: 1, m: 3, version: "v2", title: "x"},
		"[PATCHv3 1/2] x":                  {patch: true, n: 1, m: 2, version: "v3", title: "x"},
		"[RFC v2 0/4] x":                   {patch: true, n: 0, m: 4, version: "v2", title: "x"},
		"[PATCH v2.1 1/2] [s390] x":        {patch: true, n: 1, m: 2, version: "v2.1", title: "x"},
		"[bpf-next][PATCH v3 1/2] x":       {patch: true, n: 1, m: 2, version: "v3", title: "x"},
		"[PATCH] x: a [very] odd one":      {patch: true, version: "v1", title: "x: a [very] odd one"},
		"Re: [PATCH v2 1/2] x":             {patch: true, n: 1, m: 2, version: "v2", reply: true, title: "x"},
		"[PATCH 1/2] Re: x":                {patch: true, n: 1, m: 2, version: "v1", reply: true, title: "x"},
		"[GIT PULL] x":                     {version: "v1", title: "x"},
		"a subject":                        {version: "v1", title: "a subject"},
		"[unclosed":                        {version: "v1", title: "[unclosed"},
		"":                                 {version: "v1"},
		"AW: Antwort":                      {version: "v1", reply: true, title: "Antwort"},
		"rebase: not a reply":              {version: "v1", title: "rebase: not a reply"},
		"[PATCH 6.1 001/100] x":            {patch: true, n: 1, m: 100, version: "v1", title: "x"},
	} {
		if d := cmp.Diff(want, parseTag(subject), cmp.AllowUnexported(tag{})); d != "" {
			t.Errorf("%q: %s", subject, d)
		}
	}
}

func FuzzMbox(f *testing.F) {
	files, err := filepath.Glob("testdata/mbox/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no corpus: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := loadMbox("x.mbox", body)
		if err != nil {
			if fault.Of(err) != fault.Input {
				t.Errorf("%v is no input error", err)
			}
			return
		}
		if len(s.Patches) == 0 || s.Hash == "" {
			t.Errorf("accepted without patches: %+v", s)
		}
		for _, p := range s.Patches {
			if len(p.Files) == 0 || p.Name == "" || strings.ContainsAny(p.Author, "\n\x00") {
				t.Errorf("accepted %+v", p)
			}
		}
	})
}

// endless has no end, as /dev/zero.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

func TestEndlessFile(t *testing.T) {
	const limit = 2 << 20
	if _, err := readBounded(endless{}, limit); err == nil || err.Error() != "it holds more than 2 MiB" {
		t.Errorf("%v", err)
	}
	if b, err := readBounded(io.LimitReader(endless{}, limit), limit); err != nil || len(b) != limit {
		t.Errorf("up to the limit: %d bytes, %v", len(b), err)
	}
}
