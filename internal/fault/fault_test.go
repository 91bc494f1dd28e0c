// SPDX-License-Identifier: GPL-2.0-or-later

package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

type typed struct{}

func (typed) Error() string { return "typed" }
func (typed) Fault() Kind   { return Kernel }

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		kind Kind
		code int
	}{
		{"unclassed is the harness's", errors.New("x"), Harness, 3},
		{"input", Inputf("no such arch %q", "z"), Input, 2},
		{"wrapped input", fmt.Errorf("plan: %w", Inputf("x")), Input, 2},
		{"kernel", Kernelf("panic"), Kernel, 1},
		{"typed", fmt.Errorf("boot: %w", typed{}), Kernel, 1},
		{"cancelled", fmt.Errorf("build: %w", context.Canceled), Interrupted, 130},
		{"a deadline is not an interruption", context.DeadlineExceeded, Harness, 3},
		{"hint keeps the kind", WithHint(Inputf("x"), "do y"), Input, 2},
		{"hint keeps a typed kind", WithHint(typed{}, "do y"), Kernel, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Of(tc.err); got != tc.kind {
				t.Errorf("Of = %v, want %v", got, tc.kind)
			}
			if got := Of(tc.err).ExitCode(); got != tc.code {
				t.Errorf("exit code = %d, want %d", got, tc.code)
			}
		})
	}
}

func TestHintOf(t *testing.T) {
	err := fmt.Errorf("a: %w", &Error{Kind: Input, Err: WithHint(errors.New("b"), "run %s", "c")})
	if got := HintOf(err); got != "run c" {
		t.Errorf("HintOf = %q", got)
	}
	if got := HintOf(errors.New("b")); got != "" {
		t.Errorf("HintOf = %q, want none", got)
	}
}
