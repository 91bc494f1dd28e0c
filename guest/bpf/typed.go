// SPDX-License-Identifier: GPL-2.0-or-later

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Programs that only a kernel with types of its own takes, or that have several
// functions with types.
const (
	Tracing   Type = 26
	StructOps Type = 27
	Extension Type = 28
)

// What a Tracing program is called at: a function's beginning, its end, or in
// its place if it returns anything but 0.
const (
	AtEntry      = 24
	AtExit       = 25
	ModifyReturn = 26
)

// cmdBTFLoad is BPF_BTF_LOAD.
const cmdBTFLoad = 18

// TypedFunction is a function of a program. All types are int.
type TypedFunction struct {
	Start     int // the slot in which it begins
	Arguments int
	// Global functions are verified apart, and can be replaced.
	Global bool
}

// FunctionID is the number of the type of a program's function, by its index.
func FunctionID(index int) uint32 { return uint32(3 + 2*index) }

// Typed is what a load needs beside the code.
type Typed struct {
	// Functions are the program's, in order, the first of which starts at 0.
	Functions []TypedFunction
	// Target is the number of the type that the program is for: a function of the
	// kernel's, a structure of functions, or a function of Program.
	Target uint32
	// As is AtEntry, AtExit, ModifyReturn, or the index in the structure.
	As uint32
	// Program has the function that is to be replaced; 0 is none.
	Program int
}

// typedAttr is BPF_PROG_LOAD's attributes as far as the program to be attached to.
type typedAttr struct {
	loadAttr
	ifindex, as        uint32
	btf, recordBytes   uint32
	records            unsafe.Pointer
	count, lineBytes   uint32
	lines              unsafe.Pointer
	lineCount, target  uint32
	program, relocated uint32
}

// LoadTyped is Load for a program with functions that are called back or
// replaced, or one that is for a type. If the kernel refuses the program, the
// error ends with the last lines of the verifier's log.
func LoadTyped(t Type, name string, code []byte, typed Typed) (int, error) {
	attr := typedAttr{loadAttr: newLoadAttr(t, name, code), as: typed.As, target: typed.Target, program: uint32(typed.Program)}
	if len(typed.Functions) > 0 {
		btf, err := loadTypes(typed.Functions)
		if err != nil {
			return -1, err
		}
		defer unix.Close(btf)
		var records []byte
		for i, f := range typed.Functions {
			records = binary.NativeEndian.AppendUint32(records, uint32(f.Start))
			records = binary.NativeEndian.AppendUint32(records, FunctionID(i))
		}
		lines := lineRecords(typed.Functions, len(code)/instructionBytes)
		attr.lineBytes, attr.lines, attr.lineCount = lineRecordBytes, bytesPointer(lines), uint32(len(lines)/lineRecordBytes)
		attr.btf, attr.recordBytes, attr.records, attr.count = uint32(btf), 8, bytesPointer(records), uint32(len(typed.Functions))
	}
	fd, err := call(cmdProgLoad, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err == nil {
		return fd, nil
	}
	log := verifierLog(&attr.loadAttr, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return -1, &LoadError{fmt.Errorf("load %s program %s: %w%s", t, name, err, log)}
}

// lineRecordBytes is the size of struct bpf_line_info.
const lineRecordBytes = 16

// lineRecords tells of a line where each function begins, and of one for its last
// instruction, which must be another, in the last of count slots or before the next
// function. They are called what the functions are.
func lineRecords(functions []TypedFunction, count int) []byte {
	var b []byte
	for i, f := range functions {
		last := count - 1
		if i+1 < len(functions) {
			last = functions[i+1].Start - 1
		}
		for _, slot := range []int{f.Start, last} {
			for _, v := range []uint32{uint32(slot), nameOfFunction, nameOfFunction, 1} {
				b = binary.NativeEndian.AppendUint32(b, v)
			}
		}
	}
	return b
}

// nameOfFunction is where the name of all functions stands among the names.
const nameOfFunction = 5

// Kinds of types (Documentation/bpf/btf.rst).
const (
	kindInt       = 1
	kindStruct    = 4
	kindUnion     = 5
	kindFunc      = 12
	kindFuncProto = 13

	btfMagic       = 0xeb9f
	btfHeaderBytes = 24
)

// loadTypes loads the types of functions: an int, then for each function its
// prototype and itself.
func loadTypes(functions []TypedFunction) (int, error) {
	const names = "\x00int\x00f\x00x\x00"
	const (
		idInt, nameInt, nameX = 1, 1, 7
		signed32              = 1<<24 | 32
	)
	types := []uint32{nameInt, kindInt << 24, 4, signed32}
	for i, f := range functions {
		types = append(types, 0, kindFuncProto<<24|uint32(f.Arguments), idInt)
		for range f.Arguments {
			types = append(types, nameX, idInt)
		}
		linkage := uint32(0)
		if f.Global {
			linkage = 1
		}
		types = append(types, nameOfFunction, kindFunc<<24|linkage, FunctionID(i)-1)
	}
	b := binary.NativeEndian.AppendUint16(nil, btfMagic)
	b = append(b, 1, 0)
	for _, v := range []int{btfHeaderBytes, 0, 4 * len(types), 4 * len(types), len(names)} {
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

// Attach puts a program at what it was loaded for. It stays until the returned
// descriptor is closed.
func Attach(program int) (int, error) {
	attr := struct {
		name       unsafe.Pointer
		program, _ uint32
	}{nil, uint32(program), 0}
	fd, err := call(cmdRawTracepointOpen, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return -1, fmt.Errorf("attach a program to what it is for: %w", err)
	}
	return fd, nil
}

// TestRunAlone runs a program that takes no packet once: RawTracepoint, and
// Tracing, which has the kernel call its functions made for that.
func TestRunAlone(fd int) (uint32, error) { return testRunWith(fd, nil, 0) }

// maxArguments is the most that a function in a structure takes.
const maxArguments = 12

// TestRunMember runs a StructOps program once: a function that takes a pointer to
// state, and arguments.
func TestRunMember(fd int, state []byte, arguments ...uint64) (uint32, error) {
	in := struct {
		state unsafe.Pointer
		rest  [maxArguments - 1]uint64
	}{state: bytesPointer(state)}
	n := copy(in.rest[:], arguments)
	return testRunWith(fd, unsafe.Pointer(&in), uint32(8*(1+n)))
}

func testRunWith(fd int, in unsafe.Pointer, size uint32) (uint32, error) {
	attr := testRunAttr{fd: uint32(fd), ctxInSize: size, ctxIn: in}
	if _, err := call(cmdProgTestRun, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return 0, fmt.Errorf("run program: %w", err)
	}
	return attr.retval, nil
}

// ErrNoTypes says that the kernel doesn't know its own types.
var ErrNoTypes = errors.New("the kernel has no types of its own (CONFIG_DEBUG_INFO_BTF)")
