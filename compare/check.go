// SPDX-License-Identifier: GPL-2.0-or-later

package compare

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	faults "packtest/internal/fault"
	"packtest/results"
)

// CheckMark is what became of one check of one patch.
type CheckMark string

// The marks. Failed is the patch's own doing; Inherited is wrong too, and was
// before the patch. Broken was not carried out, which is the harness's fault, and
// Open was not even begun: the run ended before;
// Skipped was not because there is nothing to look at. Same needed not be, since
// the kernel is an earlier one, byte for byte. Noted is worth a look.
const (
	CheckOK        CheckMark = "ok"
	CheckNoted     CheckMark = "noted"
	CheckSame      CheckMark = "same"
	CheckFailed    CheckMark = "failed"
	CheckInherited CheckMark = "inherited"
	CheckSkipped   CheckMark = "skipped"
	CheckBroken    CheckMark = "broken"
	CheckOpen      CheckMark = "open"
)

// Checked is one check of one patch.
type Checked struct {
	Arch string // "" if it looks at the patch alone
	Step int    // the patch, counted from 1
	Kind results.CheckKind
	// Config is set for a build in another configuration; Kind is Builds then.
	Config string
	Mark   CheckMark
	// Says is one line; it may be empty where there is nothing to say.
	Says string
	// Evidence is what a tool or the guest's console said, kept as it was.
	Evidence string
	Seconds  float64
}

// Checks returns every check that was planned for the record's series, patch by
// patch, whether it was carried out or not.
func Checks(rec *results.Record) []Checked {
	c := checker{rec, rec.Check}
	var list []Checked
	add := func(arch string, step int, k results.CheckKind, one Checked) {
		one.Arch, one.Step, one.Kind = arch, step, k
		list = append(list, one)
	}
	for step := 1; step <= len(c.Patches); step++ {
		for _, k := range c.Planned {
			if k.PatchOnly() {
				add("", step, k, c.patch(step, k))
			}
		}
		for _, arch := range c.Arches {
			for _, k := range c.Planned {
				if !k.PatchOnly() {
					add(arch, step, k, c.kernel(arch, step, k))
				}
			}
		}
	}
	return append(list, c.configs()...)
}

// checker reads one record's checks.
type checker struct {
	rec *results.Record
	*results.Check
}

func (c checker) patch(step int, k results.CheckKind) Checked {
	p := c.Patches[step-1]
	if k == results.Checkpatch {
		return c.style(step, p)
	}
	switch {
	case p.Error != "":
		return Checked{Mark: CheckFailed, Says: firstLine(p.Error), Evidence: p.Error}
	case !p.Applied:
		return c.unapplied(step)
	}
	return Checked{Mark: CheckOK}
}

// unapplied is any check of a patch that stands on one that does not apply.
func (c checker) unapplied(step int) Checked {
	for i, p := range c.Patches[:step] {
		if p.Error != "" {
			return Checked{Mark: CheckInherited, Says: fmt.Sprintf("patch %d does not apply", i+1)}
		}
	}
	return Checked{Mark: CheckBroken, Says: "was not tried"}
}

func (c checker) style(step int, p results.CheckPatch) Checked {
	switch s := p.Style; {
	case !p.Applied:
		return c.unapplied(step)
	case s == nil:
		return Checked{Mark: CheckOpen, Says: "checkpatch was not run"}
	case s.Errors > 0:
		return Checked{Mark: CheckFailed, Says: styleSays(s), Evidence: s.Text}
	case s.Warnings+s.Checks > 0:
		return Checked{Mark: CheckNoted, Says: styleSays(s), Evidence: s.Text}
	}
	return Checked{Mark: CheckOK}
}

func styleSays(s *results.Style) string {
	var parts []string
	for _, x := range []struct {
		n    int
		what string
	}{{s.Errors, "error"}, {s.Warnings, "warning"}, {s.Checks, "check"}} {
		if x.n > 0 {
			parts = append(parts, count(x.n, x.what))
		}
	}
	return strings.Join(parts, ", ")
}

func (c checker) kernel(arch string, step int, k results.CheckKind) Checked {
	if !c.Patches[step-1].Applied {
		return c.unapplied(step)
	}
	built := c.built(arch, step)
	if k == results.Builds {
		return built
	}
	if built.Mark != CheckOK && built.Mark != CheckSame {
		// A kernel that the harness failed to build was not looked at either.
		if built.Mark == CheckBroken || built.Mark == CheckOpen {
			return Checked{Mark: built.Mark, Says: built.Says}
		}
		return Checked{Mark: CheckSkipped, Says: "it does not build"}
	}
	switch k {
	case results.NoWarning, results.NoSparse:
		return c.warnings(arch, step, k)
	case results.CodeSize:
		return c.size(arch, step)
	case results.Boots:
		return c.boots(arch, step)
	}
	return Checked{Mark: CheckBroken, Says: fmt.Sprintf("nothing is known of a check called %s", k)}
}

func (c checker) cell(arch string, step int) *results.Cell {
	return cell(c.rec, arch, results.CheckVariant(step))
}

func (c checker) built(arch string, step int) Checked {
	x := c.cell(arch, step)
	switch {
	case x == nil:
		return Checked{Mark: CheckOpen, Says: "was not built"}
	case x.Error != "":
		before := ""
		if p := c.cell(arch, step-1); p != nil {
			before = p.Error
		}
		return broken(x.Error, x.Fault, before, c.standing(step-1))
	case x.Image == "":
		return Checked{Mark: CheckBroken, Says: "there is no image"}
	}
	one := Checked{Mark: CheckOK}
	if !x.Cached {
		one.Seconds = x.BuildSeconds
	}
	if p := c.cell(arch, step-1); p != nil && p.Image == x.Image {
		one.Mark, one.Says = CheckSame, "the binary is unchanged"
	} else if p != nil && p.Error != "" {
		one.Says = "builds again"
	}
	return one
}

// standing names what the first n patches stand for.
func (c checker) standing(n int) string {
	if n == 0 {
		return "without the series"
	}
	return fmt.Sprintf("with patch %d", n)
}

// broken tells of a build that failed; before is what the build before it said,
// which stands for at.
func broken(text, fault, before, at string) Checked {
	one := Checked{Mark: CheckFailed, Evidence: text}
	lines := errorLines(text)
	one.Says = more(lines[0], len(lines))
	if kind(fault) != faults.Kernel {
		one.Mark = CheckBroken
		return one
	}
	if before == "" {
		return one
	}
	known := errorLines(before)
	own := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return slices.Contains(known, l) })
	if len(own) == 0 {
		return Checked{Mark: CheckInherited, Says: "as " + at + ": " + one.Says, Evidence: text}
	}
	one.Says = more(own[0], len(own))
	return one
}

var (
	errorLine = regexp.MustCompile(`(?:\berror|\bError|\bERROR): |undefined reference to|^CONFIG_\w+: \S+ wants `)
	position  = regexp.MustCompile(`:\d+(?::\d+)?:|\+?0x[0-9a-f]+`)
)

// errorLines returns what went wrong in a build, without the places, which a
// patch may move: the lines that say error, or which option did not stick, or else
// the first line. It is never empty.
func errorLines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(position.ReplaceAllString(line, ":"))
		if errorLine.MatchString(line) && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	if out == nil {
		return []string{firstLine(text)}
	}
	return out
}

func (c checker) step(arch string, step int) *results.CheckStep {
	for i := range c.Steps {
		if s := &c.Steps[i]; s.Arch == arch && s.Step == step {
			return s
		}
	}
	return nil
}

func (c checker) warnings(arch string, step int, k results.CheckKind) Checked {
	s := c.step(arch, step)
	switch {
	case s == nil:
		return Checked{Mark: CheckBroken, Says: "nothing is known of its warnings"}
	case s.Since < 0:
		return Checked{Mark: CheckSkipped, Says: "no earlier kernel was built to hold it against"}
	}
	var said, first []string
	for _, w := range s.New {
		if (w.Tool == results.Sparse) == (k == results.NoSparse) {
			said = append(said, w.Said)
			first = append(first, strings.TrimPrefix(w.File+": "+w.Text, ": "))
		}
	}
	against := ""
	if s.Since != step-1 {
		against = ", against what stands " + c.standing(s.Since)
	}
	if len(said) == 0 {
		return Checked{Mark: CheckOK, Says: strings.TrimPrefix(against, ", ")}
	}
	return Checked{Mark: CheckFailed, Says: more(first[0], len(first)) + against, Evidence: strings.Join(said, "\n")}
}

// configs are the builds in other configurations: after every patch, or after
// the last, with what was tried to find the patch that breaks it.
func (c checker) configs() []Checked {
	var list []Checked
	for _, x := range c.Configs {
		from := len(c.Patches)
		if c.EveryPatch {
			from = 1
		}
		for step := from; step <= len(c.Patches); step++ {
			one := c.config(x, step)
			one.Arch, one.Step, one.Kind, one.Config = x.Arch, step, results.Builds, x.Config
			list = append(list, one)
		}
	}
	slices.SortStableFunc(list, func(a, b Checked) int { return cmp.Compare(a.Step, b.Step) })
	return list
}

func (c checker) configBuild(x results.CheckConfig, step int) *results.ConfigBuild {
	for i := range c.Builds {
		if b := &c.Builds[i]; b.Arch == x.Arch && b.Config == x.Config && b.Step == step {
			return b
		}
	}
	return nil
}

func (c checker) config(x results.CheckConfig, step int) Checked {
	if !c.Patches[step-1].Applied {
		return c.unapplied(step)
	}
	b := c.configBuild(x, step)
	switch {
	case b == nil:
		return Checked{Mark: CheckOpen, Says: "was not built"}
	case b.Error == "":
		one := Checked{Mark: CheckOK}
		if !b.Cached {
			one.Seconds = b.Seconds
		}
		return one
	}
	// The latest earlier step that was built tells whether it is this one's own.
	for at := step - 1; at >= 0; at-- {
		p := c.configBuild(x, at)
		if p == nil {
			continue
		}
		one := broken(b.Error, b.Fault, p.Error, c.standing(at))
		if one.Mark == CheckInherited && at > 0 && !c.EveryPatch {
			// Not this patch's, but the series' all the same.
			return c.culprit(x, at, one)
		}
		if one.Mark == CheckFailed && at != step-1 {
			one.Says = fmt.Sprintf("since one of the patches %d to %d: %s", at+1, step, one.Says)
		}
		return one
	}
	one := broken(b.Error, b.Fault, "", "")
	if one.Mark == CheckFailed {
		one.Mark, one.Says = CheckBroken, "what it stands on was not tried: "+one.Says
	}
	return one
}

// culprit finds the first step that failed as later does, among those that were
// tried: the last one that built stands before it.
func (c checker) culprit(x results.CheckConfig, later int, one Checked) Checked {
	says := strings.TrimPrefix(one.Says, "as "+c.standing(later)+": ")
	for at := later - 1; at >= 0; at-- {
		p := c.configBuild(x, at)
		if p == nil {
			continue
		}
		if p.Error != "" {
			later = at
			continue
		}
		one.Mark, one.Says = CheckFailed, fmt.Sprintf("since patch %d: %s", later, says)
		if at+1 < later {
			one.Says = fmt.Sprintf("since one of the patches %d to %d: %s", at+1, later, says)
		}
		return one
	}
	one.Says = "as " + c.standing(later) + ": " + says
	return one
}
