// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LogRecord is one record of the kernel's log.
type LogRecord struct {
	Level int           // 0 (emergency) to 7 (debug)
	Seq   uint64        // counts all records
	Since time.Duration // from the kernel's start
	Text  string
}

// KernelLog reads the kernel's log from now on (/dev/kmsg).
type KernelLog struct {
	fd   int
	next uint64
	// Lost counts records that were overwritten before they were read.
	Lost uint64
}

// Log opens the kernel's log at its end. Close it.
func (k Kernel) Log() (*KernelLog, error) {
	path := k.path("/dev/kmsg")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if _, err := unix.Seek(fd, 0, io.SeekEnd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("seek %s: %w", path, err)
	}
	return &KernelLog{fd: fd}, nil
}

// Next returns the next record, and false if there is none yet.
func (l *KernelLog) Next() (LogRecord, bool, error) {
	buf := make([]byte, 8192)
	for {
		n, err := unix.Read(l.fd, buf)
		switch err {
		case nil:
		case unix.EAGAIN:
			return LogRecord{}, false, nil
		case unix.EPIPE, unix.EINTR:
			continue // Overwritten records show as a gap in the numbers.
		default:
			return LogRecord{}, false, fmt.Errorf("read /dev/kmsg: %w", err)
		}
		r, err := ParseLogRecord(string(buf[:n]))
		if err != nil {
			return r, false, err
		}
		if l.next != 0 && r.Seq > l.next {
			l.Lost += r.Seq - l.next
		}
		l.next = r.Seq + 1
		return r, true, nil
	}
}

// Close closes the log.
func (l *KernelLog) Close() error { return unix.Close(l.fd) }

var errLogRecord = errors.New("malformed record in the kernel's log")

// ParseLogRecord parses a record as /dev/kmsg gives it: "level,number,
// microseconds,flags[,...];text", and lines that begin with a space and are
// left out here.
func ParseLogRecord(s string) (LogRecord, error) {
	prefix, text, ok := strings.Cut(s, ";")
	fields := strings.Split(prefix, ",")
	if !ok || len(fields) < 4 {
		return LogRecord{}, errLogRecord
	}
	level, err1 := strconv.ParseUint(fields[0], 10, 32)
	seq, err2 := strconv.ParseUint(fields[1], 10, 63)
	micros, err3 := strconv.ParseUint(fields[2], 10, 53)
	if err1 != nil || err2 != nil || err3 != nil {
		return LogRecord{}, errLogRecord
	}
	text, _, _ = strings.Cut(text, "\n")
	return LogRecord{Level: int(level & 7), Seq: seq, Since: time.Duration(micros) * time.Microsecond, Text: text}, nil
}
