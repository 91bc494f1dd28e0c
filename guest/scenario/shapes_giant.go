// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
	"packtest/metric"
)

// giantBytes is more machine code than a pack of 2 MiB holds.
const giantBytes = 2<<20 + 100<<10

// shapeGiant runs a program that fits into a pack with nothing else, and one
// that doesn't fit into any.
func shapeGiant(ctx context.Context, s *shapesAttack) error {
	// A small one tells how much code the JIT makes of a step.
	const steps = 200
	bytes, err := s.long(steps)
	if err != nil {
		return err
	}
	empty, err := s.long(0)
	if err != nil {
		return err
	}
	perStep := float64(bytes-empty) / steps
	largest := uint32(0)
	for _, want := range []float64{2<<20 - 64<<10, giantBytes} {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.env.Report.Progress(s.loads, 0, "programs loaded")
		got, err := s.long(int(want / perStep))
		if err != nil {
			return err
		}
		largest = max(largest, got)
	}
	if largest <= 2<<20 {
		return fmt.Errorf("the largest program has %d bytes of code, which is no more than a pack has", largest)
	}
	s.env.Report.Sample(metric.New("largest_program", nil, float64(largest)))
	return nil
}

// long loads and runs a program of so many steps, and returns how much code it
// has.
func (s *shapesAttack) long(steps int) (uint32, error) {
	p := longProgram(s.r, s.number, steps)
	s.number++
	if err := s.load(p); err != nil {
		return 0, err
	}
	loaded := s.set.programs[len(s.set.programs)-1]
	if err := s.answers(loaded, p.Answer); err != nil {
		return 0, err
	}
	in, err := bpf.ProgramInfo(loaded.fd)
	return in.JITBytes, err
}

// longProgram makes a program of so many steps. A division is what takes the
// JITs most code, and the verifier no time: a step is about 24 bytes of code on
// x86_64, and 40 on s390x.
func longProgram(r *rand.Rand, number, steps int) fleet.Program {
	const input = 1000
	value := uint64(input)
	code := []bpf.Instruction{bpf.LoadMem(bpf.R6, bpf.R1, 0, bpf.Word)}
	for range steps {
		d, v := 3+r.Int32N(1<<20), r.Int32()
		code = append(code, bpf.Div.Imm(bpf.R6, d), bpf.Xor.Imm(bpf.R6, v))
		value = value/uint64(d) ^ uint64(int64(v))
	}
	code = append(code, bpf.Mov.Reg(bpf.R0, bpf.R6), bpf.Exit())
	return fleet.Program{Index: number, Type: bpf.SchedCLS, Name: fmt.Sprintf("long_%d", number), Functions: 1,
		Input: input, Answer: uint32(value), Code: encode(code)}
}
