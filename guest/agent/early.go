// SPDX-License-Identifier: GPL-2.0-or-later

package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"

	"packtest/guest/wire"
)

// ServeEarly carries out the job that was in the guest before its boot, and only
// then opens the connection and has the same conversation as Serve: the host's
// words come when the host pleases, and what is to be the same in every boot
// must not depend on that. The job that the host sends must be the one that was
// carried out.
func (a *Agent) ServeEarly(ctx context.Context, job wire.Job, open func() (io.ReadWriter, error)) error {
	var said bytes.Buffer
	w := wire.NewWriter(&said)
	if err := a.greet(w); err != nil {
		return err
	}
	greeting := said.Len()
	// After a panic there is no done, but what came before is still told.
	failure := a.work(ctx, w, &job)
	conn, err := open()
	if err != nil {
		return errors.Join(failure, err)
	}
	if _, err := conn.Write(said.Next(greeting)); err != nil {
		return err
	}
	asked, err := awaitJob(conn)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(*asked, job) {
		return errors.New("the host asks for another job than the one that was in the guest")
	}
	_, err = conn.Write(said.Bytes())
	return errors.Join(failure, err)
}
