// SPDX-License-Identifier: GPL-2.0-or-later

package kconfig

import (
	"fmt"
	"strings"

	"packtest/internal/fault"
)

// Unmet is one option that did not come out as asked.
type Unmet struct {
	Setting
	Fragment string
	Got      string
	// Why says what overrode it, as far as the kernel's Kconfig files tell.
	Why string
}

// UnmetError says that Kconfig did not take some of the settings.
type UnmetError struct{ Options []Unmet }

// Error lists every option, where it was asked for, and why it did not stick.
func (e *UnmetError) Error() string {
	var b strings.Builder
	b.WriteString("the kernel did not take the configuration asked for:")
	for _, o := range e.Options {
		fmt.Fprintf(&b, "\n  CONFIG_%s: %s:%d wants %s, got %s", o.Name, o.Fragment, o.Line, o.Value, o.Got)
		if o.Why != "" {
			b.WriteString(": " + o.Why)
		}
	}
	return b.String()
}

// Fault returns fault.Input: the fragments ask for what can't be had.
func (e *UnmetError) Fault() fault.Kind { return fault.Input }

// Check compares what the fragments ask for with what Kconfig made of it. The
// error is an *UnmetError; symbols, which may be nil, explains it.
func Check(requested []Fragment, effective Effective, symbols Symbols) error {
	var unmet []Unmet
	for _, f := range requested {
		for _, s := range f.Settings {
			if !s.met(effective) {
				unmet = append(unmet, Unmet{Setting: s, Fragment: f.Name, Got: effective.Value(s.Name), Why: symbols.why(s, effective)})
			}
		}
	}
	if unmet == nil {
		return nil
	}
	return &UnmetError{Options: unmet}
}

// met tells whether the setting, or one that will do instead, is in effect.
func (s *Setting) met(e Effective) bool {
	if s == nil {
		return false
	}
	got := e.Value(s.Name)
	return got == s.Value || s.Value == `""` && got == "n" || s.Or.met(e)
}

func (s Symbols) why(want Setting, e Effective) string {
	if s == nil {
		return ""
	}
	entries := s[want.Name]
	if len(entries) == 0 {
		return "this kernel has no such option"
	}
	if want.Value == "n" {
		return s.whyOn(want.Name, e)
	}
	var reasons []string
	for _, d := range entries {
		switch failed := failing(d.Depends, e); {
		case failed != "":
			reasons = append(reasons, fmt.Sprintf("depends on %s (%s)", failed, d.Where))
		case !d.Prompt:
			reasons = append(reasons, fmt.Sprintf("it has no prompt, other options select it (%s)", d.Where))
		}
	}
	if reasons == nil {
		return fmt.Sprintf("its own dependencies hold (%s); a choice, or a menu around it, decides otherwise", entries[0].Where)
	}
	return strings.Join(reasons, "; or ")
}

func (s Symbols) whyOn(name string, e Effective) string {
	var by []string
	for _, sel := range s.selectors(name) {
		if e.Value(sel) != "n" {
			by = append(by, "CONFIG_"+sel)
		}
	}
	if len(by) > 0 {
		return "selected by " + strings.Join(by, ", ")
	}
	return "its default is on and it can't be turned off here (" + s[name][0].Where + ")"
}

// failing returns the first condition that does not hold, with the value of
// each option in it, or "". Conditions with $(...) or strings can't be judged
// from a .config alone and are taken as holding.
func failing(conditions []string, e Effective) string {
	for _, c := range conditions {
		v, ok := eval(c, e)
		if !ok || v != "n" {
			continue
		}
		var values []string
		for _, name := range names(c) {
			values = append(values, fmt.Sprintf("%s=%s", name, e.Value(name)))
		}
		return fmt.Sprintf("%s [%s]", c, strings.Join(values, " "))
	}
	return ""
}
