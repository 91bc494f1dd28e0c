// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bytes"
	"io/fs"
)

// splitsLargePages tells whether the host's KVM maps what a guest executes by
// 4 KiB entries, whatever the guest does (kvm.nx_huge_pages, against the iTLB
// multihit bug of some Intel processors): then a processor's counters in the guest
// don't show what a large page saves. root is the host's file system.
func splitsLargePages(root fs.FS) bool {
	b, err := fs.ReadFile(root, "sys/module/kvm/parameters/nx_huge_pages")
	return err == nil && bytes.HasPrefix(b, []byte("Y"))
}
