// SPDX-License-Identifier: GPL-2.0-or-later

package proc

import (
	"context"
	"strings"
)

// Version returns the first line of what a program prints when it is asked for
// its version.
func Version(ctx context.Context, program string) (string, error) {
	out, err := Output(ctx, "", program, "--version")
	line, _, _ := strings.Cut(out, "\n")
	return line, err
}
