// SPDX-License-Identifier: GPL-2.0-or-later

package doctor

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// With an empty PATH every tool is missing, and one command mends it all.
func TestNothingInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	checks := Examine(t.Context(), []string{"x86_64", "s390x"}, t.TempDir())
	if Healthy(checks) {
		t.Error("healthy without a single tool")
	}
	cure := Cure(checks)
	for _, tool := range Tools() {
		if !strings.Contains(cure, " "+tool.Package) {
			t.Errorf("%q does not install %s", cure, tool.Package)
		}
	}
	for _, c := range checks {
		if c.Status == Missing && c.Fix == "" {
			t.Errorf("%s is missing and there is no fix", c.Name)
		}
	}
}

func TestOnlyWhatTheArchNeeds(t *testing.T) {
	for _, c := range Examine(t.Context(), []string{"x86_64"}, t.TempDir()) {
		if strings.Contains(c.Name, "s390x") {
			t.Errorf("x86_64 alone asks for %s", c.Name)
		}
	}
}

func TestABrokenToolIsMissing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/make", []byte("#!/bin/false\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for _, c := range Examine(t.Context(), nil, "/") {
		if c.Name == "make" && c.Status != Missing {
			t.Errorf("a make that fails is %s: %s", c.Status, c.Detail)
		}
	}
}

// What setup installs and what doctor asks for must be the same.
func TestSetupInstallsWhatDoctorAsksFor(t *testing.T) {
	b, err := os.ReadFile("../scripts/packages.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(string(b))
	var want []string
	for _, tool := range Tools() {
		want = append(want, tool.Package)
	}
	for _, f := range files() {
		want = append(want, f[1])
	}
	for _, p := range want {
		if !slices.Contains(listed, p) {
			t.Errorf("scripts/packages.txt lacks %s", p)
		}
	}
}
