// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Interruptions is /proc/interrupts, kept open, since it is read between two calls
// that shall come close after another.
type Interruptions struct {
	fd     int
	buffer []byte
}

// OpenInterruptions opens it. Close it.
func (k Kernel) OpenInterruptions() (*Interruptions, error) {
	path := k.path("/proc/interrupts")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &Interruptions{fd, make([]byte, 4*PageBytes)}, nil
}

// Of returns a number that rises whenever the processor, one of those that are
// running, is interrupted, and else stays: the sum of what is counted for it, some
// of it twice.
func (i *Interruptions) Of(processor int) (uint64, error) {
	n, err := unix.Pread(i.fd, i.buffer, 0)
	if err != nil {
		return 0, fmt.Errorf("read /proc/interrupts: %w", err)
	}
	return parseInterruptions(string(i.buffer[:n]), processor)
}

// Close closes it.
func (i *Interruptions) Close() error { return unix.Close(i.fd) }

// parseInterruptions sums up the column of a processor, as far as the text goes,
// which may end anywhere.
func parseInterruptions(text string, processor int) (sum uint64, err error) {
	head, text, _ := strings.Cut(text, "\n")
	columns := strings.Fields(head)
	name := fmt.Sprintf("CPU%d", processor)
	at := 0
	for at < len(columns) && columns[at] != name {
		at++
	}
	if at == len(columns) {
		return 0, fmt.Errorf("/proc/interrupts has no %s in %q", name, head)
	}
	lines := 0
	for {
		var line string
		var whole bool
		if line, text, whole = strings.Cut(text, "\n"); !whole {
			break
		}
		// Its name, the columns, and then perhaps some words.
		f := strings.Fields(line)
		if len(f) < 1+len(columns) {
			continue // of all processors together
		}
		v, err := strconv.ParseUint(f[1+at], 10, 64)
		if err != nil {
			return 0, lineError(line)
		}
		sum += v
		lines++
	}
	if lines == 0 {
		return 0, errors.New("/proc/interrupts tells of no interruption")
	}
	return sum, nil
}
