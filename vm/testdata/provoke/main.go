// SPDX-License-Identifier: GPL-2.0-or-later

// Command provoke is the PID 1 of package vm's tests: it does what the kernel's
// command line says after "provoke=", one word after the other.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if len(os.Args) == 2 && os.Args[0] == "victim" {
		victim(os.Args[1])
		return
	}
	must(syscall.Mount("proc", "/proc", "proc", 0, ""))
	must(syscall.Mount("sysfs", "/sys", "sysfs", 0, ""))
	must(syscall.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""))
	cmdline, err := os.ReadFile("/proc/cmdline")
	must(err)
	var words string
	for _, w := range strings.Fields(string(cmdline)) {
		if v, ok := strings.CutPrefix(w, "provoke="); ok {
			words = v
		}
	}
	port, err := openPort()
	must(err)
	for _, w := range strings.Split(words, ",") {
		do(w, port)
	}
	time.Sleep(time.Hour)
}

func do(word string, port *os.File) {
	switch word {
	case "hello":
		fmt.Fprintln(port, "hello")
	case "done":
		fmt.Fprintln(port, "done")
	case "garbage":
		fmt.Fprintln(port, "\x00\xffgarbage")
	case "half":
		fmt.Fprint(port, "do")
	case "off":
		must(syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF))
	case "reset":
		must(syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART))
	case "exit":
		os.Exit(3)
	case "crash": // an oops, through a null pointer
		sysrq("c")
	case "warn": // what the kernel would say, through its own log
		kmsg("4", "------------[ cut here ]------------", "WARNING: CPU: 0 PID: 1 at kernel/bpf/core.c:940 bpf_prog_pack_free+0xb2/0xd0",
			"---[ end trace 0000000000000000 ]---")
	case "oops": // one that does not lead to a panic
		kmsg("0", "BUG: unable to handle page fault for address: ffffc90000000000", "RIP: 0010:bpf_prog_pack_free+0xb2/0xd0",
			"---[ end trace 0000000000000000 ]---")
	case "hang":
		time.Sleep(time.Hour)
	case "nap":
		time.Sleep(500 * time.Millisecond)
	case "busy": // in the kernel, and for long
		f, err := os.Open("/dev/urandom")
		must(err)
		for b := make([]byte, 256<<20); ; {
			_, err := f.Read(b)
			must(err)
		}
	case "flood":
		line := strings.Repeat("x", 1000) + "\n"
		for {
			fmt.Print(line)
		}
	case "talk":
		for {
			fmt.Fprintln(port, "still here")
			time.Sleep(100 * time.Millisecond)
		}
	default:
		if list, ok := strings.CutPrefix(word, "trouble:"); ok {
			for _, what := range strings.Split(list, "+") {
				trouble(what)
			}
			return
		}
		panic("unknown word " + word)
	}
}

// trouble makes some of its own, or has the kernel make it, which comes back
// from some.
func trouble(what string) {
	switch what {
	case "segfault":
		kmsg("6", "trouble: "+what)
		run("crash")
	case "oom":
		kmsg("6", "trouble: "+what)
		run("eat")
	case "leak":
		ask(what)
		must(syscall.Mount("debugfs", "/sys/kernel/debug", "debugfs", 0, ""))
		// What is younger than five seconds is not taken for lost.
		time.Sleep(6 * time.Second)
		for range 2 {
			must(os.WriteFile("/sys/kernel/debug/kmemleak", []byte("scan"), 0))
		}
	case "hung":
		ask(what)
		time.Sleep(10 * time.Second)
	default:
		ask(what)
	}
}

// ask asks the kernel for trouble.
func ask(what string) {
	must(os.WriteFile("/sys/module/trouble/parameters/what", []byte(what), 0))
}

// run runs this program again, to do something that PID 1 would not survive.
func run(what string) {
	p, err := os.StartProcess("/proc/self/exe", []string{"victim", what}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	must(err)
	st, err := p.Wait()
	must(err)
	fmt.Println("victim:", st)
}

func victim(what string) {
	switch what {
	case "crash":
		// Unhandled, or Go would print a traceback of its own.
		segfault()
	case "eat":
		for {
			b := make([]byte, 16<<20)
			for i := range b {
				b[i] = 1
			}
			hold = append(hold, b)
		}
	}
}

var hold [][]byte

// segfault resets the signal's action behind the Go runtime's back and writes to
// an address that nothing is mapped at.
func segfault() {
	var action [64]byte
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGSEGV), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	if errno != 0 {
		panic(errno)
	}
	p := (*int)(nil)
	*p = 1
}

func kmsg(level string, lines ...string) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	must(err)
	defer f.Close()
	for _, l := range lines {
		_, err := fmt.Fprintf(f, "<%s>%s\n", level, l)
		must(err)
	}
}

func sysrq(key string) {
	must(os.WriteFile("/proc/sysrq-trigger", []byte(key), 0))
}

// openPort opens the one virtio port there is, once the driver has heard of it.
func openPort() (*os.File, error) {
	for range 10000 {
		names, err := filepath.Glob("/dev/vport*")
		if err != nil {
			return nil, err
		}
		if len(names) > 0 {
			return os.OpenFile(names[0], os.O_RDWR, 0)
		}
		time.Sleep(time.Millisecond)
	}
	return nil, fmt.Errorf("no virtio port")
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
