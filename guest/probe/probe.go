// SPDX-License-Identifier: GPL-2.0-or-later

// Package probe reads what the kernel shows of its memory and of itself: one
// source, one file, one function. A Parse function turns text into values and
// knows nothing of files; a method of Kernel opens the file and parses it. What
// the values mean for a measurement is for scenarios to say.
package probe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Kernel is where a kernel shows itself. The zero value is the running one.
type Kernel struct {
	// Root is put before every path, for tests; "" is the machine's own root.
	Root string
	// Arch is packtest's word for the architecture; "" is the running one's.
	Arch string
}

// ArchName returns packtest's word for Go's name of an architecture, which it
// returns as it is if packtest has none.
func ArchName(goarch string) string {
	if goarch == "amd64" {
		return "x86_64"
	}
	return goarch
}

func (k Kernel) arch() string {
	if k.Arch != "" {
		return k.Arch
	}
	return ArchName(runtime.GOARCH)
}

func (k Kernel) path(name string) string { return filepath.Join(k.Root, name) }

// read parses one of the kernel's files.
func read[T any](k Kernel, name string, parse func(io.Reader) (T, error)) (T, error) {
	var none T
	f, err := os.Open(k.path(name))
	if err != nil {
		return none, err
	}
	defer f.Close()
	v, err := parse(f)
	if err != nil {
		return none, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// readString returns a small file, of at most 4 KiB, without the white space
// around it. It goes around package os, which would offer each file to its
// poller: before its first message process 1 reads two dozen.
func (k Kernel) readString(name string) (string, error) {
	path := k.path(name)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, PageBytes)
	n, err := unix.Read(fd, b)
	if err != nil {
		return "", &os.PathError{Op: "read", Path: path, Err: err}
	}
	return strings.TrimSpace(string(b[:n])), nil
}

// SetSysctl sets a kernel parameter, such as "net.core.bpf_jit_harden".
func (k Kernel) SetSysctl(name, value string) error {
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	f, err := os.OpenFile(k.path(path), os.O_WRONLY|os.O_TRUNC, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("set %s to %s: %w", name, value, err)
	}
	return nil
}

// lineError names the line of a text that could not be understood.
func lineError(line string) error {
	if len(line) > 120 {
		line = line[:120]
	}
	return fmt.Errorf("unexpected line %q", line)
}
