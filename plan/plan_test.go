// SPDX-License-Identifier: GPL-2.0-or-later

package plan

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"packtest/internal/fault"
)

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestParse(t *testing.T) {
	p, err := Parse(`
boots = 7
[vm]
cpus = 1
[[variant]]
name = "upstream"
[[variant]]
name = "mine"
stack = ["nopack", "./series"]
[[scenario]]
name = "load"
programs = 64
`, "p.toml")
	if err != nil {
		t.Fatal(err)
	}
	if p.Boots != 7 || p.VM.CPUs != 1 || p.VM.MemoryMiB != Default().VM.MemoryMiB {
		t.Errorf("p = %+v", p)
	}
	if p.Baseline != "upstream" || p.Candidate != "mine" || len(p.Variants) != 2 || len(p.Scenarios) != 1 {
		t.Errorf("p = %+v", p)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want, hint string }{
		{"syntax", "boots = = 1", "line 1", ""},
		{"type", `boots = "many"`, "plan p.toml, line 1: boots is to be a whole number, and is a text", ""},
		{"type of a list", "seed = 1\narches = \"s390x\"", "plan p.toml, line 2: arches is to be a list, and is a text", ""},
		{"type of a table", "vm = 3", "table", ""},
		{"point", "boots = 3.5", "boots is to be a whole number, and is a number with a point", ""},
		{"one table of several", "[variant]\nname = \"x\"", "variant is to be a list, and is a table", ""},
		{"negative seed", "seed = -1", "seed is -1", ""},
		{"tolerance that is none", "tolerance = 3", "tolerance is no table", `[tolerance], and below it a line such as jit_pages = "2 %"`},
		{"steps elsewhere", "[[scenario]]\nname = \"load\"\nsteps = [5]", "steps are for directmap and itlb", ""},
		{"programs elsewhere", "[[scenario]]\nname = \"test_bpf\"\nprograms = 5", "scenario test_bpf: programs are for others", ""},
		{"unknown key", "boot = 1", `unknown key "boot"`, `did you mean "boots"?`},
		{"unknown nested key", "[vm]\ncpu = 1", `unknown key "vm.cpu"`, `did you mean "cpus"?`},
		{"unknown key in a list", "[[scenario]]\nname=\"load\"\nprogram = 3", `unknown key "scenario.program"`, `did you mean "programs"?`},
		{"unknown arch", `arches = ["x86-64"]`, `unknown architecture "x86-64"`, `did you mean "x86_64"?`},
		{"arch twice", `arches = ["s390x", "s390x"]`, "s390x stands twice", ""},
		{"no arch", `arches = []`, "at least one architecture", ""},
		{"unknown config", `config = "kasan"`, `unknown config "kasan"`, ""},
		{"unknown scenario", "[[scenario]]\nname = \"lod\"", `unknown scenario "lod"`, `did you mean "load"?`},
		{"unknown baseline", `baseline = "no-pack"`, `unknown baseline "no-pack"`, `did you mean "nopack"?`},
		{"compared with itself", "baseline = \"pack\"", "baseline and candidate are both pack", ""},
		{"nodes for a kernel that knows none", "[vm]\nnodes = 2", "vm.nodes is 2", ""},
		{"more nodes than processors", "config = \"numa\"\n[vm]\nnodes = 3", "vm.cpus is 2; it must be from 3", ""},
		{"nothing but nodes, on two architectures", "config = \"numa\"\n[[scenario]]\nname = \"numa\"", "numa takes two nodes, of which s390x with the configuration numa has 1", "--arch x86_64 --config numa is where there are two"},
		{"nothing but nodes, for a kernel that knows none", "arches = [\"x86_64\"]\n[[scenario]]\nname = \"numa\"", "of which x86_64 with the configuration measure has 1", "--arch x86_64 --config numa is where there are two"},
		{"hot elsewhere", "[[scenario]]\nname = \"load\"\nhot = 5", "hot and rounds are for itlb", ""},
		{"more hot than there are", "[[scenario]]\nname = \"itlb\"\nprograms = 5\nhot = 6", "hot is 6", ""},
		{"no warm round", "[[scenario]]\nname = \"itlb\"\nrounds = 1", "rounds is 1", ""},
		{"nothing hot", "[[scenario]]\nname = \"itlb\"\nsteps = [0, 8]", "from 1", ""},
		{"a trace under KVM", "[vm]\naccelerator = \"kvm\"\n[[scenario]]\nname = \"itlb\"", "KVM shows none", "with auto the trace is made under TCG, and the processor's events are counted under KVM where there is KVM"},
		{"too many programs", "[[scenario]]\nname = \"load\"\nprograms = 10001", "from 1 to 10000", ""},
		{"steps fall", "[[scenario]]\nname = \"directmap\"\nsteps = [5, 5]", "steps must rise", ""},
		{"no variant", `variant = []`, "at least one", ""},
		{"no boots", "boots = 0", "boots is 0", ""},
		{"bad variant name", "[[variant]]\nname = \"../x\"", `variant name "../x"`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(tc.text, "p.toml")
			if err == nil || fault.Of(err) != fault.Input {
				t.Fatalf("err = %v, want an input error", err)
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "p.toml") {
				t.Errorf("err = %v, want p.toml and %q", err, tc.want)
			}
			if got := fault.HintOf(err); got != tc.hint {
				t.Errorf("hint = %q, want %q", got, tc.hint)
			}
		})
	}
}

func TestLoadChecksNamedFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "p.toml")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("[[variant]]\nname = \"a\"\nstack = [\"./mine\"]\n")
	if _, _, err := Load(file); err == nil || fault.Of(err) != fault.Input || !strings.Contains(err.Error(), "mine") {
		t.Errorf("a series that isn't there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, _, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "mine"); p.Variants[0].Stack[0] != want {
		t.Errorf("stack = %q, want %q", p.Variants[0].Stack, want)
	}
	// From the folder itself the path is as unmistakable.
	t.Chdir(dir)
	if p, _, err := Load("p.toml"); err != nil || !IsPath(p.Variants[0].Stack[0]) {
		t.Errorf("from the plan's folder: %+v, %v", p, err)
	}
	write("base = \"./linux.tar.xz\"\n")
	if _, _, err := Load(file); err == nil || !strings.Contains(err.Error(), "linux.tar.xz") {
		t.Errorf("a base that isn't there: %v", err)
	}
	write("geometries = \"cores.toml\"\n")
	if _, _, err := Load(file); err == nil || !strings.Contains(err.Error(), "geometries: ") {
		t.Errorf("geometries that aren't there: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cores.toml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if p, _, err := Load(file); err != nil || p.Geometries != filepath.Join(dir, "cores.toml") {
		t.Errorf("geometries: %+v, %v", p, err)
	}
	if _, _, err := Load(filepath.Join(dir, "absent.toml")); err == nil || fault.Of(err) != fault.Input {
		t.Errorf("an absent plan: %v", err)
	}
}

func TestKeep(t *testing.T) {
	p := Default()
	if err := p.Keep([]string{"s390x"}, []string{"upstream", "pack"}, []string{"load"}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p.VariantNames(), []string{"pack", "upstream"}) || p.Baseline != "upstream" || p.Candidate != "pack" {
		t.Errorf("variants %v, baseline %s, candidate %s", p.VariantNames(), p.Baseline, p.Candidate)
	}
	if err := p.Keep([]string{"x86_64"}, nil, nil); err == nil || !strings.Contains(err.Error(), "not in the plan") {
		t.Errorf("err = %v", err)
	}
	if err := p.Keep([]string{"arm64"}, nil, nil); err == nil || !strings.Contains(err.Error(), "unknown architecture") {
		t.Errorf("err = %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("boots = 1\n[[variant]]\nname=\"a\"")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text, "p.toml")
		if err != nil {
			if fault.Of(err) != fault.Input {
				t.Errorf("%v is no input error", err)
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Errorf("accepted and invalid: %v", err)
		}
	})
}

// A run with one variant compares nothing; one with more always does.
func TestKeepLeavesAPair(t *testing.T) {
	for _, tc := range []struct {
		variants            []string
		baseline, candidate string
	}{
		{[]string{"nopack", "pack"}, "nopack", "pack"},
		{[]string{"pack", "upstream"}, "upstream", "pack"},
		{[]string{"nopack", "upstream"}, "nopack", "upstream"},
		{[]string{"upstream"}, "upstream", "upstream"},
	} {
		p := Default()
		if err := p.Keep(nil, tc.variants, nil); err != nil {
			t.Fatal(err)
		}
		if p.Baseline != tc.baseline || p.Candidate != tc.candidate {
			t.Errorf("%v: baseline %s, candidate %s", tc.variants, p.Baseline, p.Candidate)
		}
		if err := p.Validate(); err != nil {
			t.Errorf("%v: %v", tc.variants, err)
		}
	}
}

func TestNodes(t *testing.T) {
	for _, tc := range []struct {
		config, arch string
		asked, want  int
	}{
		{"measure", "x86_64", 0, 1}, {"numa", "x86_64", 0, 2}, {"numa", "x86_64", 1, 1}, {"numa", "x86_64", 4, 4}, {"numa", "s390x", 4, 1},
	} {
		p := Default()
		p.Config, p.VM.Nodes = tc.config, tc.asked
		if got := p.Nodes(tc.arch); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

// What is named is asked for; a plan's own scenarios are not.
func TestKeepAsks(t *testing.T) {
	for _, named := range [][]string{nil, {"itlb", "load"}} {
		p := Default()
		if err := p.Keep(nil, nil, named); err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Scenarios {
			if s.Asked != (named != nil) {
				t.Errorf("named %v: %s is asked for: %v", named, s.Name, s.Asked)
			}
		}
	}
}
