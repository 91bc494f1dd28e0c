// SPDX-License-Identifier: GPL-2.0-or-later

// Package kconfigs carries the kernel configuration fragments: what every
// kernel needs, what an architecture needs, and what a kind of run asks for.
// How they are merged and checked is kernel/kconfig's business.
package kconfigs

import "embed"

//go:embed *.config
var files embed.FS

// FS returns the fragments, named base.config, ARCH.config and CONFIG.config.
func FS() embed.FS { return files }
