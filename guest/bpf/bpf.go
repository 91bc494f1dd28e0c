// SPDX-License-Identifier: GPL-2.0-or-later

// Package bpf calls bpf(2) and writes BPF instructions: one function for each
// command and instruction that the guest needs, and nothing between it and the
// kernel. cilium/ebpf would do more than is wanted here: it probes for features
// with programs of its own, which would count among those being measured, it
// closes a program whose Go value is no longer referenced, and what it imports
// costs process 1 a tenth of its boot on s390x. Tests hold this package's
// instructions against its.
//
// File descriptors are plain: what is loaded stays until it is closed.
package bpf

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Type is a program type by the kernel's number.
type Type uint32

// The program types that packtest loads.
const (
	SocketFilter  Type = 1
	Kprobe        Type = 2
	SchedCLS      Type = 3
	XDP           Type = 6
	CgroupSKB     Type = 8
	RawTracepoint Type = 17
)

// String returns the name under which reports know the type.
func (t Type) String() string {
	switch t {
	case SocketFilter:
		return "socket_filter"
	case Kprobe:
		return "kprobe"
	case SchedCLS:
		return "sched_cls"
	case XDP:
		return "xdp"
	case CgroupSKB:
		return "cgroup_skb"
	case RawTracepoint:
		return "raw_tracepoint"
	case Tracing:
		return "tracing"
	case StructOps:
		return "struct_ops"
	case Extension:
		return "extension"
	}
	return fmt.Sprintf("type_%d", uint32(t))
}

// Commands of bpf(2), from include/uapi/linux/bpf.h.
const (
	cmdMapCreate     = 0
	cmdMapLookup     = 1
	cmdMapUpdate     = 2
	cmdProgLoad      = 5
	cmdProgTestRun   = 10
	cmdProgNextID    = 11
	cmdProgByID      = 13
	cmdInfoByFD      = 15
	instructionBytes = 8
)

// call issues one bpf(2).
func call(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR, unix.EAGAIN:
			// The verifier gives way to a pending signal; Go's scheduler sends them.
		default:
			return 0, errno
		}
	}
}

// The attributes below hold real pointers, which the kernel wants as 64-bit
// numbers: the same on the architectures packtest runs on, and Go's runtime
// sees them when it moves a stack.
func bytesPointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

type loadAttr struct {
	progType    uint32
	insnCount   uint32
	insns       unsafe.Pointer
	license     unsafe.Pointer
	logLevel    uint32
	logSize     uint32
	logBuf      unsafe.Pointer
	kernVersion uint32
	flags       uint32
	name        [16]byte
}

// Load is BPF_PROG_LOAD. code is instructions in the machine's byte order;
// name is at most 15 letters, digits and underscores. It returns the program's
// file descriptor. If the kernel refuses the program, the error ends with the
// last lines of the verifier's log.
func Load(t Type, name string, code []byte) (int, error) {
	attr := newLoadAttr(t, name, code)
	fd, err := call(cmdProgLoad, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return -1, &LoadError{fmt.Errorf("load %s program %s of %d instructions: %w%s", t, name, len(code)/instructionBytes, err,
			verifierLog(&attr, unsafe.Pointer(&attr), unsafe.Sizeof(attr)))}
	}
	return fd, nil
}

// LoadError is a load that the kernel refused, with the error's number.
type LoadError struct{ error }

// Unwrap returns what went wrong.
func (e *LoadError) Unwrap() error { return e.error }

var license = [...]byte{'G', 'P', 'L', 0}

func newLoadAttr(t Type, name string, code []byte) loadAttr {
	attr := loadAttr{
		progType: uint32(t), insnCount: uint32(len(code) / instructionBytes),
		insns:   bytesPointer(code),
		license: unsafe.Pointer(&license),
	}
	copy(attr.name[:15], name)
	return attr
}

// verifierLog loads once more, with a log, and returns its end. attr is the
// beginning of all, which has size bytes.
func verifierLog(attr *loadAttr, all unsafe.Pointer, size uintptr) string {
	const keep = 600
	log := make([]byte, 1<<20)
	attr.logLevel, attr.logSize = 1, uint32(len(log))
	attr.logBuf = bytesPointer(log)
	fd, err := call(cmdProgLoad, all, size)
	if err == nil {
		unix.Close(fd)
		return " (and loaded when asked again)"
	}
	text := unix.ByteSliceToString(log)
	if text == "" {
		return ""
	}
	if len(text) > keep {
		text = "..." + text[len(text)-keep:]
	}
	return "\n" + text
}

// Close gives the program or map back.
func Close(fd int) error { return unix.Close(fd) }

type testRunAttr struct {
	fd, retval            uint32
	dataInSize, dataOutSz uint32
	dataIn, dataOut       unsafe.Pointer
	repeat, duration      uint32
	ctxInSize, ctxOutSize uint32
	ctxIn, ctxOut         unsafe.Pointer
	flags, cpu            uint32
	batchSize, _          uint32
}

// TestRun is BPF_PROG_TEST_RUN: it runs a program of a networking type on
// packet, repeat times, and returns what the last run returned. ctxOut, if not
// nil, is filled with the program's context afterwards (struct __sk_buff).
func TestRun(fd int, packet, ctxOut []byte, repeat int) (uint32, error) {
	attr := testRunAttr{
		fd: uint32(fd), repeat: uint32(repeat),
		dataInSize: uint32(len(packet)), dataIn: bytesPointer(packet),
		ctxOutSize: uint32(len(ctxOut)), ctxOut: bytesPointer(ctxOut),
	}
	_, err := call(cmdProgTestRun, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return 0, fmt.Errorf("run program: %w", err)
	}
	return attr.retval, nil
}

// ProgramByID returns a file descriptor for a loaded program, which keeps it
// until it is closed.
func ProgramByID(id uint32) (int, error) {
	attr := struct{ id, next, flags uint32 }{id: id}
	fd, err := call(cmdProgByID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return -1, fmt.Errorf("open program %d: %w", id, err)
	}
	return fd, nil
}

// NextProgramID returns the lowest ID of a loaded program above id, and false
// if there is none.
func NextProgramID(id uint32) (uint32, bool, error) {
	attr := struct{ start, next, flags uint32 }{start: id}
	_, err := call(cmdProgNextID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	switch err {
	case nil:
		return attr.next, true, nil
	case unix.ENOENT:
		return 0, false, nil
	}
	return 0, false, fmt.Errorf("next program after %d: %w", id, err)
}
