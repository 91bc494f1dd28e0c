// SPDX-License-Identifier: GPL-2.0-or-later

// Package patches holds the kernel patches that packtest carries: one folder
// per base, in it one folder per series, in that a quilt series file and the
// patches it names, as git format-patch writes them. README.md says what each
// series is.
//
// What a series is applied to, and how, is left to kernel/series.
package patches

import (
	"embed"
	"io/fs"
)

//go:embed all:linux-6.1
var tree embed.FS

// FS returns the series as <base>/<series>/{series,*.patch}, for example
// linux-6.1/nopack/series.
func FS() fs.FS { return tree }
