// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"io/fs"
	"path"
	"strings"

	"packtest/internal/fault"
)

// isMaildir tells whether a folder is one of mails, a file each: it has folders
// for new ones, for seen ones, and for those that are being delivered.
func isMaildir(fsys fs.FS, dir string) bool {
	for _, sub := range []string{"cur", "new", "tmp"} {
		if st, err := fs.Stat(fsys, path.Join(dir, sub)); err != nil || !st.IsDir() {
			return false
		}
	}
	return true
}

// LoadMaildir reads the series in a Maildir by the same rules as LoadFile. Mails
// that are still being delivered don't count.
func LoadMaildir(fsys fs.FS, dir string) (Series, error) {
	s := Series{Name: path.Base(dir)}
	var parts []part
	for _, sub := range []string{"cur", "new"} {
		files, err := fs.ReadDir(fsys, path.Join(dir, sub))
		if err != nil {
			return s, fault.Inputf("read series %s: %w", dir, err)
		}
		for _, f := range files {
			if f.IsDir() || strings.HasPrefix(f.Name(), ".") {
				continue
			}
			name := path.Join(sub, f.Name())
			body, err := readFile(fsys, path.Join(dir, name))
			if err != nil {
				return s, fault.Inputf("read series %s: %w", dir, err)
			}
			if !isMail(body) {
				return s, fault.Inputf("read series %s: %s is no mail", dir, name)
			}
			more, err := partsOf(name, body)
			if err != nil {
				return s, err
			}
			parts = append(parts, more...)
		}
	}
	return assemble(s.Name, parts)
}
