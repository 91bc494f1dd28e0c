// SPDX-License-Identifier: GPL-2.0-or-later

// Package kconfig reads kernel configuration fragments, merges them, and checks
// that what was asked for is what came out, since Kconfig drops an option whose
// dependencies are not met without a word. Running Kconfig itself is left to
// kernel/build.
package kconfig

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"packtest/internal/fault"
)

// Setting is one option and the value asked for.
type Setting struct {
	// Name has no CONFIG_ before it.
	Name string
	// Value is as in a .config, strings with their quotes; "n" also stands for
	// "is not set".
	Value string
	// Line is where it stands in its fragment, from 1.
	Line int
	// Or is what else will do, for an option that kernels call by different
	// names; nil if nothing else does.
	Or *Setting
}

// Fragment is a parsed part of a configuration.
type Fragment struct {
	Name     string
	Settings []Setting
}

var (
	setLine   = regexp.MustCompile(`^CONFIG_([A-Za-z0-9_]+)=(.+)$`)
	unsetLine = regexp.MustCompile(`^# CONFIG_([A-Za-z0-9_]+) is not set$`)
	validRHS  = regexp.MustCompile(`^([ymn]|-?[0-9]+|0[xX][0-9a-fA-F]+|"([^"\\]|\\.)*")$`)
)

// Parse reads a fragment. Every line is a setting, several settings with " or "
// between them, "# CONFIG_X is not set", a comment or empty; anything else is an
// input error that names the line, and so is an option that stands twice.
func Parse(name, text string) (Fragment, error) {
	f := Fragment{Name: name}
	seen := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		if line == "" || strings.HasPrefix(line, "#") && !unsetLine.MatchString(line) {
			continue
		}
		var first *Setting
		alternatives := strings.Split(line, " or CONFIG_")
		for j := len(alternatives) - 1; j >= 0; j-- {
			text := alternatives[j]
			if j > 0 {
				text = "CONFIG_" + text
			}
			s, err := parseSetting(name, i+1, text)
			if err != nil {
				return f, err
			}
			if line, ok := seen[s.Name]; ok {
				return f, fault.Inputf("%s:%d: CONFIG_%s already stands on line %d", name, s.Line, s.Name, line)
			}
			seen[s.Name] = s.Line
			s.Or = first
			first = &s
		}
		f.Settings = append(f.Settings, *first)
	}
	return f, nil
}

func parseSetting(fragment string, line int, text string) (Setting, error) {
	s := Setting{Line: line}
	if m := unsetLine.FindStringSubmatch(text); m != nil {
		s.Name, s.Value = m[1], "n"
		return s, nil
	}
	m := setLine.FindStringSubmatch(text)
	if m == nil {
		return s, fault.Inputf("%s:%d: neither a setting nor a comment: %q", fragment, line, text)
	}
	s.Name, s.Value = m[1], m[2]
	if !validRHS.MatchString(s.Value) {
		return s, fault.Inputf("%s:%d: %s is no value for CONFIG_%s (y, m, n, a number or a quoted string)", fragment, line, s.Value, s.Name)
	}
	return s, nil
}

// Load parses the named fragments of fsys, in order.
func Load(fsys fs.FS, names ...string) ([]Fragment, error) {
	var out []Fragment
	for _, n := range names {
		b, err := fs.ReadFile(fsys, n)
		if err != nil {
			return nil, fault.Inputf("read the kernel configuration fragment: %w", err)
		}
		f, err := Parse(n, string(b))
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// Override returns fragments without what over sets too, and over.
func Override(fragments []Fragment, over Fragment) []Fragment {
	sets := map[string]bool{}
	for _, one := range over.Settings {
		for s := &one; s != nil; s = s.Or {
			sets[s.Name] = true
		}
	}
	var out []Fragment
	for _, f := range fragments {
		kept := Fragment{Name: f.Name}
		for _, one := range f.Settings {
			if s := one.without(sets); s != nil {
				kept.Settings = append(kept.Settings, *s)
			}
		}
		out = append(out, kept)
	}
	return append(out, over)
}

// without returns what is left of the setting's alternatives, or nil.
func (s *Setting) without(sets map[string]bool) *Setting {
	if s == nil {
		return nil
	}
	rest := s.Or.without(sets)
	if sets[s.Name] {
		return rest
	}
	own := *s
	own.Or = rest
	return &own
}

// Merge returns one configuration text that asks for everything the fragments
// ask for. Two fragments that want different values of one option are an input
// error that names both lines: silently letting one win would break the promise
// that what was asked for is what is built.
func Merge(fragments []Fragment) (string, error) {
	type origin struct {
		Setting
		fragment string
	}
	var b strings.Builder
	first := map[string]origin{}
	for _, f := range fragments {
		for _, one := range f.Settings {
			// All alternatives are asked for: Kconfig passes over a name that
			// it doesn't know.
			for s := &one; s != nil; s = s.Or {
				if o, ok := first[s.Name]; ok {
					if o.Value != s.Value {
						return "", fault.Inputf("CONFIG_%s: %s:%d wants %s, %s:%d wants %s", s.Name, o.fragment, o.Line, o.Value, f.Name, s.Line, s.Value)
					}
					continue
				}
				first[s.Name] = origin{*s, f.Name}
				b.WriteString(s.text())
			}
		}
	}
	return b.String(), nil
}

func (s Setting) text() string {
	if s.Value == "n" {
		return fmt.Sprintf("# CONFIG_%s is not set\n", s.Name)
	}
	return fmt.Sprintf("CONFIG_%s=%s\n", s.Name, s.Value)
}

// Effective is a finished .config: values by option name without CONFIG_. An
// option that is not set is not in it.
type Effective map[string]string

// ParseEffective reads a .config as Kconfig wrote it.
func ParseEffective(text string) Effective {
	e := Effective{}
	for line := range strings.Lines(text) {
		if m := setLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil && m[2] != "n" {
			e[m[1]] = m[2]
		}
	}
	return e
}

// Value returns the option's value, "n" if it is not set.
func (e Effective) Value(name string) string {
	if v, ok := e[name]; ok {
		return v
	}
	return "n"
}
