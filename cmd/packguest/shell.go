// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// shells are where u-root's shell may be, best first.
var shells = []string{"/bbin/gosh", "/bin/gosh", "/bin/sh"}

// shell runs u-root's shell on the console until it is left.
func shell(console io.Writer) error {
	for _, path := range shells {
		if !exists(path) {
			continue
		}
		fmt.Fprintln(console, "packguest: programs in /bbin; `packguest help` says what packtest adds; leave with exit")
		cmd := exec.Command(path)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = []string{"PATH=/bbin:/bin:/", "HOME=/", "TERM=" + os.Getenv("TERM"), "PS1=# "}
		cmd.Dir = "/"
		// A session of its own with the console as its terminal, so that Ctrl-C
		// reaches what runs there and not this process.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil // whatever the last command said
		}
		return err
	}
	return fmt.Errorf("there is no shell in this initramfs (looked for %v): boot the shell flavour", shells)
}
