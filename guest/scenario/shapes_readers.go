// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"packtest/guest/bpf"
	"packtest/guest/oracle"
	"packtest/guest/probe"
	"packtest/guest/wire"
)

// shapeReaders takes code away while another processor may still be in it. A
// processor that runs a program is inside an RCU read-side section from the
// program's first instruction to its last, and could, for all the kernel knows,
// be about to execute whatever could be reached when it began. So none of that
// may change before it comes out. No race has to be won: the program that stays
// takes its time.
func shapeReaders(ctx context.Context, s *shapesAttack) error {
	sitter, err := s.newSitter()
	if err != nil {
		return err
	}
	defer sitter.close()
	ways := []func(ctx context.Context, s *shapesAttack) (*removal, error){removeProgram}
	if dispatcherMissing(s.env) == "" {
		ways = append(ways, removeDispatcher, rewriteDispatcher)
	}
	var changed []string
	for _, way := range ways {
		what, err := s.hold(ctx, sitter, way)
		var lacks lack
		if errors.As(err, &lacks) {
			s.env.Report.Unmeasured("shape_runs", "readers: "+lacks.Error())
			continue
		}
		if err != nil {
			return err
		}
		if what != "" {
			changed = append(changed, what)
		}
	}
	if len(changed) > 0 {
		s.watch.report([]wire.Finding{{Kind: "freed-in-use", Title: "code changes while another processor may still be in it", Evidence: firstLines(changed)}})
	}
	return nil
}

// removal is code that is about to go.
type removal struct {
	what       string
	start, end uint64
	// begin has the kernel take it away, and may wait as long as it likes. after
	// cleans up when it is gone, or if it never began to go.
	begin, after func() error
}

// holdTries is how often a hold is tried on a machine that is so slow, or so
// fast, that the sitter is out before there was something to see.
const holdTries = 5

// hold has a way of removing code begin while the sitter runs, and returns what
// changed of the code before the sitter was out; "" if nothing did.
func (s *shapesAttack) hold(ctx context.Context, x *sitter, way func(context.Context, *shapesAttack) (*removal, error)) (string, error) {
	for range holdTries {
		r, err := way(ctx, s)
		if err != nil {
			return "", err
		}
		what, seen, err := s.holdOnce(ctx, x, r)
		if err := errors.Join(err, r.after()); err != nil {
			return "", err
		}
		if seen {
			s.runs++
			return what, nil
		}
	}
	return "", lack("the program that holds on to the code was always out too soon")
}

// enough is how many times the code has to be seen after its removal has begun,
// with the sitter still in.
const enough = 3

func (s *shapesAttack) holdOnce(ctx context.Context, x *sitter, r *removal) (what string, seen bool, err error) {
	before, after := make([]byte, r.end-r.start), make([]byte, r.end-r.start)
	if err := s.watch.core.ReadAt(before, r.start); err != nil {
		return "", false, err
	}
	if err := s.enter(ctx, x); err != nil {
		return "", false, err
	}
	begun, removed := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		removed <- r.begin()
	}()
	<-begun
	looks := 0
	for end := time.Now().Add(sitterStay); what == "" && time.Now().Before(end); looks++ {
		readErr := s.watch.core.ReadAt(after, r.start)
		in, err := x.in()
		if err != nil {
			return "", false, errors.Join(err, s.leave(x), <-removed)
		}
		if !in {
			break
		}
		switch at := differAt(before, after); {
		case readErr != nil:
			what = fmt.Sprintf("%s: can't be read any more: %v", r.what, readErr)
		case at >= 0:
			what = fmt.Sprintf("%s: at %#x were % x, are % x", r.what, r.start+uint64(at), head(before[at:]), head(after[at:]))
		}
		time.Sleep(100 * time.Microsecond)
	}
	return what, what != "" || looks >= enough, errors.Join(s.leave(x), <-removed)
}

func differAt(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func head(b []byte) []byte { return b[:min(len(b), 16)] }

// sitter is a program that runs for long, and tells when it begins and ends.
type sitter struct {
	program program
	state   *bpf.Array // whether it has begun, whether it has ended, 8 bytes each
	told    *bpf.Array // whether it is to end, 8 bytes
	out     chan error
	wrong   string // its answer, if that was wrong; there when out is
}

const (
	// sitterRounds is the most that bpf_loop takes (BPF_MAX_LOOPS), and
	// sitterLoops how often it is called: a second or more under emulation.
	sitterRounds, sitterLoops = 1 << 23, 2
	// sitterStay is how long it stays before it is told to end. Nothing else runs on
	// its processor, and on a busy host the loops take longer than RCU waits without
	// a word.
	sitterStay = time.Second
	// sitterLimit is how long it may take to begin.
	sitterLimit  = 30 * time.Second
	sitterAnswer = 77
)

func (s *shapesAttack) newSitter() (*sitter, error) {
	if runtime.NumCPU() < 2 {
		return nil, lack("needs two processors")
	}
	state, err := bpf.NewArray(16)
	if err != nil {
		return nil, err
	}
	told, err := bpf.NewArray(8)
	if err != nil {
		return nil, errors.Join(err, state.Close())
	}
	x := &sitter{state: state, told: told}
	say := func(offset uint32) []bpf.Instruction {
		return []bpf.Instruction{bpf.LoadMapValue(bpf.R1, state.FD(), offset), bpf.Mov.Imm(bpf.R2, 1), bpf.StoreMem(bpf.R1, 0, bpf.R2, bpf.DWord)}
	}
	end := append(say(8), bpf.Mov.Imm(bpf.R0, sitterAnswer), bpf.Exit())
	loop := func(rest int) []bpf.Instruction {
		tail := []bpf.Instruction{bpf.Mov.Imm(bpf.R3, 0), bpf.Mov.Imm(bpf.R4, 0), bpf.Call(bpf.Loop)}
		return append([]bpf.Instruction{bpf.Mov.Imm(bpf.R1, sitterRounds), bpf.LoadFunction(bpf.R2, int32(slots(tail)+rest))}, tail...)
	}
	main := end
	for range sitterLoops {
		main = append(loop(slots(main)), main...)
	}
	main = append(say(0), main...)
	// A loop ends when its function returns 1.
	callback := []bpf.Instruction{bpf.LoadMapValue(bpf.R1, told.FD(), 0), bpf.LoadMem(bpf.R0, bpf.R1, 0, bpf.DWord),
		bpf.And.Imm(bpf.R0, 1), bpf.Exit()}
	if x.program, err = s.calledBack(main, callback, 100, sitterAnswer); err != nil {
		return nil, errors.Join(err, x.close())
	}
	return x, nil
}

func (x *sitter) close() error { return errors.Join(x.state.Close(), x.told.Close()) }

// tell has the program end, or not.
func (x *sitter) tell(end uint64) error {
	return x.told.Write(binary.NativeEndian.AppendUint64(nil, end))
}

// enter returns when the program runs, on another processor than that which
// looks at its state.
func (s *shapesAttack) enter(ctx context.Context, x *sitter) error {
	if err := errors.Join(x.tell(0), x.state.Write(make([]byte, 16))); err != nil {
		return err
	}
	x.out = make(chan error, 1)
	go func() {
		got, err := bpf.TestRun(x.program.fd, make([]byte, x.program.Packet()), nil, 1)
		if err == nil && got != sitterAnswer {
			x.wrong = fmt.Sprintf("program %s: answered %#x, must be %#x", x.program.Name, got, sitterAnswer)
		}
		x.out <- err
	}()
	for deadline := time.Now().Add(sitterLimit); ; time.Sleep(100 * time.Microsecond) {
		begun, _, err := x.words()
		if err == nil && !begun && ctx.Err() != nil {
			err = ctx.Err()
		}
		if err == nil && !begun && time.Now().After(deadline) {
			err = fmt.Errorf("program %s did not begin within %v", x.program.Name, sitterLimit)
		}
		if err != nil {
			return errors.Join(err, s.leave(x))
		}
		if begun {
			return nil
		}
	}
}

// in says whether the program runs, and has run since enter returned.
func (x *sitter) in() (bool, error) {
	begun, ended, err := x.words()
	return begun && !ended, err
}

func (x *sitter) words() (begun, ended bool, err error) {
	b, err := x.state.Read()
	if err != nil {
		return false, false, err
	}
	return binary.NativeEndian.Uint64(b) != 0, binary.NativeEndian.Uint64(b[8:]) != 0, nil
}

// leave tells the program to end, and waits until it is out.
func (s *shapesAttack) leave(x *sitter) error {
	err := errors.Join(x.tell(1), <-x.out)
	if x.wrong != "" {
		s.wrong = append(s.wrong, x.wrong)
		x.wrong = ""
	}
	return err
}

// drawn loads the fleet's next program of a type, of about so many bytes.
func (s *shapesAttack) drawn(t bpf.Type, size int) (program, error) {
	p, err := s.fleet.Of(t, size, s.number)
	if err != nil {
		return program{}, err
	}
	s.number++
	if err := s.load(p); err != nil {
		return program{}, err
	}
	return s.set.programs[len(s.set.programs)-1], nil
}

// removeProgram closes a program.
func removeProgram(_ context.Context, s *shapesAttack) (*removal, error) {
	last, err := s.drawn(bpf.SchedCLS, 1000)
	if err != nil {
		return nil, err
	}
	in, err := bpf.ProgramInfo(last.fd)
	if err != nil {
		return nil, err
	}
	f := in.Functions[0]
	return &removal{
		what: fmt.Sprintf("program %s was freed", last.Name), start: f.Address, end: f.Address + uint64(f.Bytes),
		begin: func() error {
			s.set.keep(func(p program) bool { return p.fd != last.fd })
			return nil
		},
		after: func() error { return nil },
	}, nil
}

// loopback is the number of the interface lo.
const loopback = 1

// attached loads an XDP program and puts it before loopback, which has the
// kernel write a dispatcher, and returns where that is: its page, and the half of
// it that is in use.
func (s *shapesAttack) attached(ctx context.Context) (link int, image, half uint64, err error) {
	p, err := s.drawn(bpf.XDP, 300)
	if err != nil {
		return -1, 0, 0, err
	}
	if link, err = bpf.AttachXDP(loopback, p.fd); err != nil {
		return -1, 0, 0, err
	}
	half, err = s.dispatched(ctx, p)
	if err == nil {
		image, err = s.dispatcherPage()
	}
	if err != nil {
		return -1, 0, 0, errors.Join(err, bpf.Close(link))
	}
	return link, image, half, nil
}

// removeDispatcher takes the only XDP program away, after which nobody needs the
// dispatcher.
func removeDispatcher(ctx context.Context, s *shapesAttack) (*removal, error) {
	link, image, _, err := s.attached(ctx)
	if err != nil {
		return nil, err
	}
	detached := false
	detach := func() error {
		if detached {
			return nil
		}
		detached = true
		return bpf.Close(link)
	}
	return &removal{what: "the XDP dispatcher lost its last program", start: image, end: image + probe.PageBytes, begin: detach, after: detach}, nil
}

// rewriteDispatcher has an XDP program come to one that is attached: the kernel
// writes the dispatcher anew, beside that which is in use.
func rewriteDispatcher(ctx context.Context, s *shapesAttack) (*removal, error) {
	link, _, half, err := s.attached(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.drawn(bpf.XDP, 300)
	if err != nil {
		return nil, errors.Join(err, bpf.Close(link))
	}
	wrong := ""
	return &removal{
		what: "the XDP dispatcher got another program", start: half, end: half + oracle.DispatcherBytes,
		begin: func() error {
			// Only repeated runs go through the dispatcher.
			got, err := bpf.TestRun(p.fd, make([]byte, p.Packet()), nil, 2)
			if err == nil && got != p.Answer {
				wrong = fmt.Sprintf("program %s (%s), through the dispatcher: answered %#x, must be %#x", p.Name, p.Type, got, p.Answer)
			}
			return err
		},
		after: func() error {
			if wrong != "" {
				s.wrong = append(s.wrong, wrong)
			}
			return bpf.Close(link)
		},
	}, nil
}
