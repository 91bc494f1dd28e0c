// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"bytes"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// flowed undoes format=flowed (RFC 3676): a line that ends with a blank goes on
// in the next one, and a blank was put before lines that would be mistaken for
// something else. delsp says that the blank at the end belongs to the format as
// well. A text that only says that it is flowed, so that undoing it would harm
// its patch, stays as it is.
func flowed(text []byte, delsp bool) []byte {
	plain := unflow(text, delsp)
	if !wholeDiff(plain) && wholeDiff(text) {
		return text
	}
	return plain
}

func unflow(text []byte, delsp bool) []byte {
	var out []byte
	for _, line := range bytes.SplitAfter(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n")) {
		line = bytes.TrimPrefix(line, []byte(" "))
		soft := bytes.HasSuffix(line, []byte(" \n")) && !bytes.Equal(line, []byte("-- \n"))
		if soft {
			line = line[:len(line)-1]
			if delsp {
				line = line[:len(line)-1]
			}
		}
		out = append(out, line...)
	}
	return out
}

// wholeDiff tells whether text has patches in it that can be read.
func wholeDiff(text []byte) bool {
	files, _, err := gitdiff.Parse(bytes.NewReader(text))
	return err == nil && len(files) > 0
}
