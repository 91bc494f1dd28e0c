// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"packtest/internal/cache"
	"packtest/internal/fault"
)

// manCmd is `packtest man`.
type manCmd struct {
	Verb string `arg:"" optional:"" help:"A verb; without one, packtest as a whole."`
	Dir  string `help:"Write every page into this folder, as packtest.1, packtest-run.1 and so on." placeholder:"DIR"`
}

// Help is shown by --help.
func (manCmd) Help() string {
	return `Example:
  packtest man run | man -l -
  packtest man --dir /usr/local/share/man/man1`
}

// Run writes a page, or all of them.
func (c *manCmd) Run(w *world) error {
	if c.Dir == "" {
		node, err := verbOf(w.model, c.Verb)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(w.stdout, manPage(w.model, node))
		return err
	}
	if c.Verb != "" {
		return fault.Inputf("man: --dir writes every page, and %s is one: give one of the two", c.Verb)
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return misnamed(fmt.Errorf("write the manual: %w", err))
	}
	for _, node := range append([]*kong.Node{w.model.Node}, shown(w.model.Node)...) {
		if err := cache.WriteFile(filepath.Join(c.Dir, pageName(w.model, node)+".1"), []byte(manPage(w.model, node)), 0o644); err != nil {
			return misnamed(fmt.Errorf("write the manual: %w", err))
		}
	}
	return nil
}

func verbOf(model *kong.Application, name string) (*kong.Node, error) {
	if name == "" {
		return model.Node, nil
	}
	for _, n := range shown(model.Node) {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, fault.WithHint(fault.Inputf("no verb called %q", name), "packtest --help lists them")
}

// shown lists a node's verbs but for the hidden ones.
func shown(n *kong.Node) []*kong.Node {
	var list []*kong.Node
	for _, c := range n.Children {
		if !c.Hidden {
			list = append(list, c)
		}
	}
	return list
}

func pageName(model *kong.Application, n *kong.Node) string {
	if n == model.Node {
		return model.Name
	}
	return model.Name + "-" + n.Name
}

// manPage writes the manual's page of a verb, or of packtest as a whole, in
// roff's man macros (groff_man(7)). It has no date: equal packtests write equal
// pages.
func manPage(model *kong.Application, n *kong.Node) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	name := pageName(model, n)
	line(`.\" SPDX-License-Identifier: GPL-2.0-or-later`)
	line(`.TH %s 1 "" "packtest %s" "packtest"`, strings.ToUpper(roff(name)), roff(version))
	line(".nh\n.ad l")
	line(".SH NAME")
	line(`%s \- %s`, roff(name), roff(strings.TrimSuffix(n.Help, ".")))
	line(".SH SYNOPSIS")
	line(".nf")
	line("%s %s", model.Name, roff(strings.TrimSpace(n.Summary())))
	line(".fi")
	if n.Detail != "" {
		line(".SH DESCRIPTION")
		b.WriteString(roffText(n.Detail))
	}
	if verbs := shown(n); len(verbs) > 0 {
		line(".SH VERBS")
		for _, v := range verbs {
			line(".TP\n.B %s\n%s", roff(v.Name), roff(v.Help))
		}
	}
	if len(n.Positional) > 0 {
		line(".SH ARGUMENTS")
		for _, p := range n.Positional {
			line(".TP\n.I %s\n%s", roff(p.Name), roff(p.Help))
		}
	}
	line(".SH OPTIONS")
	for at := n; at != nil; at = at.Parent {
		for _, f := range at.Flags {
			if f.Hidden {
				continue
			}
			line(".TP\n.B %s\n%s", roff(f.String()), roff(f.Help))
		}
	}
	if n == model.Node {
		line(".SH EXIT STATUS")
		for _, e := range [][2]string{{"0", "nothing wrong"}, {"1", "verified and found wrong: a regression or a finding"},
			{"2", "the input is wrong: a flag, a plan, a patch that does not apply"},
			{"3", "the harness or the machine failed, or the run proved nothing either way"}, {"130", "interrupted"}} {
			line(".TP\n.B %s\n%s", e[0], e[1])
		}
	}
	line(".SH SEE ALSO")
	var also []string
	for _, v := range append([]*kong.Node{model.Node}, shown(model.Node)...) {
		if v != n {
			also = append(also, fmt.Sprintf(`\fB%s\fP(1)`, roff(pageName(model, v))))
		}
	}
	line("%s", strings.Join(also, ",\n"))
	return b.String()
}

// roff makes text mean itself.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

// roffText writes a help text: paragraphs are filled, lines that are indented
// stay as they are.
func roffText(s string) string {
	var b strings.Builder
	kept := false
	for _, l := range strings.Split(strings.TrimSpace(s), "\n") {
		indented := strings.HasPrefix(l, " ")
		if indented != kept {
			b.WriteString(map[bool]string{true: ".RS 4\n.nf\n", false: ".fi\n.RE\n"}[indented])
			kept = indented
		}
		if l == "" {
			b.WriteString(".PP\n")
			continue
		}
		b.WriteString(roff(strings.TrimSpace(l)) + "\n")
	}
	if kept {
		b.WriteString(".fi\n.RE\n")
	}
	return b.String()
}
