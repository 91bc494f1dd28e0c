// SPDX-License-Identifier: GPL-2.0-or-later

package plugin

import (
	"errors"
	"slices"
	"strings"
	"syscall"

	"packtest/internal/proc"
)

// unable is an error that is the same the next time.
type unable struct{ error }

func (u *unable) Unwrap() error { return u.error }

// Unable tells whether an error of Build or Check shows that this machine can't trace.
// Any other, such as a full disk's, may be gone the next time and shows nothing.
func Unable(err error) bool { return errors.As(err, new(*unable)) }

// judged is unable, if err is of a compiler or QEMU that ended by itself and lacked
// nothing that comes and goes.
func judged(err error) error {
	ee := (*proc.ExitError)(nil)
	if !errors.As(err, &ee) || ee.Result.Code < 0 || ee.Result.Code > 128 { // a shell's word for a signal
		return err
	}
	said := strings.ToLower(string(ee.Result.Stderr))
	if slices.ContainsFunc(passing(), func(text string) bool { return strings.Contains(said, text) }) {
		return err
	}
	return &unable{err}
}

// passing is what compilers and QEMU say of trouble that is not theirs: gcc ends by
// itself with an error if what it started was killed.
func passing() []string {
	list := []string{"signal terminated program", "terminated with signal", "out of memory", "memory exhausted"}
	for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.ENOMEM, syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE} {
		list = append(list, e.Error())
	}
	return list
}
