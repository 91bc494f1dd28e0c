// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Every page is one that man takes without a word, and says what --help says.
func TestManPages(t *testing.T) {
	model := testParser(t).Model
	man, manErr := exec.LookPath("man")
	if manErr != nil {
		t.Log("no man here: the pages are not rendered")
	}
	for _, n := range append([]*kong.Node{model.Node}, shown(model.Node)...) {
		page := manPage(model, n)
		for _, f := range n.Flags {
			if !f.Hidden && !strings.Contains(page, roff(f.String())) {
				t.Errorf("%s: lacks %s", n.Name, f.String())
			}
		}
		for _, l := range strings.Split(page, "\n") {
			if strings.HasPrefix(l, "'") {
				t.Errorf("%s: a line that roff takes for a request: %s", n.Name, l)
			}
		}
		if manErr != nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), man, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-")
		cmd.Stdin = strings.NewReader(page)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANROFFSEQ=", "MANWIDTH=80", "MANPAGER=cat", "PAGER=cat")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil || errs.Len() > 0 {
			t.Errorf("%s: %v\n%s", n.Name, err, errs.Bytes())
		}
		text := regexp.MustCompile(".\x08").ReplaceAllString(out.String(), "") // bold is struck twice
		if !strings.Contains(text, "OPTIONS") || !strings.Contains(text, "--results") {
			t.Errorf("%s: rendered as\n%s", n.Name, text)
		}
	}
}

func TestRoff(t *testing.T) {
	for in, want := range map[string]string{
		`a\b`: `a\eb`, "--arch": `\-\-arch`, ".TH x": `\&.TH x`, "it's": `it\(aqs`, "~/x": `\(ti/x`,
	} {
		if got := roff(in); got != want {
			t.Errorf("roff(%q) = %q, want %q", in, got, want)
		}
	}
	want := "One\ntwo.\n.PP\n.RS 4\n.nf\nkept\n.fi\n.RE\nThree.\n"
	if got := roffText("One\ntwo.\n\n  kept\nThree.\n"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestManFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"man", "--dir", dir}, nil, &out, &errs); code != 0 {
		t.Fatalf("exit code %d\n%s", code, errs.Bytes())
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) != len(shown(testParser(t).Model.Node))+1 {
		t.Errorf("%q, %v", pages, err)
	}
	if code := run(t.Context(), []string{"man", "nonsense"}, nil, &out, &errs); code != 2 || !strings.Contains(errs.String(), `no verb called "nonsense"`) {
		t.Errorf("exit code %d\n%s", code, errs.Bytes())
	}
}
