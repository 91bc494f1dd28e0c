// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"errors"
	"os"
	"strings"
)

const kmemleak = "/sys/kernel/debug/kmemleak"

// ErrNoKmemleak says that the kernel doesn't look for memory that nobody points to.
var ErrNoKmemleak = errors.New("the kernel has no kmemleak (CONFIG_DEBUG_KMEMLEAK)")

// KmemleakClear forgets what was found so far. What is allocated later than
// five seconds before a scan is not looked at.
func (k Kernel) KmemleakClear() error { return k.kmemleak("clear") }

// KmemleakScan scans all memory, and returns what it has found since it was
// last cleared, one report each. What is found has to be found twice: it may have
// been on its way from one place to another.
func (k Kernel) KmemleakScan() ([]string, error) {
	for range 2 {
		if err := k.kmemleak("scan"); err != nil {
			return nil, err
		}
	}
	b, err := os.ReadFile(k.path(kmemleak))
	if err != nil {
		return nil, err
	}
	return ParseKmemleak(string(b)), nil
}

func (k Kernel) kmemleak(command string) error {
	if _, err := os.Stat(k.path(kmemleak)); err != nil {
		return ErrNoKmemleak
	}
	return k.writeString(kmemleak, command)
}

// ParseKmemleak cuts kmemleak's text into its reports, each of which begins with
// "unreferenced object".
func ParseKmemleak(text string) []string {
	var list []string
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "unreferenced object"):
			list = append(list, line)
		case len(list) > 0 && strings.HasPrefix(line, " "):
			list[len(list)-1] += "\n" + line
		}
	}
	return list
}
