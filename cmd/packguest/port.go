// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"packtest/guest/wire"
)

const (
	portsDir = "/sys/class/virtio-ports"
	// portLimit is how long the port may take to appear: the driver learns the
	// ports' names from the host while process 1 already runs.
	portLimit = 20 * time.Second
	// hangUpLimit is how long the host may take to read to the end.
	hangUpLimit = 5 * time.Second
)

// port is the virtio-serial port to packtest.
type port struct {
	f     *os.File
	heard bool
}

// openPort finds the port by its name and opens it.
func openPort(limit time.Duration) (*port, error) {
	deadline := time.Now().Add(limit)
	for {
		device, err := findPort(portsDir, wire.PortName)
		if err != nil {
			return nil, err
		}
		if device != "" {
			f, err := os.OpenFile(filepath.Join("/dev", device), os.O_RDWR, 0)
			if err == nil {
				return &port{f: f}, nil
			}
			// devtmpfs may be a moment behind sysfs.
			if !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("no virtio-serial port called %s after %v", wire.PortName, limit)
		}
		time.Sleep(time.Millisecond)
	}
}

// findPort returns the device in dir whose name is name, or "".
func findPort(dir, name string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name(), "name"))
		if err == nil && strings.TrimSpace(string(b)) == name {
			return e.Name(), nil
		}
	}
	return "", nil
}

// Read waits for the host, which the driver doesn't do: as long as nobody has
// the other end open, it says that the stream is at its end.
func (p *port) Read(b []byte) (int, error) {
	for {
		n, err := p.f.Read(b)
		if n > 0 {
			p.heard = true
		}
		if p.heard || err != io.EOF {
			return n, err
		}
		time.Sleep(time.Millisecond)
	}
}

func (p *port) Write(b []byte) (int, error) { return p.f.Write(b) }

func (p *port) Close() error { return p.f.Close() }

// awaitHangUp returns when the host has closed its end, or after limit if that
// is not 0.
func (p *port) awaitHangUp(limit time.Duration) {
	if limit == 0 {
		io.Copy(io.Discard, p)
		return
	}
	over := make(chan struct{})
	go func() {
		io.Copy(io.Discard, p)
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(limit):
	}
}
