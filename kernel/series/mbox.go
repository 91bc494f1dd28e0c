// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"regexp"

	"packtest/internal/fault"
)

// maxMbox bounds what an mbox may hold, packed and unpacked.
const maxMbox = 256 << 20

// readBounded reads all of r, which is an error if that is more than limit.
func readBounded(r io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("it holds more than %d MiB", limit>>20)
	}
	return b, err
}

var (
	// fromLine is what begins a mail in an mbox: who sent it, and a time. git
	// mailsplit goes by the time as well, since "From " begins sentences too.
	fromLine = regexp.MustCompile(`^From \S+ .*\d{1,2}:\d\d:\d\d .*\d{4}`)
	// headerLine begins a header.
	headerLine = regexp.MustCompile(`^[!-9;-~]+:`)
	// quotedFrom is a line that mboxrd has quoted lest it begin a mail.
	quotedFrom = regexp.MustCompile(`(?m)^>(>*From )`)
	// mboxrd is what public-inbox and b4 write between mails; such mails have
	// their "From " lines quoted so that it can be undone.
	mboxrd = []byte("From mboxrd@z ")
)

// unpack undoes gzip, as which list archives hand out threads.
func unpack(name string, b []byte) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err == nil {
		b, err = readBounded(z, maxMbox)
	}
	if err != nil {
		return nil, fault.Inputf("unpack %s: %w", name, err)
	}
	return b, nil
}

// isMail tells a mail or an mbox from a bare diff.
func isMail(b []byte) bool {
	b = bytes.TrimLeft(b, "\r\n")
	return fromLine.Match(b) || headerLine.Match(b)
}

// splitMbox returns the mails of an mbox without the lines that part them. A
// text without such lines is one mail. Line ends become \n, as git am has them.
func splitMbox(b []byte) [][]byte {
	lines := bytes.SplitAfter(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"))
	var mails [][]byte
	var quoted []bool
	for i, l := range lines {
		begins := fromLine.Match(l) && i+1 < len(lines) && headerLine.Match(lines[i+1])
		switch {
		case begins:
			mails = append(mails, nil)
			quoted = append(quoted, bytes.HasPrefix(l, mboxrd))
		case len(mails) == 0 && len(bytes.TrimSpace(l)) == 0:
		case len(mails) == 0:
			mails, quoted = [][]byte{l}, []bool{false}
		default:
			last := len(mails) - 1
			mails[last] = append(mails[last], l...)
		}
	}
	for i := range mails {
		if quoted[i] {
			mails[i] = quotedFrom.ReplaceAll(mails[i], []byte("$1"))
		}
	}
	return mails
}
