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
	case "sleep":
		time.Sleep(time.Second)
	case "hang":
		time.Sleep(time.Hour)
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
	case "echo":
		buf := make([]byte, 100)
		n, err := port.Read(buf)
		must(err)
		_, err = port.Write(buf[:n])
		must(err)
	default:
		if p, ok := strings.CutPrefix(word, "print:"); ok {
			fmt.Println(strings.ReplaceAll(p, "_", " "))
			return
		}
		if m, ok := strings.CutPrefix(word, "module:"); ok {
			load("/" + m)
			return
		}
		panic("unknown word " + word)
	}
}

func load(path string) {
	f, err := os.Open(path)
	must(err)
	defer f.Close()
	params, err := syscall.BytePtrFromString("")
	must(err)
	if _, _, errno := syscall.Syscall(finitModule, f.Fd(), uintptr(unsafe.Pointer(params)), 0); errno != 0 {
		fmt.Println("load", path+":", errno)
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
