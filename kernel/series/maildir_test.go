// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"packtest/internal/fault"
)

// maildir makes a Maildir of the mails of an mbox, the last one first.
func maildir(t *testing.T, mbox string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/mbox", mbox))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "v6")
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mails := splitMbox(b)
	for i, m := range mails {
		name := fmt.Sprintf("cur/16431024%02d.M1.host:2,S", len(mails)-i)
		if i == 1 {
			name = "new/1643102499.M1.host"
		}
		if err := os.WriteFile(filepath.Join(dir, name), m, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A thread saved as a Maildir is the series that it is as an mbox.
func TestMaildir(t *testing.T) {
	ctx := context.Background()
	r, base := repo(t)
	for _, mbox := range []string{"plain.mbox", "b4.mbox", "flowed.mbox"} {
		want, err := Open(filepath.Join("testdata/mbox", mbox))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(maildir(t, mbox))
		if err != nil {
			t.Fatal(err)
		}
		a, err := Apply(ctx, r, base, []Series{want})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Apply(ctx, r, base, []Series{got})
		if err != nil || a != b || got.Title != want.Title || got.Name != "v6" {
			t.Errorf("%s: %s called %q %q, %v; as an mbox %s, %q", mbox, b, got.Name, got.Title, err, a, want.Title)
		}
	}
}

func TestMaildirRefuses(t *testing.T) {
	empty := maildir(t, "only-replies.mbox")
	odd := maildir(t, "plain.mbox")
	if err := os.WriteFile(filepath.Join(odd, "cur", "note"), []byte("to do\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	two := maildir(t, "plain.mbox")
	if err := os.WriteFile(filepath.Join(two, "cur", "other"), []byte("From: a@example.org\nSubject: [PATCH 1/2] other\n\n---\ndiff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{empty: "v6 holds no patch", odd: "cur/note is no mail", two: "several"} {
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), want) || fault.Of(err) != fault.Input {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
}

// What b4 am writes has no cover letter, and in each patch the trailers that its
// reviewers sent.
func TestB4Am(t *testing.T) {
	b, err := os.ReadFile("testdata/mbox/plain.mbox")
	if err != nil {
		t.Fatal(err)
	}
	var mbox strings.Builder
	for _, m := range splitMbox(b)[1:] {
		text := strings.Replace(string(m), "\n---\n", "\nReviewed-by: Ada Reviewer <ada@example.org>\n---\n", 1)
		text = strings.Replace(text, "\nMIME-Version", "\nIn-Reply-To: <2022-0@example.org>\nX-Mailer: b4\nMIME-Version", 1)
		mbox.WriteString("From git@z Thu Jan  1 00:00:00 1970\n" + text + "\n")
	}
	path := filepath.Join(t.TempDir(), "v6_20220125_bjorn_core.mbx")
	if err := os.WriteFile(path, []byte(mbox.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil || len(s.Patches) != 3 || len(s.Notes) != 0 || s.Name != "v6_20220125_bjorn_core" {
		t.Fatalf("%d patches of %q, notes %q, %v", len(s.Patches), s.Name, s.Notes, err)
	}
	for _, p := range s.Patches {
		if !strings.HasSuffix(p.Message, "\nReviewed-by: Ada Reviewer <ada@example.org>\n") {
			t.Errorf("%s: the changelog is %q", p.Name, p.Message)
		}
	}
}
