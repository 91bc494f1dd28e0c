// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cmdBTFLoad is BPF_BTF_LOAD.
const cmdBTFLoad = 18

// loadFunctionsAttr is BPF_PROG_LOAD's attributes as far as the functions' types.
type loadFunctionsAttr struct {
	loadAttr
	ifindex, attachType uint32
	btf, recordBytes    uint32
	records             unsafe.Pointer
	count               uint32
}

// LoadFunctions is Load for a program with functions that a helper calls back:
// the kernel wants every function's type for that. starts are the slots in which
// the functions begin, in order, the first of which is 0.
func LoadFunctions(t Type, name string, code []byte, starts []int) (int, error) {
	btf, err := loadBTF()
	if err != nil {
		return -1, err
	}
	defer unix.Close(btf)
	var records []byte
	for _, slot := range starts {
		records = binary.NativeEndian.AppendUint32(records, uint32(slot))
		records = binary.NativeEndian.AppendUint32(records, btfFunction)
	}
	attr := loadFunctionsAttr{loadAttr: newLoadAttr(t, name, code), btf: uint32(btf), recordBytes: 8,
		records: bytesPointer(records), count: uint32(len(starts))}
	fd, err := call(cmdProgLoad, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return -1, fmt.Errorf("load %s program %s of %d functions: %w", t, name, len(starts), err)
	}
	return fd, nil
}

// Types in the only BTF there is, by number: int; int (*)(void); a static
// function of that type.
const (
	btfInt = 1 + iota
	btfProto
	btfFunction
)

// loadBTF loads the types that LoadFunctions names
// (Documentation/bpf/btf.rst).
func loadBTF() (int, error) {
	const names = "\x00int\x00f\x00"
	const (
		kindInt, kindFunc, kindFuncProto = 1 << 24, 12 << 24, 13 << 24
		nameInt, nameF                   = 1, 5
		signed32                         = 1<<24 | 32
		headerBytes                      = 24
	)
	types := []uint32{
		nameInt, kindInt, 4, signed32,
		0, kindFuncProto, btfInt,
		nameF, kindFunc, btfProto, // the low bits of kindFunc say static
	}
	b := binary.NativeEndian.AppendUint16(nil, 0xeb9f)
	b = append(b, 1, 0)
	for _, v := range []int{headerBytes, 0, 4 * len(types), 4 * len(types), len(names)} {
		b = binary.NativeEndian.AppendUint32(b, uint32(v))
	}
	for _, v := range types {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	b = append(b, names...)
	attr := struct {
		btf, log                unsafe.Pointer
		size, logSize, logLevel uint32
		_                       uint32
	}{btf: bytesPointer(b), size: uint32(len(b))}
	fd, err := call(cmdBTFLoad, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return -1, fmt.Errorf("load the types of functions: %w", err)
	}
	return fd, nil
}
