// SPDX-License-Identifier: GPL-2.0-or-later

// Command hello is the least that a PID 1 can do to be measured against: find
// the port, say a word, and wait.
package main

import (
	"os"
	"strings"
	"syscall"
	"time"
)

func main() {
	must(syscall.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""))
	fd, err := syscall.Open(port(), syscall.O_WRONLY, 0)
	must(err)
	_, err = syscall.Write(fd, []byte("hello\n"))
	must(err)
	time.Sleep(time.Hour)
}

// port waits until the driver has heard of the one port there is.
func port() string {
	for {
		d, err := os.Open("/dev")
		must(err)
		names, err := d.Readdirnames(-1)
		must(err)
		d.Close()
		for _, n := range names {
			if strings.HasPrefix(n, "vport") {
				return "/dev/" + n
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
