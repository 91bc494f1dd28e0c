// SPDX-License-Identifier: GPL-2.0-or-later

package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"packtest/internal/fault"
)

// identity is who makes packtest's commits, and when: always the same, so that
// the same files always give the same commit.
const identity = "packtest <packtest@localhost> 1136073600 +0000"

// feedTree writes a stream for git fast-import: one commit, mark 1, with every
// file of the archive below its top folder. It returns the top Makefile.
func feedTree(w *bufio.Writer, r io.Reader, name string) (makefile string, err error) {
	end := &zeroTail{r: r}
	archive := tar.NewReader(end)
	message := "The kernel as it was unpacked\n"
	fmt.Fprintf(w, "commit refs/heads/base\nmark :1\nauthor %s\ncommitter %s\ndata %d\n%s\n", identity, identity, len(message), message)
	files := 0
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", readError(name, err)
		}
		p, ok := belowTop(h.Name)
		if !ok {
			continue
		}
		switch h.Typeflag {
		case tar.TypeReg:
			mode := "100644"
			if h.Mode&0o100 != 0 {
				mode = "100755"
			}
			fmt.Fprintf(w, "M %s inline %s\ndata %d\n", mode, quotePath(p), h.Size)
			var from io.Reader = archive
			var keep bytes.Buffer
			if p == "Makefile" {
				from = io.TeeReader(archive, &keep)
			}
			if _, err := io.Copy(w, from); err != nil {
				return "", readError(name, err)
			}
			if p == "Makefile" {
				makefile = keep.String()
			}
			w.WriteByte('\n')
		case tar.TypeSymlink:
			fmt.Fprintf(w, "M 120000 inline %s\ndata %d\n%s\n", quotePath(p), len(h.Linkname), h.Linkname)
		default:
			continue // folders come with their files
		}
		files++
	}
	if files == 0 {
		return "", damaged(name, errors.New("there is no file in it"))
	}
	if end.zeros < 1024 {
		return "", damaged(name, errors.New("the end of the archive is missing"))
	}
	w.WriteString("\ndone\n")
	if err := w.Flush(); err != nil {
		return "", fmt.Errorf("unpack %s: %w", name, err)
	}
	return makefile, nil
}

// zeroTail counts the zero bytes at the end of what was read: an archive ends
// with 1024 of them, one that was cut between two files does not, and nothing
// else tells them apart.
type zeroTail struct {
	r     io.Reader
	zeros int
}

func (z *zeroTail) Read(b []byte) (int, error) {
	n, err := z.r.Read(b)
	for _, c := range b[:n] {
		if c == 0 {
			z.zeros++
		} else {
			z.zeros = 0
		}
	}
	return n, err
}

// quotePath quotes a path the way git reads it: octal for what is not plain.
func quotePath(p string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(p); i++ {
		if c := p[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			fmt.Fprintf(&b, "\\%03o", c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// readError tells a broken archive from a git that has gone.
func readError(name string, err error) error {
	if errors.Is(err, errGitEnded) || errors.Is(err, context.Canceled) || fault.Of(err) != fault.Harness {
		return err
	}
	return damaged(name, err)
}

// belowTop removes the archive's top folder from a name; false for what is not
// below it, and for names that would lead out of the tree.
func belowTop(name string) (string, bool) {
	clean := path.Clean(strings.TrimPrefix(name, "./"))
	_, rest, ok := strings.Cut(clean, "/")
	if !ok || strings.HasPrefix(clean, "/") || strings.HasPrefix(clean, "../") || rest == ".git" || strings.HasPrefix(rest, ".git/") {
		return "", false
	}
	return rest, true
}
