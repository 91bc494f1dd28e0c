// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

// relay stands between QEMU and the QMP library, which hands out replies that
// lie in its read buffer and goes on reading into it. After a reply, relay holds
// back what QEMU says until the reply was copied.
type relay struct {
	qemu net.Conn // to QEMU
	lib  net.Conn // to the library
	ack  chan struct{}
	over chan struct{} // closed when QEMU says no more
	done chan struct{} // closed to end it
}

// newRelay returns a relay to QEMU and the library's monitor at its other end.
// The sockets are made in dir.
func newRelay(dir string, qemu net.Conn, done chan struct{}) (*relay, *qmp.SocketMonitor, error) {
	path := filepath.Join(dir, "lib")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	mon, err := qmp.NewSocketMonitor("unix", path, 5*time.Second)
	if err != nil {
		return nil, nil, err
	}
	if err := l.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, nil, err
	}
	lib, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	r := &relay{qemu: qemu, lib: lib, ack: make(chan struct{}), over: make(chan struct{}), done: done}
	go r.commands()
	go r.replies()
	return r, mon, nil
}

// commands passes on what the library says, and then its end.
func (r *relay) commands() {
	_, _ = io.Copy(r.qemu, r.lib)
	r.qemu.Close()
}

// replies passes on what QEMU says, line by line.
func (r *relay) replies() {
	defer close(r.over)
	defer r.lib.Close()
	in := bufio.NewReader(r.qemu)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if _, err := r.lib.Write(line); err != nil {
			return
		}
		if !isReply(line) {
			continue
		}
		select {
		case <-r.ack:
		case <-r.done:
			return
		}
	}
}

// copied says that the last reply is no longer needed where the library left it.
func (r *relay) copied() {
	select {
	case r.ack <- struct{}{}:
	case <-r.over:
	case <-r.done:
	}
}

// isReply tells a reply from QEMU's greeting and its events.
func isReply(line []byte) bool {
	var m map[string]json.RawMessage
	if json.Unmarshal(line, &m) != nil {
		return false
	}
	_, ok := m["return"]
	if !ok {
		_, ok = m["error"]
	}
	return ok
}

// monitorError wraps what went wrong while the sockets were made.
func monitorError(err error) error { return fmt.Errorf("make QEMU's control socket: %w", err) }
