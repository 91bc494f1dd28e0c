// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/probe"
	"packtest/guest/scenario/fleet"
)

// maxAttached is how many programs run at once on a probe. The kernel allows 64.
const maxAttached = 48

// kprobes runs kprobe programs. The kernel has no test run for those, so they
// are attached to a probe on a system call that nobody else makes, and that
// call is made: one probe for all, since arming one is dear, and many programs
// on it at a time. They leave their answers in an array that all share.
type kprobes struct {
	env   *Env
	slots *bpf.Array
	data  []byte
	event uint64 // the probe's number as a trace event
	// anchor keeps the probe armed while programs come and go.
	anchor int
}

const (
	tracing   = "/sys/kernel/tracing"
	probeName = "packtest/answer"
)

// newKprobes sets the probe and makes slots for programs 0 to n-1.
func newKprobes(env *Env, n int) (_ *kprobes, err error) {
	k := &kprobes{env: env, anchor: -1, data: make([]byte, n*fleet.SlotBytes)}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	if k.slots, err = bpf.NewArray(len(k.data)); err != nil {
		return nil, err
	}
	target, err := getpgidSymbol(env.Kernel)
	if err != nil {
		return nil, err
	}
	if err := writeEvents("p:" + probeName + " " + target); err != nil {
		return nil, fmt.Errorf("set a kprobe on %s: %w", target, err)
	}
	id, err := os.ReadFile(tracing + "/events/" + probeName + "/id")
	if err != nil {
		return nil, err
	}
	if k.event, err = strconv.ParseUint(strings.TrimSpace(string(id)), 10, 32); err != nil {
		return nil, fmt.Errorf("number of event %s: %w", probeName, err)
	}
	if k.anchor, err = k.open(); err != nil {
		return nil, err
	}
	return k, nil
}

// getpgidSymbol returns the function behind getpgid(2), which is called
// differently on each architecture.
func getpgidSymbol(k probe.Kernel) (string, error) {
	list, err := k.Symbols(func(name string) bool {
		return strings.HasSuffix(name, "_sys_getpgid") && strings.HasPrefix(name, "__")
	})
	if err != nil {
		return "", err
	}
	for _, s := range list {
		switch s.Name {
		case "__x64_sys_getpgid", "__s390x_sys_getpgid":
			return s.Name, nil
		}
	}
	return "", errors.New("the kernel has no function for getpgid(2) to put a kprobe on")
}

// writeEvents gives the kernel a line about dynamic trace events.
func writeEvents(line string) error {
	f, err := os.OpenFile(tracing+"/kprobe_events", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// open opens the probe's event for this thread.
func (k *kprobes) open() (int, error) {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Config: k.event,
		Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Sample: 1,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open event %s: %w", probeName, err)
	}
	return fd, nil
}

// run attaches at most maxAttached programs, sets off the probe once, detaches
// them, and returns their answers.
func (k *kprobes) run(programs []program) ([]uint32, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	clear(k.data)
	for _, p := range programs {
		slot := k.data[p.Slot():]
		binary.NativeEndian.PutUint64(slot, uint64(p.Input))
		// Not what any program leaves there: it clears the upper half.
		binary.NativeEndian.PutUint64(slot[8:], ^uint64(0))
	}
	if err := k.slots.Write(k.data); err != nil {
		return nil, err
	}
	if err := k.fire(programs); err != nil {
		return nil, err
	}
	if err := k.slots.Read(k.data); err != nil {
		return nil, err
	}
	answers := make([]uint32, 0, len(programs))
	for _, p := range programs {
		v := binary.NativeEndian.Uint64(k.data[p.Slot()+8:])
		answer := uint32(v)
		if v>>32 != 0 {
			// It did not run, or wrote more than it may.
			answer = ^p.Answer
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

func (k *kprobes) fire(programs []program) error {
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, p := range programs {
		fd, err := k.open()
		if err != nil {
			return err
		}
		fds = append(fds, fd)
		if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, p.fd); err != nil {
			return fmt.Errorf("attach program %d to %s: %w", p.Index, probeName, err)
		}
	}
	if _, err := unix.Getpgid(0); err != nil {
		return fmt.Errorf("set off %s: %w", probeName, err)
	}
	return nil
}

// close takes the probe away. It may be called on one that was not fully made.
func (k *kprobes) close() error {
	var errs []error
	if k.anchor >= 0 {
		errs = append(errs, unix.Close(k.anchor))
		k.anchor = -1
	}
	if k.event != 0 {
		errs = append(errs, writeEvents("-:"+probeName))
		k.event = 0
	}
	if k.slots != nil {
		errs = append(errs, k.slots.Close())
		k.slots = nil
	}
	return errors.Join(errs...)
}
