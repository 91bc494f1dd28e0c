// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// classicFilters is how many classic filters there are at a time, and blindedPairs
// how many pairs of constants those have that are hidden: so many that hiding
// them takes another page.
const (
	classicFilters = 64
	blindedPairs   = 220
)

// classicProgram is a filter of classic instructions.
type classicProgram struct {
	code []unix.SockFilter
	// want is how many bytes of a message it lets through.
	want int
}

// newClassic makes a filter that takes a constant out of the message's length, and
// has pairs of constants besides that come to nothing.
func (a *attack) newClassic(pairs int, random func() uint32) classicProgram {
	const loadLength, xor, sub, returnA = unix.BPF_LD | unix.BPF_W | unix.BPF_LEN,
		unix.BPF_ALU | 0xa0 | unix.BPF_K, unix.BPF_ALU | unix.BPF_SUB | unix.BPF_K, unix.BPF_RET | unix.BPF_A
	less := 1 + random()%(messageBytes-1)
	code := []unix.SockFilter{{Code: loadLength}}
	for range pairs {
		v := random()
		code = append(code, unix.SockFilter{Code: xor, K: v}, unix.SockFilter{Code: xor, K: v})
	}
	return classicProgram{append(code, unix.SockFilter{Code: sub, K: less}, unix.SockFilter{Code: returnA}), messageBytes - int(less)}
}

// attach puts the filter on a socket.
func (c classicProgram) attach(i int) (_ *filtered, err error) {
	f, err := newPair(i, c.want)
	if err != nil {
		return nil, err
	}
	program := unix.SockFprog{Len: uint16(len(c.code)), Filter: &c.code[0]}
	if err := unix.SetsockoptSockFprog(f.pair[1], unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return nil, errors.Join(fmt.Errorf("put a classic filter on a socket: %w", err), f.close())
	}
	return f, nil
}

// shapeClassic has an unprivileged user put classic filters on sockets, and
// sends through them. Nobody is told where their code is: what is seen of it is
// its answers, what is charged for it, and that it goes. Then the same with hidden
// constants: there must be more code.
func shapeClassic(ctx context.Context, s *shapesAttack) (err error) {
	var few, many []classicProgram
	for range classicFilters {
		few = append(few, s.newClassic(1+s.r.IntN(100), s.r.Uint32))
		many = append(many, s.newClassic(blindedPairs, s.r.Uint32))
	}
	if _, err := s.classic(ctx, few); err != nil {
		return err
	}
	plain, err := s.classic(ctx, many)
	if err != nil {
		return err
	}
	if err := s.env.Kernel.SetSysctl("net.core.bpf_jit_harden", "2"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.env.Kernel.SetSysctl("net.core.bpf_jit_harden", "0")) }()
	blinded, err := s.classic(ctx, many)
	if err != nil {
		return err
	}
	s.hidden("classic filters, by their charge", plain, blinded)
	return nil
}

// classic attaches all filters, sends through them, and lets them go. It returns
// what was charged for them.
func (s *shapesAttack) classic(ctx context.Context, programs []classicProgram) (charged int64, err error) {
	if _, err := s.reader.settle(ctx, s.before, nil); err != nil {
		return 0, err
	}
	before, err := s.reader.charged()
	if err != nil {
		return 0, err
	}
	var list []*filtered
	defer func() {
		for _, f := range list {
			err = errors.Join(err, f.close())
		}
	}()
	err = unprivileged(func() error {
		for i, p := range programs {
			f, err := p.attach(i)
			if err != nil {
				return err
			}
			s.loads++
			list = append(list, f)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	after, err := s.reader.charged()
	if err != nil {
		return 0, err
	}
	for range 2 {
		for _, f := range list {
			got, err := f.pass()
			if err != nil {
				return 0, err
			}
			s.runs++
			if got != f.want {
				s.wrong = append(s.wrong, fmt.Sprintf("classic filter %d let %d of %d bytes through, must be %d", f.index, got, len(f.message), f.want))
			}
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	return after - before, nil
}

// classicOnce puts a classic filter on a socket as an unprivileged user, with raw
// system calls alone. The calling thread must be root's, and is so again.
type classicOnce struct {
	f       *filtered
	program unix.SockFprog
	code    []unix.SockFilter
}

func newClassicOnce(c classicProgram) (*classicOnce, error) {
	f, err := newPair(0, c.want)
	if err != nil {
		return nil, err
	}
	return &classicOnce{f: f, code: c.code, program: unix.SockFprog{Len: uint16(len(c.code)), Filter: &c.code[0]}}, nil
}

// user sets the thread's effective user; the real one stays, so that it can be
// set back.
func (*classicOnce) user(id uintptr) unix.Errno {
	const same = ^uintptr(0)
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, id, same)
	return errno
}

func (c *classicOnce) call() unix.Errno {
	if errno := c.user(nobody); errno != 0 {
		return errno
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(c.f.pair[1]), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		uintptr(unsafe.Pointer(&c.program)), unsafe.Sizeof(c.program), 0)
	// This may be what is made to fail.
	for c.user(0) != 0 {
	}
	return errno
}

func (c *classicOnce) check() (string, error) {
	got, err := c.f.pass()
	return differs("the classic filter", uint32(got), uint32(c.f.want)), err
}

// undo takes the filter away, if there is one.
func (c *classicOnce) undo() {
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(c.f.pair[1]), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, uintptr(unsafe.Pointer(&c.program)), 4, 0)
}
