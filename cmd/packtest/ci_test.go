// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"packtest/plan"
)

const examples = "../../examples/ci"

func example(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// scripts returns the shell commands of a CI file: what stands after "run:", and
// the items below "script:" and its like. It reads as much YAML as the examples
// use, and fails on what it can't tell.
func scripts(t *testing.T, text string) []string {
	t.Helper()
	if strings.Contains(text, "\t") {
		t.Error("YAML with tabs")
	}
	var list []string
	indent := func(l string) int { return len(l) - len(strings.TrimLeft(l, " ")) }
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		at := indent(lines[i])
		key := strings.TrimPrefix(strings.TrimSpace(lines[i]), "- ")
		switch value, run := strings.CutPrefix(key, "run: "); {
		case run && value == "|":
			block := ""
			for i+1 < len(lines) && (lines[i+1] == "" || indent(lines[i+1]) > at) {
				i++
				block += strings.TrimSpace(lines[i]) + "\n"
			}
			list = append(list, block)
		case run:
			list = append(list, value)
		case key == "script:" || key == "before_script:" || key == "after_script:":
			for i+1 < len(lines) && strings.HasPrefix(strings.TrimSpace(lines[i+1]), "- ") && indent(lines[i+1]) > at {
				i++
				list = append(list, strings.TrimPrefix(strings.TrimSpace(lines[i]), "- "))
			}
		}
	}
	return list
}

// commands takes scripts apart into commands and their words.
func commands(scripts []string) [][]string {
	var list [][]string
	for _, s := range scripts {
		s = strings.ReplaceAll(s, "\\\n", " ")
		for _, c := range regexp.MustCompile(`\n|&&|\|\||;|\|`).Split(s, -1) {
			c = regexp.MustCompile(`>+ *\S+`).ReplaceAllString(c, "")
			if words := strings.Fields(strings.NewReplacer(`"`, "", "'", "").Replace(c)); len(words) > 0 {
				list = append(list, words)
			}
		}
	}
	return list
}

// checkCommands sees to it that packtest and make take the commands, and that
// the files they name are there. It returns packtest's verbs.
func checkCommands(t *testing.T, list [][]string) (verbs []string) {
	t.Helper()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range list {
		switch filepath.Base(words[0]) {
		case "packtest":
			var c cli
			parser, err := newParser(&c, io.Discard, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(words[1:]); err != nil {
				t.Errorf("%s: %v", strings.Join(words, " "), err)
				continue
			}
			verbs = append(verbs, words[1])
			if p := c.Nightly.Plan; p != "" {
				if _, _, err := plan.Load(filepath.Join(examples, filepath.Base(p))); err != nil {
					t.Error(err)
				}
			}
		case "make":
			for _, target := range words[1:] {
				if !strings.Contains(string(makefile), "\n"+target+":") {
					t.Errorf("make has no target %s", target)
				}
			}
		case "apt-get":
		default:
			t.Errorf("nothing checks %q", words)
		}
	}
	return verbs
}

func TestCIExamples(t *testing.T) {
	for name, want := range map[string]string{
		"github.yml": "doctor nightly report report gc",
		"gitlab.yml": "nightly report gc check",
	} {
		text := example(t, name)
		list := scripts(t, text)
		if got := strings.Join(checkCommands(t, commands(list)), " "); got != want {
			t.Errorf("%s calls %q, want %q", name, got, want)
		}
		// Where there is a real reader of YAML, it must find the same commands.
		cmd := exec.CommandContext(t.Context(), "python3", "-c", "import json,sys,yaml; print(json.dumps(yaml.safe_load(sys.stdin), default=str))")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			t.Logf("%s: not read by a YAML library: %v", name, err)
			continue
		}
		var doc any
		if err := json.Unmarshal(out, &doc); err != nil {
			t.Fatal(err)
		}
		all := strings.Join(strings.Fields(strings.Join(leaves(doc), "\n")), " ")
		for _, s := range list {
			if want := strings.Join(strings.Fields(s), " "); !strings.Contains(all, want) {
				t.Errorf("%s: a YAML library does not find %q", name, want)
			}
		}
	}
}

// A job that fails, as it does when something is wrong, must not lose the night's
// run and kernels: what is restored is saved in a step of its own, always.
func TestGitHubKeepsWhatFailed(t *testing.T) {
	text := example(t, "github.yml")
	if strings.Contains(text, "uses: actions/cache@") {
		t.Error("actions/cache saves nothing of a job that failed")
	}
	restored := regexp.MustCompile(`- uses: actions/cache/restore@v4\n +with:\n +(path: .*)\n +(key: .*)\n`).FindAllStringSubmatch(text, -1)
	if len(restored) != 2 {
		t.Errorf("%d folders are restored, want 2", len(restored))
	}
	for _, r := range restored {
		save := regexp.MustCompile(`- if: always\(\)\n +uses: actions/cache/save@v4\n +with:\n +` + regexp.QuoteMeta(r[1]) + `\n +` + regexp.QuoteMeta(r[2]) + `\n`)
		if !save.MatchString(text) {
			t.Errorf("%s is not saved under its %s, whatever came before", r[1], r[2])
		}
	}
}

// leaves lists the strings in a JSON value.
func leaves(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, x := range v {
			list = append(list, leaves(x)...)
		}
		return list
	case map[string]any:
		var list []string
		for _, x := range v {
			list = append(list, leaves(x)...)
		}
		return list
	}
	return nil
}

func TestSystemdExample(t *testing.T) {
	unit := func(name, key string) string {
		m := regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(example(t, name), -1)
		if len(m) != 1 {
			t.Fatalf("%s has %d lines %s=", name, len(m), key)
		}
		return m[0][1]
	}
	start := unit("packtest-nightly.service", "ExecStart")
	if got := strings.Join(checkCommands(t, commands([]string{start})), " "); got != "nightly" {
		t.Errorf("the service calls %q", got)
	}
	calendar := unit("packtest-nightly.timer", "OnCalendar")
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze: the units are not verified")
	}
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "calendar", calendar).CombinedOutput(); err != nil {
		t.Errorf("OnCalendar=%s: %v\n%s", calendar, err, out)
	}
	// The program need not be installed here.
	dir := t.TempDir()
	for _, name := range []string{"packtest-nightly.service", "packtest-nightly.timer"} {
		text := strings.ReplaceAll(example(t, name), "/usr/local/bin/packtest", "/bin/true")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", filepath.Join(dir, "packtest-nightly.service"), filepath.Join(dir, "packtest-nightly.timer"))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "packtest-nightly.") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
