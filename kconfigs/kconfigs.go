// SPDX-License-Identifier: GPL-2.0-or-later

// Package kconfigs carries the kernel configuration fragments: what every
// kernel needs, what an architecture needs, and what a kind of run asks for.
// How they are merged and checked is kernel/kconfig's business.
package kconfigs

import (
	"embed"
	"io/fs"
)

//go:embed *.config axis/*.config
var files embed.FS

// FS returns the fragments: base.config, ARCH.config, and those of which
// configurations are made.
func FS() embed.FS { return files }

// Axis returns the names of the fragments that are laid over a configuration for
// a kernel that is only built, in the order in which they are.
func Axis(name string) []string { return []string{"axis/small.config", "axis/" + name + ".config"} }

// Configs returns the names of the configurations.
func Configs() []string { return []string{"measure", "debug", "faults", "btf", "numa"} }

// Fragments returns the names of the fragments that a configuration is made of
// on an architecture, in the order in which they are merged: the base, the
// architecture's, the configuration's, and ARCH-CONFIG.config where there is one.
func Fragments(arch, config string) []string {
	names := []string{"base.config", arch + ".config"}
	switch config {
	case "measure":
		names = append(names, "inject.config", "measure.config")
	case "debug":
		names = append(names, "inject.config", "memory.config", "locks.config", "faults.config")
	case "faults":
		names = append(names, "inject.config", "memory.config", "faults.config")
	default:
		names = append(names, config+".config")
	}
	own := arch + "-" + config + ".config"
	if _, err := fs.Stat(files, own); err == nil {
		names = append(names, own)
	}
	return names
}
