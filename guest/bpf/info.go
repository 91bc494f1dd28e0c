// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"errors"
	"fmt"
	"unsafe"
)

// Info is what the kernel tells about a loaded program.
type Info struct {
	ID   uint32
	Type Type
	// JITBytes is the machine code of all functions together.
	JITBytes uint32
	// Functions are the program and its subprograms, in the kernel's order.
	Functions []Function
}

// Function is one function's machine code.
type Function struct {
	Address uint64
	Bytes   uint32
}

// progInfo is the beginning of struct bpf_prog_info.
type progInfo struct {
	progType, id              uint32
	tag                       [8]byte
	jitedLen, xlatedLen       uint32
	jitedInsns, xlatedInsns   unsafe.Pointer
	loadTime                  uint64
	createdByUID, nrMapIDs    uint32
	mapIDs                    unsafe.Pointer
	name                      [16]byte
	ifindex, gplCompatible    uint32
	netnsDev, netnsIno        uint64
	nrJitedKsyms, nrFuncLens  uint32
	jitedKsyms, jitedFuncLens unsafe.Pointer
}

// progInfoLines is struct bpf_prog_info as far as it tells of source lines.
type progInfoLines struct {
	progInfo
	btfID, funcBytes        uint32
	funcs                   unsafe.Pointer
	nrFuncs, nrLines        uint32
	lines, jitedLines       unsafe.Pointer
	nrJitedLines, lineBytes uint32
	jitedLineBytes, nrTags  uint32
	_                       uint64
}

// ProgramLines is BPF_OBJ_GET_INFO_BY_FD for where the code of a program's source
// lines begins, in the order in which they were given with it; none if none were. It
// returns ErrHidden if the kernel doesn't tell.
func ProgramLines(fd int) ([]uint64, error) {
	const most = 256
	addrs := make([]uint64, most)
	raw := progInfoLines{nrJitedLines: most, jitedLines: unsafe.Pointer(unsafe.SliceData(addrs)), jitedLineBytes: 8}
	if err := infoByFD(fd, unsafe.Pointer(&raw), unsafe.Sizeof(raw)); err != nil {
		return nil, err
	}
	n := int(raw.nrJitedLines)
	switch {
	case n > most:
		return nil, fmt.Errorf("info of program: it has code of %d lines, more than %d", n, most)
	case n > 0 && raw.jitedLines == nil:
		return nil, fmt.Errorf("program %d: %w", raw.id, ErrHidden)
	}
	return addrs[:n], nil
}

// infoByFD fills the structure at info.
func infoByFD(fd int, info unsafe.Pointer, size uintptr) error {
	attr := struct {
		fd, size uint32
		info     unsafe.Pointer
	}{uint32(fd), uint32(size), info}
	if _, err := call(cmdInfoByFD, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return fmt.Errorf("info of program: %w", err)
	}
	return nil
}

// ErrHidden says that the kernel keeps the addresses of JIT code to itself.
var ErrHidden = errors.New("the kernel hides where the program's code is (kernel.kptr_restrict and net.core.bpf_jit_harden must be 0)")

// ErrNotJITed says that the program is interpreted.
var ErrNotJITed = errors.New("the program was not compiled by the JIT (net.core.bpf_jit_enable must not be 0)")

// ProgramInfo is BPF_OBJ_GET_INFO_BY_FD for a program, with the addresses and
// lengths of its code. Where the kernel tells none the error is ErrHidden or
// ErrNotJITed: no figure may be made of an answer that was held back.
func ProgramInfo(fd int) (Info, error) {
	// Nearly every program has few functions; one with more is asked twice.
	room := 8
	for {
		addrs, lens := make([]uint64, room), make([]uint32, room)
		raw := progInfo{
			nrJitedKsyms: uint32(room), jitedKsyms: unsafe.Pointer(unsafe.SliceData(addrs)),
			nrFuncLens: uint32(room), jitedFuncLens: unsafe.Pointer(unsafe.SliceData(lens)),
		}
		if err := infoByFD(fd, unsafe.Pointer(&raw), unsafe.Sizeof(raw)); err != nil {
			return Info{}, err
		}
		if n := int(raw.nrJitedKsyms); n > room {
			room = n
			continue
		}
		return raw.info(addrs, lens)
	}
}

func (raw *progInfo) info(addrs []uint64, lens []uint32) (Info, error) {
	in := Info{ID: raw.id, Type: Type(raw.progType), JITBytes: raw.jitedLen}
	if raw.jitedLen == 0 {
		// Without a JIT and without permission look the same here.
		return in, fmt.Errorf("program %d: %w, or %w", raw.id, ErrNotJITed, ErrHidden)
	}
	n := int(raw.nrJitedKsyms)
	if n == 0 || raw.jitedKsyms == nil || raw.jitedFuncLens == nil || int(raw.nrFuncLens) != n {
		return in, fmt.Errorf("program %d: %w", raw.id, ErrHidden)
	}
	for i := range n {
		if addrs[i] == 0 || lens[i] == 0 {
			return in, fmt.Errorf("program %d, function %d: %w", raw.id, i, ErrHidden)
		}
		in.Functions = append(in.Functions, Function{Address: addrs[i], Bytes: lens[i]})
	}
	return in, nil
}
