// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// ConfigSum returns the SHA-256 of the kernel's configuration, from
// /proc/config.gz, in hexadecimal.
func (k Kernel) ConfigSum() (string, error) { return read(k, "/proc/config.gz", SumGzip) }

// SumGzip returns the SHA-256 of what the gzip stream r unpacks to.
func SumGzip(r io.Reader) (string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	// A configuration is some hundred kilobytes; a stream without end is none.
	n, err := io.Copy(h, io.LimitReader(z, 16<<20))
	if err != nil {
		return "", err
	}
	if n == 16<<20 {
		return "", fmt.Errorf("unpacks to more than %d bytes", n-1)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

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
