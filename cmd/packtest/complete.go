// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"packtest/lab"
	"packtest/metric"
	"packtest/patches"
	"packtest/plan"
	"packtest/results"
)

// completionCmd is `packtest completion`.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is shown by --help.
func (completionCmd) Help() string {
	return `Writes a script that makes a shell complete verbs, flags, their values and the
IDs of runs. make install puts it where the shells look.

Example:
  . <(packtest completion bash)
  packtest completion zsh > ~/.zfunc/_packtest
  packtest completion fish > ~/.config/fish/completions/packtest.fish`
}

//go:embed completion.bash
var bashCompletion string

//go:embed completion.zsh
var zshCompletion string

//go:embed completion.fish
var fishCompletion string

// Run writes the script.
func (c *completionCmd) Run(w *world) error {
	_, err := fmt.Fprint(w.stdout, map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell])
	return err
}

// completeCmd is what the scripts call: the words of a command line, of which
// the last is to be completed. Each line of the answer is a word, with what it
// is after a tab; the line ":files" asks the shell for file names as well.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run writes the candidates.
func (c *completeCmd) Run(w *world) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, s := range newCompleter(w).complete(words) {
		fmt.Fprintln(w.stdout, s)
	}
	return nil
}

// filesToo asks the shell to complete file names.
const filesToo = ":files"

// completer knows the verbs, and what values flags and arguments take.
type completer struct {
	model *kong.Application
	// values returns the candidates for a flag or an argument by its name.
	values func(name, resultsDir string) []string
	// results is the folder of the runs.
	results string
}

func newCompleter(w *world) *completer {
	return &completer{model: w.model, values: valuesOf, results: w.resultsDir}
}

// valuesOf lists what is known to be a value of the flag or argument called name.
func valuesOf(name, resultsDir string) []string {
	switch name {
	case "scenario":
		return plan.Scenarios()
	case "arch":
		return plan.Architectures()
	case "config":
		return plan.Configs()
	case "configs":
		return plan.AxisConfigs()
	case "accel":
		return plan.Accelerators()
	case "variant":
		return plan.Default().VariantNames()
	case "format":
		return strings.Split(formatNames(), ", ")
	case "verdict":
		return verdicts()
	case "kind":
		return kinds()
	case "metric":
		var names []string
		for _, d := range metric.Catalogue() {
			names = append(names, d.Name)
		}
		return names
	case "defect", "names":
		list, _ := patches.Defects(patches.FS(), lab.PatchesFor)
		var names []string
		for _, d := range list {
			names = append(names, d.Name)
		}
		return names
	case "id", "a", "b", "against", "of":
		ids, _ := results.NewStore(resultsDir).IDs()
		slices.Reverse(ids) // the newest is what one wants
		return append([]string{"latest"}, ids...)
	}
	return nil
}

// complete returns the candidates for the last of words.
func (c *completer) complete(words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	at := place{node: c.model.Node}
	for _, word := range words[:len(words)-1] {
		at.pass(word)
		if at.flag == nil && at.last != nil && at.last.Name == "results" {
			c.results = at.value
		}
	}
	word := words[len(words)-1]
	switch {
	case at.flag != nil:
		return c.ofValue(at.flag.Value, strings.TrimPrefix(word, "="), "")
	case !at.onlyArgs && strings.HasPrefix(word, "--") && strings.Contains(word, "="):
		name, value, _ := strings.Cut(word, "=")
		if f := at.find(name); f != nil {
			return c.ofValue(f.Value, value, name+"=")
		}
		return nil
	case !at.onlyArgs && strings.HasPrefix(word, "-"):
		var list []string
		for _, f := range at.flags() {
			list = append(list, "--"+f.Name+"\t"+f.Help)
		}
		return matching(list, word)
	case len(at.node.Children) > 0:
		var list []string
		for _, n := range at.node.Children {
			if !n.Hidden {
				list = append(list, n.Name+"\t"+n.Help)
			}
		}
		return matching(list, word)
	case len(at.node.Positional) > 0:
		return c.ofValue(at.node.Positional[min(at.args, len(at.node.Positional)-1)], word, "")
	}
	return nil
}

// ofValue lists the values of a flag or an argument; before stands before each
// of them.
func (c *completer) ofValue(v *kong.Value, word, before string) []string {
	if v.IsSlice() && v.Tag.Sep != -1 {
		if i := strings.LastIndexByte(word, byte(v.Tag.Sep)); i >= 0 {
			before, word = before+word[:i+1], word[i+1:]
		}
	}
	list := c.values(v.Name, c.results)
	if v.Enum != "" {
		list = nil
		for _, s := range strings.Split(v.Enum, ",") {
			list = append(list, strings.TrimSpace(s))
		}
	}
	list = matching(list, word)
	for i := range list {
		list[i] = before + list[i]
	}
	if takesFiles(v) {
		list = append(list, filesToo)
	}
	return list
}

// takesFiles tells whether a value is, or can be, a path.
func takesFiles(v *kong.Value) bool {
	what := v.Name
	if v.Flag != nil {
		what = v.Flag.PlaceHolder
	}
	for _, s := range []string{"FILE", "DIR", "PATH", "BASE", "file", "id", "a", "b"} {
		if what == s || strings.HasSuffix(what, "]"+s) || strings.HasPrefix(what, s+"[") {
			return true
		}
	}
	return false
}

func matching(list []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !strings.HasPrefix(s, word) })
}

// place is where in a command line one is.
type place struct {
	node     *kong.Node
	flag     *kong.Flag // that waits for its value
	last     *kong.Flag // that last got its value
	value    string
	args     int
	onlyArgs bool
}

// pass goes on over a whole word.
func (p *place) pass(word string) {
	switch {
	case p.flag != nil && word == "=": // bash takes a flag and its value apart
	case p.flag != nil:
		p.last, p.value, p.flag = p.flag, word, nil
	case p.onlyArgs:
		p.args++
	case word == "--":
		p.onlyArgs = true
	case strings.HasPrefix(word, "-"):
		name, value, has := strings.Cut(word, "=")
		f := p.find(name)
		switch {
		case f == nil || f.IsBool():
		case has:
			p.last, p.value = f, value
		default:
			p.flag = f
		}
	default:
		for _, n := range p.node.Children {
			if n.Name == word {
				p.node = n
				return
			}
		}
		p.args++
	}
}

// flags lists the flags that stand here.
func (p *place) flags() []*kong.Flag {
	var list []*kong.Flag
	for n := p.node; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if !f.Hidden {
				list = append(list, f)
			}
		}
	}
	return list
}

func (p *place) find(name string) *kong.Flag {
	for _, f := range p.flags() {
		if "--"+f.Name == name {
			return f
		}
	}
	return nil
}
