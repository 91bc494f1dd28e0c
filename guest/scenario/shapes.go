// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

// shape is one form of programs, each of which takes another way through the
// JIT.
type shape struct {
	name string
	// run loads programs of the shape into a.set, runs them, and counts runs and
	// wrong answers in a.
	run func(ctx context.Context, a *shapesAttack) error
	// lack says why this kernel can't have the shape, "" if it can.
	lack func(env *Env) string
	// hidden says that the kernel gives the programs no symbols.
	hidden bool
}

func shapeList() []shape {
	always := func(*Env) string { return "" }
	return []shape{
		{name: "subprograms", run: shapeSubprograms, lack: always},
		{name: "tail_calls", run: shapeTailCalls, lack: always},
		{name: "callbacks", run: shapeCallbacks, lack: always},
		{name: "fault_handled_reads", run: shapeProbeReads, lack: always},
		{name: "blinded", run: shapeBlinded, lack: always, hidden: true},
		{name: "giant", run: shapeGiant, lack: always},
		{name: "xdp_dispatcher", run: shapeDispatcher, lack: dispatcherMissing},
		{name: "readers", run: shapeReaders, lack: always},
		{name: "beside_others", run: shapeBeside, lack: synchronisationMissing},
		{name: "classic", run: shapeClassic, lack: always, hidden: true},
		{name: "exception_table", run: shapeExceptionTable, lack: typesMissing},
		{name: "fentry", run: shapeTracing, lack: typesMissing},
		{name: "struct_ops", run: shapeStructOps, lack: typesMissing},
		{name: "freplace", run: shapeReplaced, lack: typesMissing},
	}
}

// dispatcherMissing says why XDP programs are called without a dispatcher.
func dispatcherMissing(env *Env) string {
	if env.Arch != "x86_64" {
		return "there is no XDP dispatcher on " + env.Arch
	}
	return ""
}

// shapesAttack is an attack by programs of several shapes.
type shapesAttack struct {
	*attack
	r     *rand.Rand
	wrong []string
	// number is that of the next program.
	number int
}

// shapes loads and runs programs of every shape that the kernel takes, and looks
// at their code: subprograms, tail calls between programs that come and go,
// functions that the kernel calls back, reads of memory that isn't there,
// blinded constants, more code than fits into a pack, programs behind the XDP
// dispatcher, and classic filters of an unprivileged user.
//
// Samples: shape_runs for each shape, attack_loads, _runs, _looks, largest_program.
func shapes(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	a, err := env.newAttack(ctx, spec, 64)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	s := &shapesAttack{attack: a, r: rand.New(rand.NewPCG(spec.Seed, 1))}
	for _, shape := range shapeList() {
		if why := shape.lack(env); why != "" {
			env.Report.Unmeasured("shape_runs", shape.name+": "+why)
			continue
		}
		before := a.runs
		err := shape.run(ctx, s)
		var lacks lack
		if errors.As(err, &lacks) {
			env.Report.Unmeasured("shape_runs", shape.name+": "+lacks.Error())
			a.set.close()
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", shape.name, err)
		}
		if err := a.watch.look(ctx); err != nil {
			return err
		}
		if !shape.hidden {
			if err := a.watch.names(); err != nil {
				return err
			}
		}
		a.set.close()
		env.Report.Sample(metric.New("shape_runs", map[string]string{"shape": shape.name}, float64(a.runs-before)))
	}
	a.reportWrong(s.wrong, a.runs)
	return a.finish(ctx)
}

// program loads a program of instructions.
func (s *shapesAttack) program(t bpf.Type, input, answer uint32, code []bpf.Instruction) (program, error) {
	p := fleet.Program{Index: s.number, Type: t, Name: fmt.Sprintf("shape_%d", s.number), Functions: 1, Input: input, Answer: answer, Code: encode(code)}
	s.number++
	if err := s.load(p); err != nil {
		return program{}, err
	}
	return s.set.programs[len(s.set.programs)-1], nil
}

// answers runs p, which must answer want.
func (s *shapesAttack) answers(p program, want uint32) error {
	packet, ctxOut := make([]byte, 4096), make([]byte, 512)
	got, err := runPacket(p, packet, ctxOut)
	if err != nil {
		return fmt.Errorf("program %s: %w", p.Name, err)
	}
	s.runs++
	if got != want {
		s.wrong = append(s.wrong, fmt.Sprintf("program %s (%s): answered %#x, must be %#x", p.Name, p.Type, got, want))
	}
	return nil
}

// shapeSubprograms runs fleet programs that have subprograms.
func shapeSubprograms(ctx context.Context, s *shapesAttack) error {
	for i, n := 0, 0; n < 16; i++ {
		p, err := s.fleet.Program(i % s.n)
		if err != nil {
			return err
		}
		if p.Functions == 1 && i < 4*s.n {
			continue
		}
		if err := s.add(ctx, i%s.n, i%s.n+1, s.fleet.Program); err != nil {
			return err
		}
		n++
	}
	return s.check(ctx)
}

// shapeBlinded runs programs whose constants the JIT hides. They must be longer
// than the same programs without that.
func shapeBlinded(ctx context.Context, s *shapesAttack) (err error) {
	plain, err := s.small(ctx)
	if err != nil {
		return err
	}
	if err := s.env.Kernel.SetSysctl("net.core.bpf_jit_harden", "2"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.env.Kernel.SetSysctl("net.core.bpf_jit_harden", "0")) }()
	blinded, err := s.small(ctx)
	if err != nil {
		return err
	}
	s.hidden("programs", int64(plain), int64(blinded))
	return s.check(ctx)
}

// hidden holds if the JIT hid constants when it was told to: there is more code
// then, in bytes.
func (s *shapesAttack) hidden(what string, plain, blinded int64) {
	if blinded <= plain {
		s.watch.report([]wire.Finding{{Kind: "hardening", Title: "constants are not hidden although they are to be",
			Evidence: fmt.Sprintf("%d bytes of code of %s, %d of the same with net.core.bpf_jit_harden at 2", plain, what, blinded)}})
	}
}

// small loads a few small programs, with and without subprograms, and returns how
// much code they have.
func (s *shapesAttack) small(ctx context.Context) (bytes uint32, err error) {
	from := len(s.set.programs)
	if err := s.add(ctx, 0, 12, s.fleet.Small); err != nil {
		return 0, err
	}
	if err := s.add(ctx, 12, 16, s.fleet.Calling); err != nil {
		return 0, err
	}
	for _, p := range s.set.programs[from:] {
		in, err := bpf.ProgramInfo(p.fd)
		if err != nil {
			return 0, err
		}
		bytes += in.JITBytes
	}
	return bytes, nil
}
