// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"packtest/guest/bpf"
	"packtest/guest/probe"
)

// hooks is programs attached where the kernel calls them by itself: each socket
// filter to a UDP socket of its own that a packet is sent to over loopback, all
// cgroup programs to the way out of the cgroup that one sender is in, and all
// raw tracepoints' programs to the tracepoint that prctl(PR_SET_NAME) passes. So
// a round of system calls runs each program once.
type hooks struct {
	cgroups  []string // each in the one before it: a cgroup takes 64 programs
	attached int      // programs in the cgroups
	files    []int    // to be closed
	loop     loop
	egress   int // the index of the step that sends from the innermost cgroup; -1 if there is none
	name     bool
}

const (
	cgroupRoot = "/sys/fs/cgroup"
	// renamed is the tracepoint that is passed when a thread is given a name.
	renamed = "task_rename"
)

// newHooks brings loopback up, and makes room for large socket filters.
func newHooks(k probe.Kernel) (*hooks, error) {
	if err := k.SetSysctl("net.core.optmem_max", "1048576"); err != nil {
		return nil, err
	}
	return &hooks{egress: -1}, loopbackUp()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err == nil {
		r.SetUint16(unix.IFF_UP)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	}
	if err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	return nil
}

// add attaches programs after those that are attached.
func (h *hooks) add(programs []program) error {
	for _, p := range programs {
		var err error
		switch p.Type {
		case bpf.SocketFilter:
			err = h.filter(p)
		case bpf.CgroupSKB:
			err = h.cgroup(p)
		case bpf.RawTracepoint:
			err = h.tracepoint(p)
		default:
			err = fmt.Errorf("no hook for a %s program", p.Type)
		}
		if err != nil {
			return fmt.Errorf("program %d: %w", p.Index, err)
		}
	}
	return h.aimEgress()
}

// filter gives the program a socket, and the loop two steps: one that sends it
// a packet of the length that the program expects, one that takes it.
func (h *hooks) filter(p program) error {
	fd, at, err := h.socket()
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, p.fd); err != nil {
		return fmt.Errorf("attach a program to a socket: %w", err)
	}
	// The filter sees the UDP header.
	const header = 8
	h.send(fd, at, int(p.Input)-header, fmt.Sprintf("send to program %d's socket", p.Index))
	into := make([]byte, 16)
	h.loop.keep = append(h.loop.keep, into)
	h.loop.steps = append(h.loop.steps, step{call: unix.SYS_RECVFROM, what: fmt.Sprintf("receive from program %d's socket", p.Index),
		args: [6]uintptr{uintptr(fd), uintptr(unsafe.Pointer(&into[0])), uintptr(len(into))}})
	return nil
}

// send adds a step that sends bytes from a socket to an address.
func (h *hooks) send(from int, to *unix.SockaddrInet4, bytes int, what string) {
	raw := &unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr}
	port := (*[2]byte)(unsafe.Pointer(&raw.Port)) // in the network's byte order
	port[0], port[1] = byte(to.Port>>8), byte(to.Port)
	packet := make([]byte, bytes)
	h.loop.keep = append(h.loop.keep, raw, packet)
	h.loop.steps = append(h.loop.steps, step{call: unix.SYS_SENDTO, what: what,
		args: [6]uintptr{uintptr(from), uintptr(unsafe.Pointer(unsafe.SliceData(packet))), uintptr(bytes), 0,
			uintptr(unsafe.Pointer(raw)), unix.SizeofSockaddrInet4}})
}

// socket opens a UDP socket at a port of the kernel's choice.
func (h *hooks) socket() (int, *unix.SockaddrInet4, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, fmt.Errorf("open a socket: %w", err)
	}
	h.files = append(h.files, fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return -1, nil, fmt.Errorf("bind a socket: %w", err)
	}
	// The kernel may leave a packet to a thread of its own, so it is waited for;
	// one that is lost is an error, and no end of the guest.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return -1, nil, fmt.Errorf("limit the wait at a socket: %w", err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		return -1, nil, fmt.Errorf("address of a socket: %w", err)
	}
	return fd, at.(*unix.SockaddrInet4), nil
}

func (h *hooks) cgroup(p program) error {
	if h.attached == len(h.cgroups)*bpf.MaxPerCgroup {
		dir := cgroupRoot
		if n := len(h.cgroups); n > 0 {
			dir = h.cgroups[n-1]
		}
		dir = filepath.Join(dir, "packtest")
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make a cgroup: %w", err)
		}
		h.cgroups = append(h.cgroups, dir)
	}
	fd, err := unix.Open(h.cgroups[len(h.cgroups)-1], unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a cgroup: %w", err)
	}
	defer unix.Close(fd)
	if err := bpf.AttachEgress(fd, p.fd); err != nil {
		return err
	}
	h.attached++
	return nil
}

// aimEgress sees to it that a step sends one packet from the innermost cgroup,
// on whose way out are the programs of all. A socket belongs to the cgroup in
// which it was opened.
func (h *hooks) aimEgress() (err error) {
	if h.attached == 0 {
		return nil
	}
	move := func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err := move(h.cgroups[len(h.cgroups)-1]); err != nil {
		return fmt.Errorf("go into a cgroup: %w", err)
	}
	defer func() {
		if e := move(cgroupRoot); e != nil {
			err = errors.Join(err, fmt.Errorf("leave a cgroup: %w", e))
		}
	}()
	// To itself: the way in has no programs.
	fd, at, err := h.socket()
	if err != nil {
		return err
	}
	const bytes = 64
	last := len(h.loop.steps)
	h.send(fd, at, bytes, "send from a cgroup")
	into := make([]byte, bytes)
	h.loop.keep = append(h.loop.keep, into)
	h.loop.steps = append(h.loop.steps, step{call: unix.SYS_RECVFROM, what: "receive in a cgroup",
		args: [6]uintptr{uintptr(fd), uintptr(unsafe.Pointer(&into[0])), bytes}})
	if h.egress >= 0 {
		copy(h.loop.steps[h.egress:], h.loop.steps[last:])
		h.loop.steps = h.loop.steps[:last]
	} else {
		h.egress = last
	}
	return nil
}

func (h *hooks) tracepoint(p program) error {
	fd, err := bpf.OpenRawTracepoint(renamed, p.fd)
	if err != nil {
		return err
	}
	h.files = append(h.files, fd)
	if h.name {
		return nil
	}
	h.name = true
	name := []byte("packguest\x00")
	h.loop.keep = append(h.loop.keep, name)
	h.loop.steps = append(h.loop.steps, step{call: unix.SYS_PRCTL, what: "name a thread",
		args: [6]uintptr{unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0]))}})
	return nil
}

// close takes every program off its hook.
func (h *hooks) close() error {
	var err error
	for _, fd := range h.files {
		err = errors.Join(err, unix.Close(fd))
	}
	for i := len(h.cgroups) - 1; i >= 0; i-- {
		if e := os.Remove(h.cgroups[i]); e != nil {
			err = errors.Join(err, fmt.Errorf("remove a cgroup: %w", e))
		}
	}
	*h = hooks{egress: -1}
	return err
}
