// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Map types by the kernel's numbers.
const (
	typeArray     = 2
	typeProgArray = 3
)

// cmdMapDelete is BPF_MAP_DELETE_ELEM.
const cmdMapDelete = 3

// newMap makes a map of one element.
func newMap(mapType uint32, bytes int) (int, error) {
	attr := struct{ mapType, keySize, valueSize, maxEntries, flags uint32 }{mapType, 4, uint32(bytes), 1, 0}
	return call(cmdMapCreate, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

type elemAttr struct {
	fd, _      uint32
	key, value unsafe.Pointer
	flags      uint64
}

// element issues cmd for a map's only element.
func element(cmd uintptr, fd int, value []byte) error {
	key := uint32(0)
	attr := elemAttr{fd: uint32(fd), key: unsafe.Pointer(&key), value: bytesPointer(value)}
	_, err := call(cmd, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// Array is a map of one element of some bytes (BPF_MAP_TYPE_ARRAY), which
// programs can address directly.
type Array struct {
	fd    int
	bytes int
}

// NewArray makes an Array, zeroed.
func NewArray(bytes int) (*Array, error) {
	fd, err := newMap(typeArray, bytes)
	if err != nil {
		return nil, fmt.Errorf("make an array of %d bytes: %w", bytes, err)
	}
	return &Array{fd: fd, bytes: bytes}, nil
}

// FD returns the map's file descriptor.
func (a *Array) FD() int { return a.fd }

// Bytes returns the map's size.
func (a *Array) Bytes() int { return a.bytes }

// Read returns what is in the map.
func (a *Array) Read() ([]byte, error) {
	b := make([]byte, a.bytes)
	if err := element(cmdMapLookup, a.fd, b); err != nil {
		return nil, fmt.Errorf("read array: %w", err)
	}
	return b, nil
}

// Write sets the map to b, which has its size.
func (a *Array) Write(b []byte) error {
	if len(b) != a.bytes {
		return fmt.Errorf("write %d bytes to an array of %d", len(b), a.bytes)
	}
	if err := element(cmdMapUpdate, a.fd, b); err != nil {
		return fmt.Errorf("write array: %w", err)
	}
	return nil
}

// Close gives the map back.
func (a *Array) Close() error { return unix.Close(a.fd) }

// Next is a map of one program (BPF_MAP_TYPE_PROG_ARRAY): the one that a tail
// call continues with.
type Next struct{ fd int }

// NewNext makes an empty Next.
func NewNext() (*Next, error) {
	fd, err := newMap(typeProgArray, 4)
	if err != nil {
		return nil, fmt.Errorf("make a program array: %w", err)
	}
	return &Next{fd}, nil
}

// FD returns the map's file descriptor.
func (n *Next) FD() int { return n.fd }

// Set puts a program in, in the place of the one before.
func (n *Next) Set(program int) error {
	value := make([]byte, 4)
	binary.NativeEndian.PutUint32(value, uint32(program))
	if err := element(cmdMapUpdate, n.fd, value); err != nil {
		return fmt.Errorf("put a program into an array: %w", err)
	}
	return nil
}

// Clear takes the program out: a tail call goes on behind itself.
func (n *Next) Clear() error {
	if err := element(cmdMapDelete, n.fd, nil); err != nil {
		return fmt.Errorf("take a program out of an array: %w", err)
	}
	return nil
}

// Close gives the map back, and its hold on the program in it.
func (n *Next) Close() error { return unix.Close(n.fd) }
