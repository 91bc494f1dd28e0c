// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// step is one system call of a loop, made ready beforehand.
type step struct {
	call uintptr
	args [6]uintptr
	what string // for an error
}

// loop is system calls that are issued round by round, with as little as can be
// around them: what is counted or traced meanwhile is theirs.
type loop struct {
	steps []step
	// keep holds what the arguments point to.
	keep []any
	// errno is of the first step that failed, and failed its index.
	errno  unix.Errno
	failed int
}

// edges are called where a window begins, between two rounds, and where it ends.
type edges struct{ begin, between, end func() }

// run makes one round that nothing is counted of, so that what is set up at the
// first time is there, and then rounds between the edges. Nobody else gets the
// processor meanwhile, unless the loop waits.
func (l *loop) run(rounds int, e edges) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	restore, err := goFirst()
	if err != nil {
		return err
	}
	l.round()
	e.begin()
	for i := range rounds {
		if i > 0 {
			e.between()
		}
		l.round()
	}
	e.end()
	if err := restore(); err != nil {
		return err
	}
	if l.errno != 0 {
		return fmt.Errorf("%s: %w", l.steps[l.failed].what, l.errno)
	}
	runtime.KeepAlive(l.keep)
	return nil
}

// round issues every call once.
func (l *loop) round() {
	for i := range l.steps {
		s := &l.steps[i]
		_, _, errno := unix.RawSyscall6(s.call, s.args[0], s.args[1], s.args[2], s.args[3], s.args[4], s.args[5])
		if errno != 0 && l.errno == 0 {
			l.errno, l.failed = errno, i
		}
	}
}

// holdSignals holds back signals from the calling thread, which must be locked,
// until the function it returns is called.
func holdSignals() (release func() error, err error) {
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
		return nil, fmt.Errorf("hold back signals: %w", err)
	}
	return func() error { return unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }, nil
}

// goFirst puts the calling thread before all that are scheduled by fairness, and
// before it only what the kernel leaves of its packets to a thread, without
// which the loop would wait. It holds back signals: Go's runtime sends some to
// threads that run for long.
func goFirst() (restore func() error, err error) {
	release, err := holdSignals()
	if err != nil {
		return nil, err
	}
	var changed []int
	restore = func() error {
		err := release()
		for _, thread := range changed {
			err = errors.Join(err, setScheduler(thread, schedOther, 0))
		}
		return err
	}
	change := func(thread, priority int) error {
		changed = append(changed, thread)
		return setScheduler(thread, schedFIFO, priority)
	}
	threads, err := softirqThreads()
	for _, t := range threads {
		err = errors.Join(err, change(t, 2))
	}
	const self = 0
	if err = errors.Join(err, change(self, 1)); err != nil {
		return nil, errors.Join(err, restore())
	}
	return restore, nil
}

// softirqThreads returns the IDs of the kernel's threads for what is left of
// interrupts, one for each processor.
func softirqThreads() ([]int, error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	var list []int
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(comm), "ksoftirqd/") {
			continue // a process may have ended
		}
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	if len(list) == 0 {
		return nil, errors.New("/proc shows no ksoftirqd")
	}
	return list, nil
}

// Policies of sched_setscheduler(2).
const (
	schedOther = 0
	schedFIFO  = 1
)

// setScheduler changes how a thread is scheduled; 0 is the calling one.
func setScheduler(thread, policy, priority int) error {
	param := struct{ priority int32 }{int32(priority)}
	if _, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(thread), uintptr(policy), uintptr(unsafe.Pointer(&param))); errno != 0 {
		return fmt.Errorf("set the scheduling policy of thread %d to %d: %w", thread, policy, errno)
	}
	return nil
}
