// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// Types are the types that a kernel knows of itself (BTF).
type Types struct {
	order   binary.ByteOrder
	types   []byte
	strings []byte
}

// Member is a member of a structure.
type Member struct {
	Index  int // among the members
	Offset int // in bytes
}

// KernelTypes reads the running kernel's types. The error is ErrNoTypes where
// there are none.
func KernelTypes() (*Types, error) {
	b, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNoTypes
	}
	if err != nil {
		return nil, err
	}
	return ParseTypes(b)
}

// ParseTypes takes types as the kernel shows them, in its own byte order. What is
// wrong with them is found out by whoever asks for a type.
func ParseTypes(b []byte) (*Types, error) {
	if len(b) < btfHeaderBytes {
		return nil, fmt.Errorf("types: %d bytes, too few for a header", len(b))
	}
	t := &Types{}
	switch {
	case binary.LittleEndian.Uint16(b) == btfMagic:
		t.order = binary.LittleEndian
	case binary.BigEndian.Uint16(b) == btfMagic:
		t.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("types: they begin with % x", b[:2])
	}
	header := uint64(t.order.Uint32(b[4:]))
	part := func(at int) ([]byte, error) {
		start, size := header+uint64(t.order.Uint32(b[at:])), uint64(t.order.Uint32(b[at+4:]))
		if start+size > uint64(len(b)) {
			return nil, fmt.Errorf("types: a part of %d bytes at %d in %d", size, start, len(b))
		}
		return b[start : start+size], nil
	}
	var err error
	if t.types, err = part(8); err != nil {
		return nil, err
	}
	t.strings, err = part(16)
	return t, err
}

// btfType is the head of one type, and what follows it.
type btfType struct {
	name, kind, count uint32
	rest              []byte
}

// restBytes is how much follows the head of a type of some kind: that for each
// of its parts, and that once.
func restBytes(kind uint32) (each, once int, ok bool) {
	switch kind {
	case kindInt, 14, 17: // variable, declaration tag
		return 0, 4, true
	case 3: // array
		return 0, 12, true
	case kindStruct, kindUnion, 15, 19: // section, 64-bit enumeration
		return 12, 0, true
	case 6, kindFuncProto: // enumeration
		return 8, 0, true
	case 2, 7, 8, 9, 10, 11, kindFunc, 16, 18: // names and modifiers of others
		return 0, 0, true
	}
	return 0, 0, false
}

// each calls f for every type with its number, from 1, until f returns false.
func (t *Types) each(f func(id uint32, b btfType) bool) error {
	const head = 12
	rest := t.types
	for id := uint32(1); len(rest) > 0; id++ {
		if len(rest) < head {
			return fmt.Errorf("type %d: %d bytes, too few", id, len(rest))
		}
		info := t.order.Uint32(rest[4:])
		b := btfType{name: t.order.Uint32(rest), kind: info >> 24 & 0x1f, count: info & 0xffff}
		each, once, ok := restBytes(b.kind)
		n := head + once + each*int(b.count)
		if !ok || n > len(rest) {
			return fmt.Errorf("type %d: of kind %d with %d parts in %d bytes", id, b.kind, b.count, len(rest))
		}
		b.rest, rest = rest[head:n], rest[n:]
		if !f(id, b) {
			return nil
		}
	}
	return nil
}

// is tells whether the string at an offset is name.
func (t *Types) is(offset uint32, name string) bool {
	if uint64(offset) >= uint64(len(t.strings)) {
		return false
	}
	s, found := bytes.CutPrefix(t.strings[offset:], []byte(name))
	return found && len(s) > 0 && s[0] == 0
}

func (t *Types) find(kind uint32, name string) (uint32, btfType, error) {
	var at uint32
	var found btfType
	err := t.each(func(id uint32, b btfType) bool {
		if b.kind == kind && t.is(b.name, name) {
			at, found = id, b
		}
		return at == 0
	})
	if err == nil && at == 0 {
		err = fmt.Errorf("the kernel's types have no %s", name)
	}
	return at, found, err
}

// Function returns the number of the kernel's function called name.
func (t *Types) Function(name string) (uint32, error) {
	id, _, err := t.find(kindFunc, name)
	return id, err
}

// Struct returns the number of the structure called name.
func (t *Types) Struct(name string) (uint32, error) {
	id, _, err := t.find(kindStruct, name)
	return id, err
}

// Member returns the member called name of the structure called structure, which
// must not be a bit field.
func (t *Types) Member(structure, name string) (Member, error) {
	_, b, err := t.find(kindStruct, structure)
	if err != nil {
		return Member{}, err
	}
	for i := range int(b.count) {
		m := b.rest[12*i:]
		// Where the structure has bit fields the upper eight bits are a width.
		if offset := t.order.Uint32(m[8:]) & 0xffffff; t.is(t.order.Uint32(m), name) && offset%8 == 0 {
			return Member{i, int(offset / 8)}, nil
		}
	}
	return Member{}, fmt.Errorf("struct %s has no member %s", structure, name)
}
