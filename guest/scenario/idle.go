// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"encoding/binary"
	"errors"

	"packtest/guest/bpf"
)

// idler is a program that has a processor do nothing for a while, and counts how
// often.
type idler struct {
	fd    int
	times *bpf.Array
}

// returning ends a program, or one of its functions.
func returning() []bpf.Instruction {
	return []bpf.Instruction{bpf.Mov.Imm(bpf.R0, 0), bpf.Exit()}
}

// newIdler loads a program of that type. look decides what is to come: it falls through
// if nothing is, and jumps over what returning returns if the processor is to do nothing for
// as many turns of a loop as turns puts into R1.
func newIdler(t bpf.Type, name string, look, turns []bpf.Instruction) (idler, error) {
	times, err := bpf.NewArray(8)
	if err != nil {
		return idler{}, err
	}
	code := append(append(look, returning()...), turns...)
	code = append(code,
		bpf.LoadMapValue(bpf.R2, times.FD(), 0),
		bpf.LoadMem(bpf.R3, bpf.R2, 0, bpf.DWord),
		bpf.Add.Imm(bpf.R3, 1),
		bpf.StoreMem(bpf.R2, 0, bpf.R3, bpf.DWord),
		bpf.LoadFunction(bpf.R2, int32(3+slots(returning()))), // two slots
		bpf.Mov.Imm(bpf.R3, 0),
		bpf.Mov.Imm(bpf.R4, 0),
		bpf.Call(bpf.Loop))
	code = append(code, returning()...)
	fd, err := bpf.LoadTyped(t, name, encode(append(code, returning()...)),
		bpf.Typed{Functions: []bpf.TypedFunction{{}, {Start: slots(code), Arguments: 2}}})
	if err != nil {
		return idler{}, errors.Join(err, times.Close())
	}
	return idler{fd, times}, nil
}

// count returns how often processors have done nothing, about: two at the same time
// may count as one.
func (i idler) count() (uint64, error) {
	b, err := i.times.Read()
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(b), nil
}

func (i idler) close() error { return errors.Join(bpf.Close(i.fd), i.times.Close()) }
