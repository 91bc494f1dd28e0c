// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
)

// shapeDispatcher runs XDP programs on several threads at once, again and again:
// each that begins or ends has the dispatcher written anew, while the others run
// through it.
func shapeDispatcher(ctx context.Context, s *shapesAttack) error {
	const threads, turns, repeat = 3, 5, 200
	var list []program
	for i := range 2 * threads {
		p, err := s.fleet.Of(bpf.XDP, 300+200*i, i)
		if err != nil {
			return err
		}
		if err := s.load(p); err != nil {
			return err
		}
		list = append(list, s.set.programs[len(s.set.programs)-1])
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() {
			for turn := 0; turn < turns && ctx.Err() == nil; turn++ {
				p := list[(2*i+turn)%len(list)]
				got, err := bpf.TestRun(p.fd, make([]byte, p.Packet()), nil, repeat)
				mu.Lock()
				s.runs += repeat
				if err != nil {
					errs = append(errs, err)
				} else if got != p.Answer {
					s.wrong = append(s.wrong, fmt.Sprintf("program %s (%s), through the dispatcher: answered %#x, must be %#x", p.Name, p.Type, got, p.Answer))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// nobody is the user who has no privileges, on any system.
const nobody = 65534

// unprivileged calls f on a thread that runs as nobody and ends with f.
func unprivileged(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: so the thread ends.
		runtime.LockOSThread()
		done <- func() error {
			// The system call itself, for this thread alone.
			for _, id := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
				if _, _, errno := unix.RawSyscall(id, nobody, nobody, nobody); errno != 0 {
					return fmt.Errorf("become nobody: %w", errno)
				}
			}
			return f()
		}()
	}()
	return <-done
}

// classicFilters is how many classic filters there are at a time.
const classicFilters = 64

// shapeClassic has an unprivileged user put classic filters on sockets, and
// sends through them. Nobody is told where their code is: what is seen of it is
// its answers, and that it goes.
func shapeClassic(ctx context.Context, s *shapesAttack) (err error) {
	var list []*filtered
	defer func() {
		for _, f := range list {
			err = errors.Join(err, f.close())
		}
	}()
	err = unprivileged(func() error {
		for i := range classicFilters {
			f, err := s.newClassic(i)
			if err != nil {
				return err
			}
			list = append(list, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for range 4 {
		for _, f := range list {
			got, err := f.pass()
			if err != nil {
				return err
			}
			s.runs++
			if got != f.want {
				s.wrong = append(s.wrong, fmt.Sprintf("classic filter %d let %d bytes through, must be %d", f.index, got, f.want))
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// newClassic puts a filter of classic instructions on a socket.
func (s *shapesAttack) newClassic(i int) (_ *filtered, err error) {
	const loadLength, xor, sub, returnA = unix.BPF_LD | unix.BPF_W | unix.BPF_LEN,
		unix.BPF_ALU | 0xa0 | unix.BPF_K, unix.BPF_ALU | unix.BPF_SUB | unix.BPF_K, unix.BPF_RET | unix.BPF_A
	less := uint32(1 + s.r.IntN(messageBytes-1))
	code := []unix.SockFilter{{Code: loadLength}}
	for range 1 + s.r.IntN(100) {
		v := s.r.Uint32()
		code = append(code, unix.SockFilter{Code: xor, K: v}, unix.SockFilter{Code: xor, K: v})
	}
	code = append(code, unix.SockFilter{Code: sub, K: less}, unix.SockFilter{Code: returnA})
	f, err := newPair(i, messageBytes-int(less))
	if err != nil {
		return nil, err
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.SetsockoptSockFprog(f.pair[1], unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return nil, errors.Join(fmt.Errorf("put a classic filter on a socket: %w", err), f.close())
	}
	s.loads++
	return f, nil
}
