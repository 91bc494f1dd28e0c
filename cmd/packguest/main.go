// SPDX-License-Identifier: GPL-2.0-or-later

// Packguest is the program inside packtest's virtual machines. As process 1 it
// mounts what it needs, talks to packtest over a virtio-serial port, runs the
// scenarios it is asked for, and powers off; with packtest.shell on the
// kernel's command line it starts a shell on the console instead. Called by
// hand, in that shell, it offers the same scenarios and probes as sub-commands.
// The console gets only lines for humans.
package main

import (
	"context"
	"io"
	"os"
)

func main() {
	if os.Getpid() == 1 {
		boot(os.Stderr)
		return
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is packguest called by hand. It returns the exit code: 0 nothing wrong,
// 1 a finding, 2 wrong usage, 3 it could not be carried out.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return hand{stdin, stdout, stderr}.run(ctx, args)
}
