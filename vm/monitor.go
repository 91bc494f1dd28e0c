// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/digitalocean/go-qemu/qmp"

	"packtest/internal/cache"
)

// monitor is QEMU's control socket with the deadlines that qmp.SocketMonitor
// lacks. That library takes an event during its greeting for the reply, so the
// machine must not run before connect has returned; and an event that nobody
// takes blocks every command, so connect starts a goroutine that always does.
// What else it needs, see relay.
type monitor struct {
	mon    *qmp.SocketMonitor
	relay  *relay
	events chan qmp.Event
	done   chan struct{} // closed by close
	once   sync.Once
}

// dialMonitor makes a listening socket and connects to it before anybody can
// accept: the listener is handed to QEMU as an open file. So there is no waiting
// for QEMU to make its socket, and the socket's name is gone from the file
// system before QEMU starts, whatever becomes of either of us.
func dialMonitor() (m *monitor, listener *os.File, err error) {
	dir, remove, err := cache.TempDir("", "vm")
	if err == nil && len(dir) > 90 {
		// A socket's path has 108 bytes, however long TMPDIR is.
		remove()
		dir, remove, err = cache.TempDir("/tmp", "vm")
	}
	if err != nil {
		return nil, nil, monitorError(err)
	}
	defer remove()
	path := filepath.Join(dir, "qmp")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, monitorError(err)
	}
	defer l.Close()
	qemu, err := net.Dial("unix", path)
	if err != nil {
		return nil, nil, monitorError(err)
	}
	m = &monitor{events: make(chan qmp.Event, 64), done: make(chan struct{})}
	if m.relay, m.mon, err = newRelay(dir, qemu, m.done); err != nil {
		qemu.Close()
		return nil, nil, monitorError(err)
	}
	if listener, err = l.File(); err != nil {
		m.close()
		return nil, nil, monitorError(err)
	}
	return m, listener, nil
}

// connect exchanges greetings. If it returns ctx's error, kill must end QEMU, or
// whoever holds the listening socket: nothing else ends the library's wait.
func (m *monitor) connect(ctx context.Context, kill func()) error {
	connected := make(chan error, 1)
	go func() { connected <- m.mon.Connect() }()
	var err error
	select {
	case err = <-connected:
	case <-ctx.Done():
		kill()
		<-connected
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("greet QEMU: %w", err)
	}
	m.relay.copied()
	events, err := m.mon.Events(ctx)
	if err != nil {
		return fmt.Errorf("greet QEMU: %w", err)
	}
	go func() {
		for e := range events {
			select {
			case m.events <- e:
			case <-m.done:
			}
		}
	}()
	return nil
}

// version returns what QEMU says it is, such as "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".
func (m *monitor) version() string {
	v := m.mon.Version
	if v == nil {
		return ""
	}
	s := fmt.Sprintf("%d.%d.%d", v.QEMU.Major, v.QEMU.Minor, v.QEMU.Micro)
	if v.Package != "" {
		s += " (" + v.Package + ")"
	}
	return s
}

// run runs a command and returns what it returned. After an error of ctx's the
// monitor can only be closed.
func (m *monitor) run(ctx context.Context, command string, args map[string]any) (json.RawMessage, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("QMP %s: %w", command, context.Cause(ctx))
	}
	c := qmp.Command{Execute: command}
	if args != nil {
		c.Args = args
	}
	req, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("QMP %s: %w", command, err)
	}
	type reply struct {
		b   []byte
		err error
	}
	replied := make(chan reply, 1)
	go func() {
		b, err := m.mon.Run(req)
		b = bytes.Clone(b)
		m.relay.copied()
		replied <- reply{b, err}
	}()
	select {
	case r := <-replied:
		if r.err != nil {
			return nil, fmt.Errorf("QMP %s: %w", command, r.err)
		}
		var out struct {
			Return json.RawMessage `json:"return"`
		}
		if err := json.Unmarshal(r.b, &out); err != nil {
			return nil, fmt.Errorf("QMP %s: %w", command, err)
		}
		return out.Return, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("QMP %s: %w", command, context.Cause(ctx))
	}
}

// close drops the connection. QEMU must have ended, or run on without us. It may
// be called again.
func (m *monitor) close() {
	m.once.Do(m.drop)
}

func (m *monitor) drop() {
	close(m.done)
	m.relay.qemu.Close()
	m.relay.lib.Close()
	_ = m.mon.Disconnect()
}
