// SPDX-License-Identifier: GPL-2.0-or-later

// Command hello is the least that a PID 1 can do to be measured against: find
// the port, say a word, and wait.
package main

import (
	"os"
	"syscall"
)

func main() {
	if err := syscall.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""); err != nil {
		panic(err)
	}
	port, err := os.OpenFile("/dev/vport0p1", os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	if _, err := port.WriteString("hello\n"); err != nil {
		panic(err)
	}
	select {}
}
