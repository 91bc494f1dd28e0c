// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// testParser is packtest's own, which writes nowhere.
func testParser(t *testing.T) *kong.Kong {
	t.Helper()
	p, err := newParser(&cli{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComplete(t *testing.T) {
	values := func(name, dir string) []string {
		switch name {
		case "id", "a", "b":
			return []string{"latest", "20260102-030405@" + dir}
		}
		return valuesOf(name, dir)
	}
	for _, tc := range []struct {
		words string // the last is completed; a trailing space begins a new one
		want  string // what stands before the tab, in order; "..." is more
	}{
		{"ni", "nightly"},
		{"h", "history"},
		{"report --st", "--strict"},
		{"report ", "latest 20260102-030405@results :files"},
		{"report --results elsewhere 2026", "20260102-030405@elsewhere :files"},
		{"--results=else report 2026", "20260102-030405@else :files"},
		{"compare latest 2026", "20260102-030405@results :files"},
		{"run --arch s", "s390x"},
		{"run --arch x86_64,s", "x86_64,s390x"},
		{"run --arch=x86_64,s", "--arch=x86_64,s390x"},
		{"run --arch = s", "s390x"}, // as bash splits it
		{"run --arch =", "x86_64 s390x"},
		{"run --progress ", "auto plain json"},
		{"run --format ju", "junit"},
		{"run --accel=", "--accel=auto --accel=kvm --accel=tcg"},
		{"run --plan ", ":files"},
		{"run --tree ", ":files"},
		{"run --series ", ":files"},
		{"doctor --format ", "text json"},
		{"history --verdict regressed,kern", "regressed,kernel-failed"},
		{"history --metric jit_p", "jit_pages"},
		{"history --trends --me", "--metric"}, // a flag without a value waits for none
		{"completion ", "bash zsh fish"},
		{"defects pack-wri", "pack-writable"},
		{"init ", ":files"},
		{"run --nonsense=", ""},
		{"__com", ""},
		{"report -- --", ":files"},
	} {
		c := &completer{model: testParser(t).Model, values: values, results: "results"}
		var got []string
		for _, s := range c.complete(strings.Split(tc.words, " ")) {
			word, _, _ := strings.Cut(s, "\t")
			got = append(got, word)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%q: %q, want %q", tc.words, strings.Join(got, " "), tc.want)
		}
	}
}

// Whatever takes a value that is no number or name of the user's own completes.
func TestEveryValueCompletes(t *testing.T) {
	free := []string{"N", "DURATION", "WHEN", "TEXT", "PERCENT", "SECONDS", "NAME=PERCENT", "[NAME=]BASE..HEAD", "WORD", "KIND", "P", "REV"}
	c := &completer{model: testParser(t).Model, values: func(name, dir string) []string { return append(valuesOf(name, t.TempDir()), "") }}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, f := range n.Flags {
			if f.Hidden || f.IsBool() || slices.Contains(free, f.PlaceHolder) {
				continue
			}
			if got := valuesOf(f.Name, t.TempDir()); f.Enum == "" && len(got) == 0 && !takesFiles(f.Value) {
				t.Errorf("%s: nothing completes --%s %s", n.Path(), f.Name, f.PlaceHolder)
			}
		}
		for _, child := range shown(n) {
			walk(child)
		}
	}
	walk(c.model.Node)
}

// A real bash, with the real script.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// This test binary is packtest if it is called so (see TestMain).
	if err := os.Symlink(self, filepath.Join(dir, "packtest")); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"results/20260102-030405", "results/20260103-030405"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, d, "record.json"), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "my plan.toml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ words, want string }{
		{`packtest nig`, "nightly"},
		{`packtest report 2026`, "20260103-030405 20260102-030405"},
		{`packtest run --progress = j`, "json"},
		{`packtest run --plan my`, "my plan.toml"},
		{`packtest run --arch x86_64,`, "x86_64,x86_64 x86_64,s390x"},
	} {
		script := `eval "$(packtest completion bash)"
COMP_WORDS=(` + tc.words + `); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _packtest
IFS=$'\n'; printf '%s\n' "${COMPREPLY[*]}"; complete -p packtest >&2`
		cmd := exec.CommandContext(t.Context(), bash, "--norc", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, errs.Bytes())
		}
		if got := strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", " "); got != tc.want {
			t.Errorf("%s: %q, want %q\n%s", tc.words, got, tc.want, errs.Bytes())
		}
		if !strings.Contains(errs.String(), "-F _packtest packtest") {
			t.Errorf("the script registers nothing: %s", errs.Bytes())
		}
	}
}

// What is no script to its shell would do nothing at all.
func TestOtherShellsTakeTheScripts(t *testing.T) {
	for shell, script := range map[string]string{"zsh": zshCompletion, "fish": fishCompletion} {
		t.Run(shell, func(t *testing.T) {
			if !strings.Contains(script, "__complete --") {
				t.Error("the script asks nobody")
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("%s is not installed: its script's syntax is not looked at", shell)
			}
			check := func(script string) ([]byte, error) {
				// A file: fish reads standard input without a word.
				file := filepath.Join(t.TempDir(), "script")
				if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
					t.Fatal(err)
				}
				return exec.CommandContext(t.Context(), path, "-n", file).CombinedOutput()
			}
			if out, err := check(script); err != nil || len(out) > 0 {
				t.Errorf("%s -n: %v\n%s", shell, err, out)
			}
			if _, err := check(script + "\n)\n"); err == nil {
				t.Errorf("%s -n takes anything", shell)
			}
		})
	}
}
