// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Symbol is a line of /proc/kallsyms.
type Symbol struct {
	Address uint64
	Kind    byte // as nm(1) has it
	Name    string
	Module  string // "" for the kernel itself, "bpf" for BPF programs
}

// Symbols reads those symbols of /proc/kallsyms that keep wants.
func (k Kernel) Symbols(keep func(name string) bool) ([]Symbol, error) {
	return read(k, "/proc/kallsyms", func(r io.Reader) ([]Symbol, error) { return ParseSymbols(r, keep) })
}

// ParseSymbols parses /proc/kallsyms and returns the symbols that keep wants.
// If all of those are at address 0, the kernel hides them: ErrHiddenSymbols.
func ParseSymbols(r io.Reader, keep func(name string) bool) ([]Symbol, error) {
	var list []Symbol
	hidden := true
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := s.Text()
		// By hand: there are tens of thousands of lines, and few are wanted.
		addr, rest, ok := strings.Cut(line, " ")
		if !ok || len(rest) < 3 || rest[1] != ' ' {
			return nil, lineError(line)
		}
		name, module, _ := strings.Cut(rest[2:], "\t")
		if !keep(name) {
			continue
		}
		a, err := parseHex("0x" + addr)
		if err != nil {
			return nil, lineError(line)
		}
		hidden = hidden && a == 0
		list = append(list, Symbol{Address: a, Kind: rest[0], Name: name, Module: strings.Trim(module, "[]")})
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if hidden && len(list) > 0 {
		return nil, ErrHiddenSymbols
	}
	return list, nil
}

// ErrHiddenSymbols says that the kernel shows symbols without their addresses.
var ErrHiddenSymbols = errors.New("addresses of symbols are hidden (kernel.kptr_restrict must be 0)")

// BPFSymbols reads the symbols of JIT code: of programs (bpf_jit_kallsyms must be on),
// and of what leads to them.
func (k Kernel) BPFSymbols() ([]Symbol, error) {
	list, err := k.Symbols(func(name string) bool { return strings.HasPrefix(name, "bpf_") })
	// The kernel's own functions have such names, too.
	return slices.DeleteFunc(list, func(s Symbol) bool { return s.Module != "bpf" }), err
}

// Core reads the running kernel's memory through /proc/kcore.
type Core struct {
	f        *os.File
	segments []segment
	order    binary.ByteOrder
}

// segment is where a range of addresses stands in the file. phys is where it
// stands in physical memory, or noPhysical.
type segment struct{ addr, bytes, offset, phys uint64 }

// noPhysical marks segments of vmalloc memory, which stands anywhere.
const noPhysical = ^uint64(0)

// Core opens /proc/kcore. Close it.
func (k Kernel) Core() (*Core, error) {
	f, err := os.Open(k.path("/proc/kcore"))
	if err != nil {
		return nil, err
	}
	segments, order, err := parseSegments(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("/proc/kcore: %w", err)
	}
	return &Core{f: f, segments: segments, order: order}, nil
}

// parseSegments reads the ELF headers. debug/elf would go on to sections that
// such a file doesn't have, and its imports would slow process 1 down.
func parseSegments(r io.ReaderAt) ([]segment, binary.ByteOrder, error) {
	const (
		headerBytes, programBytes = 64, 56
		class64, bigEndian, load  = 2, 2, 1
	)
	header := make([]byte, headerBytes)
	if _, err := r.ReadAt(header, 0); err != nil {
		return nil, nil, fmt.Errorf("read ELF header: %w", err)
	}
	if string(header[:4]) != "\x7fELF" || header[4] != class64 {
		return nil, nil, errors.New("not a 64-bit ELF file")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if header[5] == bigEndian {
		order = binary.BigEndian
	}
	offset := order.Uint64(header[32:])
	size, count := order.Uint16(header[54:]), order.Uint16(header[56:])
	if offset > 1<<32 || size != programBytes {
		return nil, nil, errors.New("odd program headers")
	}
	var list []segment
	p := make([]byte, programBytes)
	for i := range int64(count) {
		if _, err := r.ReadAt(p, int64(offset)+i*programBytes); err != nil {
			return nil, nil, fmt.Errorf("read program header %d: %w", i, err)
		}
		if order.Uint32(p) == load {
			list = append(list, segment{offset: order.Uint64(p[8:]), addr: order.Uint64(p[16:]), phys: order.Uint64(p[24:]), bytes: order.Uint64(p[40:])})
		}
	}
	return list, order, nil
}

// ReadAt fills b from the kernel's memory at addr. It returns an error if any
// of that is not there.
func (c *Core) ReadAt(b []byte, addr uint64) error {
	for _, s := range c.segments {
		if addr < s.addr || addr-s.addr >= s.bytes || s.bytes-(addr-s.addr) < uint64(len(b)) {
			continue
		}
		if _, err := c.f.ReadAt(b, int64(s.offset+(addr-s.addr))); err != nil {
			return fmt.Errorf("read kernel memory at %#x: %w", addr, err)
		}
		return nil
	}
	return fmt.Errorf("read kernel memory at %#x: /proc/kcore doesn't have it", addr)
}

// Uint64 reads a 64-bit number at addr.
func (c *Core) Uint64(addr uint64) (uint64, error) {
	var b [8]byte
	if err := c.ReadAt(b[:], addr); err != nil {
		return 0, err
	}
	return c.order.Uint64(b[:]), nil
}

// Close closes the file.
func (c *Core) Close() error { return c.f.Close() }
