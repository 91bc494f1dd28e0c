// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"packtest/internal/fault"
)

// letter is one mail, decoded the way git mailinfo does it: the headers and the
// changelog in UTF-8, the diff byte for byte as it was sent.
type letter struct {
	from, date, subject string
	text                []byte
}

// maxDepth bounds how deep parts of a mail may be nested.
const maxDepth = 8

// readMail decodes a mail. Patches that came as attachments, each a whole mail
// of its own, are letters of their own behind it.
func readMail(raw []byte) ([]letter, error) { return readNested(raw, 0) }

func readNested(raw []byte, depth int) ([]letter, error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, fault.Inputf("its headers can't be read: %w", err)
	}
	l := letter{from: sender(m.Header.Get("From")), date: date(m.Header.Get("Date")), subject: words(m.Header.Get("Subject"))}
	var c content
	if err := c.part(textproto.MIMEHeader(m.Header), m.Body, depth); err != nil {
		return nil, err
	}
	l.text = c.text
	l.inBody()
	return append([]letter{l}, c.attached...), nil
}

// patch returns the letter as git format-patch would have written it.
func (l letter) patch() []byte {
	var b bytes.Buffer
	for _, h := range [][2]string{{"From", l.from}, {"Date", l.date}, {"Subject", l.subject}} {
		if h[1] != "" || h[0] == "From" {
			fmt.Fprintf(&b, "%s: %s\n", h[0], h[1])
		}
	}
	b.WriteString("\n")
	b.Write(l.text)
	return b.Bytes()
}

// inBody takes headers at the top of the text for the mail's own: git send-email
// puts the author there where somebody else sends the patch.
func (l *letter) inBody() {
	text := bytes.TrimLeft(l.text, "\n")
	found := false
	for {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		name, value, ok := strings.Cut(strings.TrimPrefix(string(line), ">"), ": ")
		value = strings.TrimSpace(value)
		switch {
		case ok && name == "From" && strings.Contains(value, "@"):
			l.from = sender(value)
		case ok && name == "Date":
			l.date = date(value)
		case ok && name == "Subject":
			l.subject = words(value)
		default:
			if found {
				l.text = bytes.TrimLeft(text, "\n")
			}
			return
		}
		text, found = rest, true
	}
}

// content gathers the text of a mail's parts.
type content struct {
	text     []byte
	inDiff   bool
	attached []letter
}

// part adds one part: the mail itself, or one of a multipart's.
func (c *content) part(h textproto.MIMEHeader, body io.Reader, depth int) error {
	if depth > maxDepth {
		return fault.Inputf("its parts are nested more than %d deep", maxDepth)
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind == "" {
		kind, params = "text/plain", nil // as RFC 2045 has it where nothing is said
	}
	if strings.HasPrefix(kind, "multipart/") {
		return c.parts(multipart.NewReader(body, params["boundary"]), depth)
	}
	_, disposition, _ := mime.ParseMediaType(h.Get("Content-Disposition"))
	file := disposition["filename"]
	if file == "" {
		file = params["name"]
	}
	isPatch := strings.HasSuffix(file, ".patch") || strings.HasSuffix(file, ".diff")
	if kind == "text/html" || !strings.HasPrefix(kind, "text/") && kind != "message/rfc822" && !isPatch {
		return nil // a signature, a picture, the same once more for browsers
	}
	text, err := transferred(h.Get("Content-Transfer-Encoding"), body)
	if err != nil {
		return err
	}
	if strings.EqualFold(params["format"], "flowed") {
		text = flowed(text, strings.EqualFold(params["delsp"], "yes"))
	}
	if kind == "message/rfc822" || file != "" && isMail(text) {
		for _, raw := range splitMbox(text) {
			more, err := readNested(raw, depth+1)
			if err != nil {
				return fmt.Errorf("attached to it: %w", err)
			}
			c.attached = append(c.attached, more...)
		}
		return nil
	}
	return c.add(text, params["charset"])
}

func (c *content) parts(r *multipart.Reader, depth int) error {
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fault.Inputf("its parts can't be told apart: %w", err)
		}
		if err := c.part(p.Header, p, depth+1); err != nil {
			return err
		}
	}
}

// diffBegins is where git mailinfo, too, ends the changelog.
var diffBegins = regexp.MustCompile(`(?m)^(---$|--- .|diff -|Index: )`)

// add appends text; what stands before the diff becomes UTF-8.
func (c *content) add(text []byte, charset string) error {
	message, diff := text, []byte(nil)
	if c.inDiff {
		message, diff = nil, text
	} else if at := diffBegins.FindIndex(text); at != nil {
		message, diff = text[:at[0]], text[at[0]:]
		c.inDiff = true
	}
	message, err := toUTF8(message, charset)
	if err != nil {
		return err
	}
	c.text = append(append(c.text, message...), diff...)
	if n := len(c.text); n > 0 && c.text[n-1] != '\n' {
		c.text = append(c.text, '\n')
	}
	return nil
}

// transferred undoes a transfer encoding. Encoded text has lines that end with
// \r\n, so they are made plain ones where all of them are so.
func transferred(encoding string, body io.Reader) ([]byte, error) {
	encoded := true
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "", "7bit", "8bit", "binary":
		encoded = false
	default:
		return nil, fault.Inputf("its transfer encoding %q is unknown", encoding)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, fault.Inputf("its text can't be decoded as %s: %w", encoding, err)
	}
	if crlf := []byte("\r\n"); encoded && bytes.Count(b, crlf) == bytes.Count(b, []byte("\n")) {
		b = bytes.ReplaceAll(b, crlf, []byte("\n"))
	}
	return b, nil
}

// toUTF8 converts text. What does not say how it is written, or is not what it
// says, is UTF-8 if it can be that and Latin-1 otherwise, as git guesses.
func toUTF8(b []byte, charset string) ([]byte, error) {
	charset = strings.ToLower(charset)
	if charset == "" || charset == "utf-8" || charset == "us-ascii" {
		if utf8.Valid(b) {
			return b, nil
		}
		charset = "iso-8859-1"
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return nil, fault.Inputf("its character set %q is unknown", charset)
	}
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return nil, fault.Inputf("its text can't be read as %s: %w", charset, err)
	}
	return out, nil
}

// words decodes a header's encoded words (RFC 2047). One that can't be decoded
// stays as it is: it is a name or a title, and nothing depends on it.
func words(s string) string {
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(r), nil
	}}
	out, err := d.DecodeHeader(s)
	if err != nil {
		out = s
	}
	if !utf8.ValidString(out) {
		b, _ := toUTF8([]byte(out), "")
		out = string(b)
	}
	return strings.Join(strings.Fields(out), " ")
}

// encoded decodes s if it has encoded words, and else leaves every blank of it.
func encoded(s string) string {
	if strings.Contains(s, "=?") {
		return words(s)
	}
	return s
}

// sender returns "NAME <MAIL>" of a From header.
func sender(s string) string {
	a, err := mail.ParseAddress(strings.TrimSpace(s))
	if err != nil {
		return words(s)
	}
	if a.Name == "" {
		return a.Address
	}
	return words(a.Name) + " <" + a.Address + ">"
}

// date returns a Date header as git writes it; "" if it says no time.
func date(s string) string {
	t, err := mail.ParseDate(strings.TrimSpace(s))
	if err != nil {
		return ""
	}
	return t.Format(time.RFC1123Z)
}
