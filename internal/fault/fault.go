// SPDX-License-Identifier: GPL-2.0-or-later

// Package fault says whose fault an error is, because the verdict and the exit
// code depend on it. It leaves to the callers what the error says.
//
// An error that no one has classed is the harness's own: a run that can't tell
// what happened must not look like a kernel that was tried.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind is whose fault an error is.
type Kind int

const (
	// Harness: packtest or the machine it runs on failed; nothing was proved.
	Harness Kind = iota
	// Input: what the user gave is wrong: a plan, a series, a name.
	Input
	// Kernel: the kernel under test is wrong: it panicked, hung or lied.
	Kernel
	// Interrupted: somebody asked for the end.
	Interrupted
)

// String returns the word used in messages and records.
func (k Kind) String() string {
	switch k {
	case Input:
		return "input"
	case Kernel:
		return "kernel"
	case Interrupted:
		return "interrupted"
	default:
		return "harness"
	}
}

// ExitCode returns the process exit code for an error of this kind: 1 for the
// kernel, 2 for the input, 3 for the harness, 130 for an interruption.
func (k Kind) ExitCode() int {
	switch k {
	case Input:
		return 2
	case Kernel:
		return 1
	case Interrupted:
		return 130
	default:
		return 3
	}
}

// Error is an error with a known culprit and, where there is one, the way out.
type Error struct {
	Kind Kind
	Err  error
	// Hint is one line that tells the user what to do; may be empty.
	Hint string
}

// Error returns the message without the hint; the command prints the hint on
// a line of its own.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the classed error.
func (e *Error) Unwrap() error { return e.Err }

// Faulter is implemented by typed errors that know their own kind.
type Faulter interface{ Fault() Kind }

// Inputf formats an input error.
func Inputf(format string, args ...any) error {
	return &Error{Kind: Input, Err: fmt.Errorf(format, args...)}
}

// Kernelf formats a kernel error.
func Kernelf(format string, args ...any) error {
	return &Error{Kind: Kernel, Err: fmt.Errorf(format, args...)}
}

// Harnessf formats a harness error.
func Harnessf(format string, args ...any) error {
	return &Error{Kind: Harness, Err: fmt.Errorf(format, args...)}
}

// WithHint adds the way out to an error, keeping its kind.
func WithHint(err error, format string, args ...any) error {
	return &Error{Kind: Of(err), Err: err, Hint: fmt.Sprintf(format, args...)}
}

// Of returns whose fault err is: the outermost classed error decides, a
// cancelled context is an interruption, and anything else is the harness's.
func Of(err error) Kind {
	var e *Error
	var f Faulter
	switch {
	case err == nil:
		return Harness
	case errors.As(err, &e):
		return e.Kind
	case errors.As(err, &f):
		return f.Fault()
	case errors.Is(err, context.Canceled):
		return Interrupted
	}
	return Harness
}

// HintOf returns the first hint found in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
