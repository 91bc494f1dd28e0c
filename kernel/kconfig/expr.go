// SPDX-License-Identifier: GPL-2.0-or-later

package kconfig

import (
	"regexp"
	"strings"
)

var (
	token      = regexp.MustCompile(`\s*(&&|\|\||!=|<=|>=|!|=|<|>|\(|\)|[A-Za-z0-9_]+)`)
	isLiteral  = regexp.MustCompile(`^([ymn]|[0-9].*)$`)
	nameInExpr = regexp.MustCompile(`[A-Za-z0-9_]+`)
)

// names returns the options in an expression, in order, each once.
func names(expr string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range nameInExpr.FindAllString(expr, -1) {
		if !isLiteral.MatchString(n) && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// eval returns the value of a Kconfig expression, "y", "m" or "n", and whether
// it could be told: macros and quoted strings can't.
func eval(expr string, e Effective) (string, bool) {
	p := &exprParser{effective: e}
	for rest := expr; strings.TrimSpace(rest) != ""; {
		m := token.FindStringSubmatchIndex(rest)
		if m == nil || m[0] != 0 {
			return "", false
		}
		p.tokens = append(p.tokens, rest[m[2]:m[3]])
		rest = rest[m[1]:]
	}
	v, ok := p.or()
	return "nmy"[v : v+1], ok && len(p.tokens) == 0
}

type exprParser struct {
	tokens    []string
	effective Effective
}

func (p *exprParser) next(t string) bool {
	if len(p.tokens) == 0 || p.tokens[0] != t {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

// The values are Kconfig's: n is 0, m is 1, y is 2.
func (p *exprParser) or() (int, bool) {
	v, ok := p.and()
	for ok && p.next("||") {
		var w int
		w, ok = p.and()
		v = max(v, w)
	}
	return v, ok
}

func (p *exprParser) and() (int, bool) {
	v, ok := p.not()
	for ok && p.next("&&") {
		var w int
		w, ok = p.not()
		v = min(v, w)
	}
	return v, ok
}

func (p *exprParser) not() (int, bool) {
	if p.next("!") {
		v, ok := p.not()
		return 2 - v, ok
	}
	if p.next("(") {
		v, ok := p.or()
		return v, ok && p.next(")")
	}
	left, ok := p.word()
	if !ok {
		return 0, false
	}
	for _, op := range []string{"=", "!="} {
		if p.next(op) {
			right, ok := p.word()
			if !ok {
				return 0, false
			}
			if (left == right) == (op == "=") {
				return 2, true
			}
			return 0, true
		}
	}
	switch left {
	case "y":
		return 2, true
	case "m":
		return 1, true
	}
	return 0, true
}

// word returns the value of an option, or a literal as it stands.
func (p *exprParser) word() (string, bool) {
	if len(p.tokens) == 0 || !nameInExpr.MatchString(p.tokens[0]) {
		return "", false
	}
	w := p.tokens[0]
	p.tokens = p.tokens[1:]
	if isLiteral.MatchString(w) {
		return w, true
	}
	return p.effective.Value(w), true
}
