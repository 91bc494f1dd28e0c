// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// tape is a console that is only read: a file without a name, in memory, which
// QEMU writes and we follow. A socket would do as well, were it not for the
// serial port, which writes byte by byte: a socket takes a few hundred of those
// before the guest has to wait for us, and then what the guest does depends on
// how busy the host is. The disk is ours to fill or not, not QEMU's.
type tape struct {
	f     *os.File
	at    int64
	freed int64
	ended <-chan struct{} // closed when QEMU writes no more
}

// followEvery is how often the tape is looked at. A guest can't notice; a panic
// is noticed that much later.
const followEvery = 20 * time.Millisecond

// freeEvery is how much of what was read is given back to the host at once.
const freeEvery = 1 << 20

func newTape() (*tape, error) {
	fd, err := unix.MemfdCreate("console", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make the console: %w", err)
	}
	return &tape{f: os.NewFile(uintptr(fd), "console")}, nil
}

// Read implements io.Reader. It waits for more until QEMU has ended.
func (t *tape) Read(b []byte) (int, error) {
	for {
		over := false
		select {
		case <-t.ended:
			over = true
		default:
		}
		n, err := t.f.ReadAt(b, t.at)
		switch {
		case n > 0:
			t.at += int64(n)
			t.free()
			return n, nil
		case err != io.EOF || over:
			return 0, err
		}
		select {
		case <-t.ended:
		case <-time.After(followEvery):
		}
	}
}

// free gives back the memory of what was read.
func (t *tape) free() {
	if t.at-t.freed < freeEvery {
		return
	}
	// If it fails, it costs memory and nothing else.
	if unix.Fallocate(int(t.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, t.freed, t.at-t.freed) == nil {
		t.freed = t.at
	}
}
