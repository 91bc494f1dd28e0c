// SPDX-License-Identifier: GPL-2.0-or-later

package kconfig

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"sort"
	"strings"
)

// Definition is one place where the kernel defines an option.
type Definition struct {
	// Where is FILE:LINE.
	Where string
	// Depends are the conditions that must all hold: its own "depends on"
	// and those of the menus and ifs around it in the same file.
	Depends []string
	// Prompt says whether a user can set it at all.
	Prompt bool
	// Selects names the options that it turns on.
	Selects []string
}

// Symbols are the options that a kernel tree defines, by name.
type Symbols map[string][]Definition

// ReadSymbols reads the Kconfig files of a kernel tree, leaving out other
// architectures than srcArch ("x86", "s390"). It knows as much of the language
// as an explanation takes, and no more: conditions on "source" lines are not
// followed.
func ReadSymbols(tree fs.FS, srcArch string) (Symbols, error) {
	s := Symbols{}
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path.Dir(p) == "arch" && path.Base(p) != srcArch || p == ".git" || p == "Documentation" || p == "tools" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasPrefix(path.Base(p), "Kconfig") {
			return nil
		}
		b, err := fs.ReadFile(tree, p)
		if err == nil {
			s.read(p, string(b))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the kernel's Kconfig files: %w", err)
	}
	return s, nil
}

var (
	configLine  = regexp.MustCompile(`^(?:menu)?config\s+([A-Za-z0-9_]+)`)
	promptLine  = regexp.MustCompile(`^(?:(?:bool|tristate|string|hex|int)\s+["']|prompt\s)`)
	selectsLine = regexp.MustCompile(`^(?:select|imply)\s+([A-Za-z0-9_]+)`)
)

// read adds the definitions of one Kconfig file.
func (s Symbols) read(name, text string) {
	type scope struct {
		kind       string
		conditions []string
	}
	var scopes []scope
	var open string // option being defined, or "" in a menu, choice or comment
	inHelp, helpIndent := false, -1

	conditions := func() (out []string) {
		for _, sc := range scopes {
			out = append(out, sc.conditions...)
		}
		return out
	}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		raw := lines[i]
		if inHelp {
			if strings.TrimSpace(raw) == "" {
				continue
			}
			in := indent(raw)
			if helpIndent < 0 && in > 0 {
				helpIndent = in
			}
			if helpIndent >= 0 && in >= helpIndent {
				continue
			}
			inHelp = false
		}
		where := fmt.Sprintf("%s:%d", name, i+1)
		for strings.HasSuffix(raw, "\\") && i+1 < len(lines) {
			i++
			raw = strings.TrimSuffix(raw, "\\") + " " + lines[i]
		}
		line := strings.TrimSpace(stripComment(raw))
		word, rest, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		rest = strings.TrimSpace(rest)
		switch {
		case line == "":
		case configLine.MatchString(line):
			open = configLine.FindStringSubmatch(line)[1]
			s[open] = append(s[open], Definition{Where: where, Depends: conditions()})
		case word == "help" || word == "---help---":
			inHelp, helpIndent = true, -1
		case word == "menu" || word == "choice":
			open = ""
			scopes = append(scopes, scope{kind: word})
		case word == "if":
			open = ""
			scopes = append(scopes, scope{kind: word, conditions: []string{rest}})
		case word == "endmenu" || word == "endchoice" || word == "endif":
			open = ""
			if len(scopes) > 0 {
				scopes = scopes[:len(scopes)-1]
			}
		case word == "comment" || word == "source" || word == "mainmenu":
			open = "\x00" // its "depends on" is nobody's
		case word == "depends":
			cond := strings.Join(strings.Fields(strings.TrimPrefix(rest, "on")), " ")
			switch {
			case open == "" && len(scopes) > 0:
				top := &scopes[len(scopes)-1]
				top.conditions = append(top.conditions, cond)
			case s[open] != nil:
				d := &s[open][len(s[open])-1]
				d.Depends = append(d.Depends, cond)
			}
		case s[open] != nil:
			d := &s[open][len(s[open])-1]
			if promptLine.MatchString(line) {
				d.Prompt = true
				if _, cond, ok := cutLast(line, " if "); ok && strings.Count(cond, `"`) == 0 {
					d.Depends = append(d.Depends, strings.TrimSpace(cond))
				}
			}
			if m := selectsLine.FindStringSubmatch(line); m != nil {
				d.Selects = append(d.Selects, m[1])
			}
		}
	}
}

// selectors returns the options that select or imply name, sorted.
func (s Symbols) selectors(name string) []string {
	var out []string
	for n, defs := range s {
		for _, d := range defs {
			for _, sel := range d.Selects {
				if sel == name && (len(out) == 0 || out[len(out)-1] != n) {
					out = append(out, n)
				}
			}
		}
	}
	sort.Strings(out)
	return out
}

// indent returns the column of a line's first character, tabs being 8 wide.
func indent(line string) int {
	col := 0
	for _, r := range line {
		switch r {
		case ' ':
			col++
		case '\t':
			col += 8 - col%8
		default:
			return col
		}
	}
	return col
}

// stripComment removes a # and what follows, unless it stands in quotes.
func stripComment(line string) string {
	var quote rune
	for i, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == '#':
			return line[:i]
		}
	}
	return line
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
