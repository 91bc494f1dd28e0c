// SPDX-License-Identifier: GPL-2.0-or-later

package doctor

import (
	"context"
	"os/exec"

	"packtest/internal/cache"
	"packtest/itlb/plugin"
)

// needed says what goes without the plugin.
const needed = "needed for scenario itlb, which is left out of a run without it: "

// examinePlugin builds the plugin that scenario itlb is traced with, and loads
// it into the QEMU of each architecture that has one.
func examinePlugin(ctx context.Context, arches []string) []Check {
	c := Check{Name: "iTLB plugin", Status: OK, Detail: "can be built", Package: "libc6-dev"}
	if _, err := exec.LookPath("gcc"); err != nil {
		c.Package = "gcc"
	}
	dir, remove, err := cache.TempDir("", "doctor")
	if err != nil {
		c.Status, c.Detail, c.Fix = Missing, err.Error(), "set TMPDIR to a folder that can be written"
		c.Package = ""
		return []Check{c}
	}
	defer remove()
	p, err := plugin.Build(ctx, dir)
	if err != nil {
		c.Status, c.Detail, c.Fix = Missing, needed+err.Error(), install(c.Package)
		return []Check{c}
	}
	checks := []Check{c}
	for _, t := range Tools() {
		if t.For != "booting "+t.Arch+" kernels" {
			continue
		}
		for _, arch := range arches {
			if _, err := exec.LookPath(t.Command); arch != t.Arch || err != nil {
				continue // no QEMU at all is a check of its own
			}
			l := Check{Name: "iTLB plugin in " + t.Command, Status: OK, Detail: "loads"}
			if err := p.Check(ctx, t.Command); err != nil {
				// Debian's QEMU is built with plugins.
				l.Status, l.Detail, l.Fix = Missing, needed+err.Error(), "apt-get install --reinstall "+t.Package
			}
			checks = append(checks, l)
		}
	}
	return checks
}
