// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// socketPair returns one end for us and one for QEMU. Such sockets have no name,
// so none is left behind, and each side sees the other's death at once.
func socketPair(name string) (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the %s socket: %w", name, err)
	}
	mine := os.NewFile(uintptr(fds[0]), name)
	defer mine.Close()
	theirs = os.NewFile(uintptr(fds[1]), name)
	ours, err = net.FileConn(mine)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make the %s socket: %w", name, err)
	}
	return ours, theirs, nil
}

// port is our end of the talk. It notes the guest's first word and its signs
// of life.
type port struct {
	net.Conn
	pulse *pulse
	start time.Time
	once  sync.Once
	first chan time.Duration // gets the time of the first word, from start
}

func newPort(c net.Conn, p *pulse) *port {
	return &port{Conn: c, pulse: p, first: make(chan time.Duration, 1)}
}

// Read implements io.Reader.
func (p *port) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 {
		p.pulse.beat()
		p.once.Do(func() { p.first <- time.Since(p.start) })
	}
	return n, err
}
