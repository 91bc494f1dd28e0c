// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

const (
	// packBytes is what the packs of all allocators that are known hold. Of one
	// with another size only the limits are missed.
	packBytes = 2 << 20
	// giantBytes is more machine code than a pack holds.
	giantBytes = packBytes + 100<<10
	// edgeBytes is what the program that nearly fills a pack leaves of it.
	edgeBytes = 12 << 10
	// fullBytes is machine code that fills a pack to the last byte with a header
	// of 8 bytes and the 16 bytes at least that keep its place a secret, in pieces
	// of 64 bytes: from 24 to 87 bytes less than a pack. An allocator of another
	// make has a large program more to load.
	fullBytes = packBytes - 48
)

// shapeGiant runs a program that doesn't fit into a pack, one that leaves a
// little room there, which others fill, and one that fills it to the last byte.
func shapeGiant(ctx context.Context, s *shapesAttack) error {
	before, err := s.vmalloc(ctx, 0)
	if err != nil {
		return err
	}
	// A small one tells how much code the JIT makes of a step.
	const few = 200
	bytes, err := s.long(few, 0)
	if err != nil {
		return err
	}
	empty, err := s.long(0, 0)
	if err != nil {
		return err
	}
	steps := int(giantBytes * few / float64(bytes-empty))
	giant, err := s.long(steps, 0)
	if err != nil {
		return err
	}
	if giant <= packBytes {
		return fmt.Errorf("the largest program has %d bytes of code, which is no more than a pack has", giant)
	}
	s.env.Report.Sample(metric.New("largest_program", nil, float64(giant)))
	if err := s.rest(ctx); err != nil {
		return err
	}
	// Large programs have more code to a step on s390x: constants are far away.
	near := int(float64(steps) * (packBytes - edgeBytes) / float64(giant))
	nearly, err := s.long(near, 0)
	if err != nil {
		return err
	}
	if err := s.edge(ctx); err != nil {
		return err
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	// What is less than a step is made up for by single instructions.
	perStep := float64(giant-nearly) / float64(steps-near)
	more := fullBytes - float64(nearly)
	single := int(more-perStep*float64(int(more/perStep))) / singleBytes
	full, err := s.long(near+int(more/perStep), single)
	if err != nil {
		return err
	}
	if full <= packBytes-88 || full > packBytes-24 {
		s.env.Report.Unmeasured("shape_runs", fmt.Sprintf("giant: a program of exactly a pack; that of %d bytes is not", full))
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	after, err := s.vmalloc(ctx, before+vmallocSpare)
	if err != nil {
		return err
	}
	s.watch.report(unreturned(before, after, "programs of about 2 MiB of code were freed"))
	return nil
}

// rest looks at what is loaded, frees it, and waits until it is gone.
func (s *shapesAttack) rest(ctx context.Context) error {
	s.env.Report.Progress(s.loads, 0, "programs loaded")
	if err := s.watch.look(ctx); err != nil {
		return err
	}
	if err := s.watch.names(); err != nil {
		return err
	}
	s.set.close()
	_, err := s.reader.settle(ctx, s.before, nil)
	return err
}

// vmallocSpare is how much others may take of the kernel's memory meanwhile, in
// bytes: less than a program of more than a pack has.
const vmallocSpare = 1 << 20

// vmalloc waits until nothing of the attack's is loaded and VmallocUsed is no
// more than limit, and returns it, in bytes; 0 is no limit.
func (s *shapesAttack) vmalloc(ctx context.Context, limit int64) (int64, error) {
	if _, err := s.reader.settle(ctx, s.before, nil); err != nil {
		return 0, err
	}
	return s.vmallocUsed(ctx, limit)
}

// vmallocUsed waits until VmallocUsed is no more than limit, and returns it, in bytes;
// 0 is no limit.
func (a *attack) vmallocUsed(ctx context.Context, limit int64) (int64, error) {
	var used int64
	var l least
	_, err := a.env.awaitFreed(ctx, settleLimit, time.Second, func() (progress, error) {
		m, err := a.env.Kernel.Meminfo()
		if err != nil {
			return still, err
		}
		var ok bool
		if used, ok = m["VmallocUsed"]; !ok {
			return still, errors.New("/proc/meminfo has no VmallocUsed")
		}
		return l.progress(limit == 0 || used <= limit, used), nil
	})
	return used, err
}

// unreturned holds if programs took nothing with them that counts.
func unreturned(before, after int64, what string) []wire.Finding {
	if after <= before+vmallocSpare {
		return nil
	}
	return oracle.Returned([]oracle.Figure{{Name: "VmallocUsed", Title: "memory of programs is never given back", Unit: "bytes",
		Was: before, Is: after}}, what)
}

// Bounds of what is put into the room that is left.
const (
	edgeSmall = 120
	edgeTiny  = 40
)

// edge fills what is left beside the only large program in the area that it
// stands in, to the end: first with small programs, then with the smallest there
// are, until one stands elsewhere. All of them must run, and the last one still
// when all others are gone. Where programs have areas of their own, already the
// first one stands elsewhere.
func (s *shapesAttack) edge(ctx context.Context) error {
	large := s.set.programs[len(s.set.programs)-1]
	in, err := bpf.ProgramInfo(large.fd)
	if err != nil {
		return err
	}
	areas, err := s.env.Kernel.Vmalloc()
	if err != nil {
		return err
	}
	i := probe.FindArea(areas, in.Functions[0].Address)
	if i < 0 {
		return nil // which the look tells
	}
	home := areas[i]
	last, end := large, in.Functions[0].Address
	for _, filling := range []struct {
		most int
		make func(i int) (fleet.Program, error)
	}{{edgeSmall, s.fleet.Small}, {edgeTiny, s.fleet.Tiny}} {
		for n := range filling.most {
			p, err := filling.make(n)
			if err != nil {
				return err
			}
			if err := s.load(p); err != nil {
				return err
			}
			new := s.set.programs[len(s.set.programs)-1]
			in, err := bpf.ProgramInfo(new.fd)
			if err != nil {
				return err
			}
			at := in.Functions[0].Address
			if !home.Contains(at) {
				break
			}
			if at > end {
				last, end = new, at
			}
		}
		if err := s.set.check(ctx, s.env, s.slots); err != nil {
			return err
		}
	}
	if err := s.watch.look(ctx); err != nil {
		return err
	}
	if last.fd == large.fd {
		return nil
	}
	// The look waits until the others are gone.
	s.set.keep(func(p program) bool { return p.fd == last.fd })
	if err := s.watch.look(ctx); err != nil {
		return err
	}
	return s.set.check(ctx, s.env, s.slots)
}

// long loads and runs a program of so many steps and single instructions, and
// returns how much code it has.
func (s *shapesAttack) long(steps, single int) (uint32, error) {
	p := longerProgram(s.r, s.number, steps, single)
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
	return longerProgram(r, number, steps, 0)
}

// singleBytes is how much code the JITs make of a single instruction: 7 bytes on
// x86_64, 6 on s390x.
const singleBytes = 7

// longerProgram makes a program of so many steps, and then single instructions.
func longerProgram(r *rand.Rand, number, steps, single int) fleet.Program {
	const input = 1000
	value := uint64(input)
	code := []bpf.Instruction{bpf.LoadMem(bpf.R6, bpf.R1, 0, bpf.Word)}
	for range steps {
		d, v := 3+r.Int32N(1<<20), r.Int32()
		code = append(code, bpf.Div.Imm(bpf.R6, d), bpf.Xor.Imm(bpf.R6, v))
		value = value/uint64(d) ^ uint64(int64(v))
	}
	for range single {
		v := 1<<16 + r.Int32N(1<<20)
		code = append(code, bpf.Add.Imm(bpf.R6, v))
		value += uint64(v)
	}
	code = append(code, bpf.Mov.Reg(bpf.R0, bpf.R6), bpf.Exit())
	return fleet.Program{Index: number, Type: bpf.SchedCLS, Name: fmt.Sprintf("long_%d", number), Functions: 1,
		Input: input, Answer: uint32(value), Code: encode(code)}
}
