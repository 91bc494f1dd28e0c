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
	k Kernel
	// function is the one selected, "" if none is, and times how many of its calls
	// fail in a row.
	function string
	times    int
	// shortage says that pages run out.
	shortage bool
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

// Slab selects allocations of objects.
func (f *Faults) Slab() error { return errors.Join(f.Off(), f.count(true, false)) }

// Pages selects allocations of pages.
func (f *Faults) Pages() error { return errors.Join(f.Off(), f.count(false, true)) }

// endless is how many calls fail if all do.
const endless = 1 << 20

// Shortage selects allocations of pages, too: when one has failed so do all that
// follow, and those of more than 500 pages fail from the beginning.
func (f *Faults) Shortage() error {
	if err := f.Pages(); err != nil {
		return err
	}
	f.shortage = true
	return f.k.writeString(faultPages+"/task-filter", "Y")
}

// largeOrder is what the kernel takes for more pages in a row than anybody may count
// on, as the logarithm of their number (more than PAGE_ALLOC_COSTLY_ORDER).
const largeOrder = 4

// NoLarge has all allocations fail of many pages in a row, whoever asks for them, until
// Off is called: those of 64 KiB, and larger ones up to pages of 2 MiB.
func (f *Faults) NoLarge() error {
	if err := f.Off(); err != nil {
		return err
	}
	return errors.Join(f.k.writeString(faultPages+"/min-order", strconv.Itoa(largeOrder)), f.always(faultPages, 0, endless))
}

// always has the next calls fail of those that the attributes in dir select, when
// there were so many that didn't; of pages, each counts.
func (f *Faults) always(dir string, spare, times int) error {
	for _, s := range []struct{ file, value string }{
		{"interval", "1"}, {"space", strconv.Itoa(spare)}, {"times", strconv.Itoa(times)}, {"probability", "100"},
	} {
		if err := f.k.writeString(dir+"/"+s.file, s.value); err != nil {
			return err
		}
	}
	return nil
}

// never ends always, and says whether any call failed of so many that could.
func (f *Faults) never(dir string, times int) (bool, error) {
	if err := f.k.writeString(dir+"/probability", "0"); err != nil {
		return false, err
	}
	left, err := f.k.readString(dir + "/times")
	return err == nil && left != strconv.Itoa(times), err
}

// Function selects calls of a function, of which so many in a row then return
// errno.
func (f *Faults) Function(name string, errno unix.Errno, times int) error {
	if err := f.Off(); err != nil {
		return err
	}
	if err := f.k.writeString(faultFunction+"/inject", name); err != nil {
		return err
	}
	f.function, f.times = name, times
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
	f.shortage = false
	return errors.Join(err, f.k.writeString(faultPages+"/probability", "0"), f.k.writeString(faultPages+"/task-filter", "N"), f.count(false, false))
}

// ThreadFaults make calls of one thread fail.
type ThreadFaults struct {
	f *Faults
	// nth and all are files: that which counts to the call that fails, and that
	// which has all fail.
	nth, all int
}

// Thread opens the calling thread's faults, which must stay on its thread
// (runtime.LockOSThread). Close it.
func (f *Faults) Thread() (*ThreadFaults, error) {
	var fds []int
	for _, name := range []string{"/proc/thread-self/fail-nth", "/proc/thread-self/make-it-fail"} {
		path := f.k.path(name)
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		fds = append(fds, fd)
	}
	return &ThreadFaults{f, fds[0], fds[1]}, nil
}

// During calls call, in which the nth of the selected calls that the thread
// makes fails. It returns false if there were not so many. call must do nothing
// but raw system calls.
func (t *ThreadFaults) During(nth int, call func()) (bool, error) {
	switch {
	case t.f.function != "":
		return t.f.duringFunction(nth, call)
	case t.f.shortage:
		return t.duringShortage(nth, call)
	}
	if err := write(t.nth, strconv.Itoa(nth)); err != nil {
		return false, err
	}
	call()
	left := make([]byte, 16)
	n, err := unix.Pread(t.nth, left, 0)
	if err != nil {
		return false, fmt.Errorf("read fail-nth: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(left[:n])))
	if err != nil {
		return false, fmt.Errorf("read fail-nth: %w", err)
	}
	return v == 0, write(t.nth, "0")
}

// duringFunction is During for calls of a function. They are counted for the
// whole machine: on x86_64 the injector sits in a breakpoint, where the kernel
// doesn't count for a thread.
func (f *Faults) duringFunction(nth int, call func()) (bool, error) {
	if err := f.always(faultFunction, nth, f.times); err != nil {
		return false, err
	}
	call()
	return f.never(faultFunction, f.times)
}

// duringShortage is During for pages that run out with the nth. Nothing but call
// may allocate while they do.
func (t *ThreadFaults) duringShortage(nth int, call func()) (bool, error) {
	if err := t.f.always(faultPages, nth, endless); err != nil {
		return false, err
	}
	if err := write(t.all, "1"); err != nil {
		return false, err
	}
	call()
	if err := write(t.all, "0"); err != nil {
		return false, err
	}
	return t.f.never(faultPages, endless)
}

func write(fd int, s string) error {
	if _, err := unix.Pwrite(fd, []byte(s), 0); err != nil {
		return fmt.Errorf("write %q to a thread's faults: %w", s, err)
	}
	return nil
}

// Close closes it.
func (t *ThreadFaults) Close() error { return errors.Join(unix.Close(t.nth), unix.Close(t.all)) }
