// SPDX-License-Identifier: GPL-2.0-or-later

// Command window is a PID 1 that runs a hundred of 160 BPF programs in rounds,
// between marks, says how long the window took, and resets. The environment
// variable rounds says how many.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
)

const loaded, hot = 160, 100

func markBegin()
func markLap()
func markEnd()

func main() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	must(syscall.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""))
	console, err := os.OpenFile("/dev/console", os.O_WRONLY, 0)
	must(err)
	rounds, err := strconv.Atoi(os.Getenv("rounds"))
	must(err)
	calls := programs()

	round(calls)
	start := time.Now()
	markBegin()
	for i := range rounds {
		if i > 0 {
			markLap()
		}
		round(calls)
	}
	markEnd()
	fmt.Fprintf(console, "window: %d ns, %d runs\n", time.Since(start).Nanoseconds(), rounds*hot)
	must(syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART))
}

func round(calls []*bpf.TestRunCall) {
	for _, c := range calls {
		a := c.Args()
		if _, _, errno := syscall.RawSyscall(a[0], a[1], a[2], a[3]); errno != 0 {
			panic(errno)
		}
	}
}

// programs loads the fleet and returns a call for each of the hot ones, which
// lie between the others.
func programs() (calls []*bpf.TestRunCall) {
	arch := map[string]string{"amd64": "x86_64", "s390x": "s390x"}[runtime.GOARCH]
	f, err := fleet.New(arch, 1)
	must(err)
	for i := range loaded {
		p, err := f.Small(i)
		must(err)
		fd, err := bpf.Load(p.Type, p.Name, p.Code)
		must(err)
		if i%8 < 5 {
			calls = append(calls, bpf.NewTestRunCall(p.Type, fd, make([]byte, p.Packet())))
		}
	}
	if len(calls) != hot {
		panic(len(calls))
	}
	return calls
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
