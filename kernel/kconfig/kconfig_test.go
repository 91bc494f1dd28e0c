// SPDX-License-Identifier: GPL-2.0-or-later

package kconfig

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"packtest/internal/fault"
	"packtest/kconfigs"
)

func TestParse(t *testing.T) {
	got, err := Parse("a.config", "# why\nCONFIG_A=y\n\n# CONFIG_B is not set\nCONFIG_C=\"x\\\"y\" \nCONFIG_D=0x10 or CONFIG_E=y\n")
	want := Fragment{Name: "a.config", Settings: []Setting{
		{Name: "A", Value: "y", Line: 2}, {Name: "B", Value: "n", Line: 4}, {Name: "C", Value: `"x\"y"`, Line: 5},
		{Name: "D", Value: "0x10", Line: 6, Or: &Setting{Name: "E", Value: "y", Line: 6}},
	}}
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"A=y\n", `f:1: neither a setting nor a comment: "A=y"`},
		{"\nCONFIG_A=yes", "f:2: yes is no value for CONFIG_A"},
		{"CONFIG_A=\"x", "f:1: \"x is no value"},
		{"CONFIG_A=y\n# CONFIG_A is not set\n", "f:2: CONFIG_A already stands on line 1"},
		{"CONFIG_A =y", "neither a setting"},
		{"CONFIG_A=y or CONFIG_A=n", "already stands"},
		{"CONFIG_A=y or CONFIG_B", "neither a setting"},
	} {
		_, err := Parse("f", tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Parse(%q) = %v, want %q", tc.text, err, tc.want)
		}
		if fault.Of(err) != fault.Input {
			t.Errorf("Parse(%q): fault is %v, want input", tc.text, fault.Of(err))
		}
	}
}

func TestMerge(t *testing.T) {
	a := Fragment{Name: "a", Settings: []Setting{{Name: "X", Value: "y", Line: 1, Or: &Setting{Name: "W", Value: "y", Line: 1}}, {Name: "Y", Value: "n", Line: 2}}}
	got, err := Merge([]Fragment{a, {Name: "b", Settings: []Setting{{Name: "X", Value: "y", Line: 7}, {Name: "Z", Value: "3", Line: 8}}}})
	if want := "CONFIG_X=y\nCONFIG_W=y\n# CONFIG_Y is not set\nCONFIG_Z=3\n"; err != nil || got != want {
		t.Errorf("Merge = %q, %v, want %q", got, err, want)
	}
	_, err = Merge([]Fragment{a, {Name: "b", Settings: []Setting{{Name: "Y", Value: "m", Line: 4}}}})
	if err == nil || err.Error() != "CONFIG_Y: a:2 wants n, b:4 wants m" {
		t.Errorf("conflict: %v", err)
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := Load(fstest.MapFS{}, "nosuch.config")
	if fault.Of(err) != fault.Input || !strings.Contains(err.Error(), "nosuch.config") {
		t.Errorf("Load = %v", err)
	}
}

const tree = `
config NET
	bool "Networking" # a comment
	help
	  config HELP is not an option here

	  depends on NOTHING
menu "Tests"
	depends on DEBUG
config WANTED
	tristate "A test"
	depends on m && NET
	depends on OTHER || \
		!MORE
if NET
config HIDDEN
	bool
config SELECTOR
	def_bool y
	select FORCED if NET
endif
endmenu
config FORCED
	bool "Forced"
config DEFAULTED
	bool "Defaulted" if EXPERT
	default y
`

func symbols(t *testing.T) Symbols {
	s, err := ReadSymbols(fstest.MapFS{
		"net/Kconfig":       {Data: []byte(tree)},
		"arch/arm/Kconfig":  {Data: []byte("config ARM_ONLY\n\tbool \"x\"\n")},
		"arch/x86/Kconfig":  {Data: []byte("config X86_ONLY\n\tbool \"x\"\n")},
		"net/Kconfig.debug": {Data: []byte("config TWICE\n\tbool \"x\"\n\tdepends on NO\n")},
		"lib/Kconfig":       {Data: []byte("config TWICE\n\tbool \"x\"\n\tdepends on NEITHER=y\n")},
		"net/other":         {Data: []byte("config NOT_READ\n")},
	}, "x86")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReadSymbols(t *testing.T) {
	s := symbols(t)
	for _, absent := range []string{"HELP", "ARM_ONLY", "NOT_READ"} {
		if s[absent] != nil {
			t.Errorf("%s was read: %v", absent, s[absent])
		}
	}
	want := []Definition{{Where: "net/Kconfig:10", Depends: []string{"DEBUG", "m && NET", "OTHER || !MORE"}, Prompt: true}}
	if d := cmp.Diff(want, s["WANTED"]); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"DEBUG", "NET"}, s["HIDDEN"][0].Depends); d != "" {
		t.Error(d)
	}
}

func TestCheck(t *testing.T) {
	s := symbols(t)
	for _, tc := range []struct {
		name, ask, effective, want string
	}{
		{"met", "CONFIG_NET=y\n# CONFIG_X is not set", "CONFIG_NET=y\n# CONFIG_X is not set", ""},
		{"absent is off", "# CONFIG_GONE is not set", "", ""},
		{"empty string", `CONFIG_S=""`, `CONFIG_S=""`, ""},
		{"the newer name", "CONFIG_OLD=y or CONFIG_NET=y", "CONFIG_NET=y", ""},
		{"neither name", "CONFIG_OLD=y or CONFIG_NET=y", "", "CONFIG_OLD: f:1 wants y, got n"},
		{"module where built in was asked", "CONFIG_NET=y", "CONFIG_NET=m", "wants y, got m"},
		{"no such option", "CONFIG_NOPE=y", "", "CONFIG_NOPE: f:1 wants y, got n: this kernel has no such option"},
		{"another architecture's", "CONFIG_ARM_ONLY=y", "", "no such option"},
		{"menu", "CONFIG_WANTED=m", "CONFIG_NET=y", "depends on DEBUG [DEBUG=n] (net/Kconfig:10)"},
		{"second dependency", "CONFIG_WANTED=m", "CONFIG_NET=y\nCONFIG_DEBUG=y\nCONFIG_MORE=y", "depends on OTHER || "},
		{"no prompt", "CONFIG_HIDDEN=y", "CONFIG_NET=y\nCONFIG_DEBUG=y", "it has no prompt"},
		{"selected", "# CONFIG_FORCED is not set", "CONFIG_FORCED=y\nCONFIG_SELECTOR=y", "selected by CONFIG_SELECTOR"},
		{"default", "# CONFIG_DEFAULTED is not set", "CONFIG_DEFAULTED=y", "its default is on"},
		{"either of two places", "CONFIG_TWICE=y", "", "depends on NEITHER=y [NEITHER=n] (lib/Kconfig:1); or depends on NO [NO=n] (net/Kconfig.debug:1)"},
		{"a choice", "CONFIG_FORCED=y", "", "its own dependencies hold"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := Parse("f", tc.ask)
			if err != nil {
				t.Fatal(err)
			}
			err = Check([]Fragment{f}, ParseEffective(tc.effective), s)
			if tc.want == "" {
				if err != nil {
					t.Errorf("Check = %v", err)
				}
				return
			}
			var unmet *UnmetError
			if !errors.As(err, &unmet) || !strings.Contains(err.Error(), tc.want) || fault.Of(err) != fault.Input {
				t.Errorf("Check = %v (%v), want %q", err, fault.Of(err), tc.want)
			}
		})
	}
}

func TestEval(t *testing.T) {
	e := Effective{"Y": "y", "M": "m", "NUM": "64"}
	for expr, want := range map[string]string{
		"Y": "y", "M": "m", "N": "n", "!Y": "n", "!M": "m", "!N": "y",
		"Y && M": "m", "N || M": "m", "!(Y && N)": "y", "Y&&!N": "y",
		"Y=y": "y", "M=y": "n", "M != n": "y", "NUM = 64": "y", "Y = M": "n",
		"$(cc-option,-x)": "?", "(Y": "?", "Y Y": "?", `S = "x"`: "?", "": "?",
	} {
		got, ok := eval(expr, e)
		if !ok {
			got = "?"
		}
		if got != want {
			t.Errorf("eval(%q) = %s, want %s", expr, got, want)
		}
	}
}

// The fragments that packtest carries must parse and fit together.
func TestCarriedFragments(t *testing.T) {
	for _, arch := range []string{"x86_64", "s390x"} {
		for _, config := range kconfigs.Configs() {
			f, err := Load(kconfigs.FS(), kconfigs.Fragments(arch, config)...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Merge(f); err != nil {
				t.Errorf("%s %s: %v", arch, config, err)
			}
		}
	}
	err := fs.WalkDir(kconfigs.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(kconfigs.FS(), name)
		if !strings.HasPrefix(string(b), "# SPDX-License-Identifier: GPL-2.0-or-later\n") {
			t.Errorf("%s has no licence line", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"s\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		frag, err := Parse("f", text)
		if err != nil {
			return
		}
		merged, err := Merge([]Fragment{frag})
		if err != nil {
			t.Fatalf("one fragment conflicts with itself: %v", err)
		}
		if err := Check([]Fragment{frag}, ParseEffective(merged), nil); err != nil {
			t.Errorf("its own text does not meet it: %v", err)
		}
	})
}

func FuzzReadSymbols(f *testing.F) {
	f.Add(tree, "A && (B || !C=y)")
	f.Fuzz(func(t *testing.T, text, expr string) {
		s := Symbols{}
		s.read("Kconfig", text)
		for _, defs := range s {
			for _, d := range defs {
				failing(d.Depends, Effective{})
			}
		}
		eval(expr, Effective{"A": "y"})
	})
}

func TestOverride(t *testing.T) {
	parse := func(name, text string) Fragment {
		t.Helper()
		f, err := Parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	base := parse("base", "CONFIG_A=y\nCONFIG_B=y or CONFIG_C=y\n# CONFIG_D is not set\n")
	for _, tc := range []struct{ over, want string }{
		{"# CONFIG_A is not set\n", "CONFIG_B=y\nCONFIG_C=y\n# CONFIG_D is not set\n# CONFIG_A is not set\n"},
		{"# CONFIG_B is not set\n", "CONFIG_A=y\nCONFIG_C=y\n# CONFIG_D is not set\n# CONFIG_B is not set\n"},
		{"CONFIG_C=m or CONFIG_B=m\nCONFIG_D=y\n", "CONFIG_A=y\nCONFIG_C=m\nCONFIG_B=m\nCONFIG_D=y\n"},
		{"CONFIG_E=y\n", "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\n# CONFIG_D is not set\nCONFIG_E=y\n"},
	} {
		got, err := Merge(Override([]Fragment{base}, parse("over", tc.over)))
		if err != nil || got != tc.want {
			t.Errorf("over %q: %q, %v, want %q", tc.over, got, err, tc.want)
		}
	}
	if len(base.Settings) != 3 || base.Settings[1].Or == nil {
		t.Errorf("the fragment itself was changed: %+v", base)
	}
}
