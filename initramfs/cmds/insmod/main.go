// SPDX-License-Identifier: GPL-2.0-or-later

// Command insmod loads a kernel module from a file, for the shell flavour of
// the initramfs. u-root has one too, which brings three decompressors along
// for modules that are never compressed here.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: insmod FILE [PARAMETER=VALUE]...")
		os.Exit(2)
	}
	if err := load(os.Args[1], strings.Join(os.Args[2:], " ")); err != nil {
		fmt.Fprintln(os.Stderr, "insmod:", err)
		os.Exit(1)
	}
}

func load(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), params, 0); err != nil {
		return fmt.Errorf("load %s: %w (dmesg may say why)", path, err)
	}
	return nil
}
