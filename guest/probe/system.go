// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import "os"

// Config returns the kernel's configuration as a gzip stream.
func (k Kernel) Config() ([]byte, error) { return os.ReadFile(k.path("/proc/config.gz")) }

// Mitigations returns what the kernel says about each vulnerability of the
// processor; it is empty where the kernel doesn't tell.
func (k Kernel) Mitigations() map[string]string {
	const dir = "/sys/devices/system/cpu/vulnerabilities"
	entries, err := os.ReadDir(k.path(dir))
	if err != nil {
		return nil
	}
	m := map[string]string{}
	for _, e := range entries {
		if s, err := k.readString(dir + "/" + e.Name()); err == nil {
			m[e.Name()] = s
		}
	}
	return m
}

// Cmdline returns the kernel's command line.
func (k Kernel) Cmdline() (string, error) { return k.readString("/proc/cmdline") }
