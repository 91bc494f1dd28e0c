// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Where the kernel's fault injection is controlled
// (Documentation/fault-injection/fault-injection.rst).
const (
	faultSlab     = "/sys/kernel/debug/failslab"
	faultPages    = "/sys/kernel/debug/fail_page_alloc"
	faultFunction = "/sys/kernel/debug/fail_function"
)

// ErrNoFaults says that the kernel has no fault injection.
var ErrNoFaults = errors.New("the kernel has no fault injection (CONFIG_FAULT_INJECTION and what hangs on it)")

// Faults are the kernel's means of having calls fail.
type Faults struct {
	k        Kernel
	function string
	// Functions are those that may be made to return an error.
	Functions []string
}

// Faults finds the kernel's fault injection, and has it select nothing and say
// nothing. The error is ErrNoFaults where there is none.
func (k Kernel) Faults() (*Faults, error) {
	f := &Faults{k: k}
	for _, path := range []string{faultSlab, faultPages, "/proc/self/fail-nth"} {
		if _, err := os.Stat(k.path(path)); err != nil {
			return nil, ErrNoFaults
		}
	}
	list, err := os.ReadFile(k.path(faultFunction + "/injectable"))
	if err == nil {
		f.Functions = ParseInjectable(string(list))
	}
	for _, s := range []struct{ file, value string }{
		{faultSlab + "/verbose", "0"}, {faultSlab + "/ignore-gfp-wait", "N"},
		{faultPages + "/verbose", "0"}, {faultPages + "/ignore-gfp-wait", "N"}, {faultPages + "/ignore-gfp-highmem", "N"},
	} {
		if err := k.writeString(s.file, s.value); err != nil {
			return nil, err
		}
	}
	return f, f.Off()
}

// ParseInjectable parses the list of functions that may fail: "name kind" in
// each line.
func ParseInjectable(text string) []string {
	var list []string
	for _, line := range strings.Split(text, "\n") {
		if name := strings.Fields(line); len(name) == 2 {
			list = append(list, name[0])
		}
	}
	return list
}

func (k Kernel) writeString(name, value string) error {
	f, err := os.OpenFile(k.path(name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q to %s: %w", value, name, err)
	}
	return nil
}

// count selects allocations of objects, of pages, or neither, as the points
// where a fault can be.
func (f *Faults) count(slab, pages bool) error {
	// No cache is marked for the filter, so that it lets none through; and there
	// is no order of pages as high as that.
	filter, order := "Y", "64"
	if slab {
		filter = "N"
	}
	if pages {
		order = "0"
	}
	return errors.Join(f.k.writeString(faultSlab+"/cache-filter", filter), f.k.writeString(faultPages+"/min-order", order))
}

// Slab selects allocations of objects, Pages those of pages.
func (f *Faults) Slab() error { return f.count(true, false) }

// Pages selects allocations of pages.
func (f *Faults) Pages() error { return f.count(false, true) }

// Function selects calls of a function, which then returns errno.
func (f *Faults) Function(name string, errno unix.Errno) error {
	if err := f.Off(); err != nil {
		return err
	}
	if err := f.k.writeString(faultFunction+"/inject", name); err != nil {
		return err
	}
	f.function = name
	return errors.Join(f.k.writeString(faultFunction+"/"+name+"/retval", strconv.FormatUint(uint64(-int64(errno)), 10)),
		f.k.writeString(faultFunction+"/verbose", "0"))
}

// Off selects nothing.
func (f *Faults) Off() error {
	var err error
	if f.function != "" {
		err = f.k.writeString(faultFunction+"/inject", "!"+f.function)
		f.function = ""
	}
	return errors.Join(err, f.count(false, false))
}

// ThreadFaults make calls of one thread fail.
type ThreadFaults struct {
	f  *Faults
	fd int
}

// Thread opens the calling thread's faults, which must stay on its thread
// (runtime.LockOSThread). Close it.
func (f *Faults) Thread() (*ThreadFaults, error) {
	path := f.k.path("/proc/thread-self/fail-nth")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &ThreadFaults{f, fd}, nil
}

// During calls call, in which the nth of the selected calls that the thread
// makes fails. It returns false if there were not so many. call must do nothing
// but raw system calls.
func (t *ThreadFaults) During(nth int, call func()) (bool, error) {
	if t.f.function != "" {
		return t.f.duringFunction(nth, call)
	}
	if err := t.write(strconv.Itoa(nth)); err != nil {
		return false, err
	}
	call()
	left := make([]byte, 16)
	n, err := unix.Pread(t.fd, left, 0)
	if err != nil {
		return false, fmt.Errorf("read fail-nth: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(left[:n])))
	if err != nil {
		return false, fmt.Errorf("read fail-nth: %w", err)
	}
	return v == 0, t.write("0")
}

// duringFunction is During for calls of a function. They are counted for the
// whole machine: on x86_64 the injector sits in a breakpoint, where the kernel
// doesn't count for a thread.
func (f *Faults) duringFunction(nth int, call func()) (bool, error) {
	for _, s := range []struct{ file, value string }{
		{"interval", "1"}, {"space", strconv.Itoa(nth)}, {"times", "1"}, {"probability", "100"},
	} {
		if err := f.k.writeString(faultFunction+"/"+s.file, s.value); err != nil {
			return false, err
		}
	}
	call()
	if err := f.k.writeString(faultFunction+"/probability", "0"); err != nil {
		return false, err
	}
	times, err := f.k.readString(faultFunction + "/times")
	return times == "0", err
}

func (t *ThreadFaults) write(s string) error {
	if _, err := unix.Pwrite(t.fd, []byte(s), 0); err != nil {
		return fmt.Errorf("write fail-nth: %w", err)
	}
	return nil
}

// Close closes it.
func (t *ThreadFaults) Close() error { return unix.Close(t.fd) }
