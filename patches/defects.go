// SPDX-License-Identifier: GPL-2.0-or-later

package patches

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Defect is one patch on top of a series that brings back something that went
// wrong, or could: packtest has to find it.
type Defect struct {
	Name string // the file's, without .patch
	Path string // in FS
	// Title is the subject without its prefix in brackets.
	Title string
	// Arches are the architectures on which the defect exists.
	Arches []string
	// Config is the kernel configuration that it takes to see it: measure, or
	// debug if only an allocation that fails, or a checker, brings it to light.
	Config string
}

// The lines of a changelog that say where a defect can be seen.
const (
	tagArch   = "Defect-arch:"
	tagConfig = "Defect-config:"
)

// Defects returns the defects for a base, such as "linux-6.1", by name.
func Defects(fsys fs.FS, base string) ([]Defect, error) {
	files, err := fs.Glob(fsys, path.Join(base, "defects", "*.patch"))
	if err != nil {
		return nil, fmt.Errorf("list defects: %w", err)
	}
	slices.Sort(files)
	var list []Defect
	for _, f := range files {
		b, err := fs.ReadFile(fsys, f)
		if err != nil {
			return nil, fmt.Errorf("list defects: %w", err)
		}
		d := Defect{Name: strings.TrimSuffix(path.Base(f), ".patch"), Path: f}
		if err := d.parse(b); err != nil {
			return nil, fmt.Errorf("defect %s: %w", f, err)
		}
		list = append(list, d)
	}
	return list, nil
}

// parse reads what the changelog says.
func (d *Defect) parse(patch []byte) error {
	for s := bufio.NewScanner(bytes.NewReader(patch)); s.Scan() && s.Text() != "---"; {
		line := s.Text()
		if v, ok := strings.CutPrefix(line, "Subject: "); ok {
			if _, rest, ok := strings.Cut(v, "] "); ok {
				v = rest
			}
			d.Title = v
		}
		if v, ok := strings.CutPrefix(line, tagArch); ok {
			d.Arches = strings.Fields(v)
		}
		if v, ok := strings.CutPrefix(line, tagConfig); ok {
			d.Config = strings.TrimSpace(v)
		}
	}
	if d.Title == "" || len(d.Arches) == 0 || d.Config == "" {
		return fmt.Errorf("its changelog lacks a subject, %s or %s", tagArch, tagConfig)
	}
	return nil
}
