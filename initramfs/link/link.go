// SPDX-License-Identifier: GPL-2.0-or-later

// Package link says how a program that runs in guests is linked. Compiling it is
// left to the command bake, and to tests.
package link

// Flags are the flags for go build's -ldflags, for arch as packtest names it.
//
// No symbols and no build ID: they would be a third of what QEMU has to copy
// into each guest, and the latter differs between build folders.
//
// On s390x the kernel has an address space of its own, and a program may lie at
// the same addresses. In a trace that could not be told apart, so it is linked
// at 512 GiB: above any guest's memory, which the kernel maps from 0, and below
// where the kernel maps its own areas. The text follows a page of headers.
func Flags(arch string) string {
	flags := "-s -w -buildid="
	if arch == "s390x" {
		flags += " -T 0x8000001000"
	}
	return flags
}
