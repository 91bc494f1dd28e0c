// SPDX-License-Identifier: GPL-2.0-or-later

package agent

import (
	"context"
	"io"

	"packtest/guest/wire"
)

// ServeAlone carries out a job that nobody sent, and says to out what it would
// say to a host: for a file that a host reads later.
func (a *Agent) ServeAlone(ctx context.Context, job wire.Job, out io.Writer) error {
	w := wire.NewWriter(out)
	if err := a.greet(w); err != nil {
		return err
	}
	return a.work(ctx, w, &job)
}
