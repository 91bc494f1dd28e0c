// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"

	"packtest/internal/fault"
)

// Load reads the plan file at path. Paths in it are relative to its folder, and
// files that it names must be there.
func Load(path string) (*Plan, string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, "", fault.Inputf("read the plan: %w", err)
	}
	p, err := Parse(string(b), path)
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Dir(path)
	if isPath(p.Base) {
		if p.Base, err = existing(dir, p.Base, path, "base"); err != nil {
			return nil, "", err
		}
	}
	if p.Geometries != "" {
		if p.Geometries, err = existing(dir, p.Geometries, path, "geometries"); err != nil {
			return nil, "", err
		}
	}
	for i := range p.Variants {
		for j, s := range p.Variants[i].Stack {
			if !isPath(s) {
				continue
			}
			if p.Variants[i].Stack[j], err = existing(dir, s, path, "variant "+p.Variants[i].Name); err != nil {
				return nil, "", err
			}
		}
	}
	return p, string(b), nil
}

func existing(dir, p, plan, key string) (string, error) {
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	if _, err := os.Stat(p); err != nil {
		return "", fault.Inputf("plan %s, %s: %w", plan, key, err)
	}
	// Absolute, since "mine" alone would be the name of a carried series.
	abs, err := filepath.Abs(p)
	if err != nil {
		return "", fmt.Errorf("plan %s, %s: %w", plan, key, err)
	}
	return abs, nil
}

// isPath tells a path from the name of a carried series and from a base that
// has a scheme.
func isPath(s string) bool {
	return strings.Contains(s, "/") && !strings.Contains(strings.SplitN(s, "/", 2)[0], ":") || strings.HasPrefix(s, ".")
}

// IsPath tells whether an element of a stack is a path rather than the name of
// a series that packtest carries.
func IsPath(s string) bool { return isPath(s) }

// Parse reads a plan from TOML and validates it; name is used in errors. What
// the text leaves out is as in Default; a list that it gives replaces the
// default list.
func Parse(text, name string) (*Plan, error) {
	p := Default()
	var given struct {
		Variants  []Variant  `toml:"variant"`
		Scenarios []Scenario `toml:"scenario"`
		Seed      int64      `toml:"seed"`
	}
	if _, err := toml.Decode(text, &given); err != nil {
		return nil, parseError(err, name)
	}
	if given.Variants != nil {
		p.Variants = nil
		if n := len(given.Variants); n > 0 {
			p.Baseline, p.Candidate = given.Variants[0].Name, given.Variants[n-1].Name
		}
	}
	if given.Scenarios != nil {
		p.Scenarios = nil
	}
	md, err := toml.Decode(text, p)
	if err != nil {
		return nil, parseError(err, name)
	}
	// The library takes a negative number for a large one, and what is no table
	// for an empty one.
	if given.Seed < 0 {
		return nil, fault.Inputf("plan %s: seed is %d; it must be from 0", name, given.Seed)
	}
	if t := md.Type("tolerance"); t != "" && t != "Hash" {
		return nil, fault.WithHint(fault.Inputf("plan %s: tolerance is no table", name), "[tolerance], and below it a line such as jit_pages = \"2 %%\"")
	}
	if unknown := md.Undecoded(); len(unknown) > 0 {
		err := fault.Inputf("plan %s: unknown key %q", name, unknown[0].String())
		last := unknown[0][len(unknown[0])-1]
		if near := nearest(last, keys()); near != "" {
			return nil, fault.WithHint(err, "did you mean %q?", near)
		}
		return nil, err
	}
	if err := p.Validate(); err != nil {
		return nil, &fault.Error{Kind: fault.Input, Err: prefixed{"plan " + name, err}, Hint: fault.HintOf(err)}
	}
	return p, nil
}

func parseError(err error, name string) error {
	var pe toml.ParseError
	if errors.As(err, &pe) {
		return fault.Inputf("plan %s, line %d: %s", name, pe.Position.Line, pe.Message)
	}
	if m := wrongType.FindStringSubmatch(err.Error()); m != nil {
		return fault.Inputf("plan %s, line %s: %s is to be %s, and is %s", name, m[1], m[2], plainType(m[4]), plainType(m[3]))
	}
	return fault.Inputf("plan %s: %w", name, err)
}

// wrongType is how the library says that a value is of another type than the
// plan's: which line, which key, and the two types in words of Go.
var wrongType = regexp.MustCompile(`^toml: line (\d+) \(last key "(.*)"\): incompatible types: TOML value has type (\S+); destination has type (\S+)$`)

// plainType says a type of Go in words of TOML.
func plainType(s string) string {
	switch {
	case strings.HasPrefix(s, "map"):
		return "a table"
	case strings.HasPrefix(s, "[]"), s == "slice":
		return "a list"
	}
	if word, ok := map[string]string{"string": "a text", "int64": "a whole number", "integer": "a whole number", "float64": "a number with a point", "bool": "true or false"}[s]; ok {
		return word
	}
	return s
}

type prefixed struct {
	prefix string
	err    error
}

func (p prefixed) Error() string { return p.prefix + ": " + p.err.Error() }
func (p prefixed) Unwrap() error { return p.err }

func keys() []string {
	return []string{"base", "arches", "config", "baseline", "candidate", "boots", "parallel", "seed", "geometries", "vm", "cpus",
		"memory_mib", "nodes", "accelerator", "tolerance", "variant", "name", "stack", "scenario", "programs", "steps", "hot", "rounds", "seconds"}
}
