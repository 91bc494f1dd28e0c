// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The set-up script finds its lists wherever the tree is, and lacking one is no
// machine that lacks nothing. Nothing is installed here: nobody is root.
func TestSetup(t *testing.T) {
	tree, tools := filepath.Join(t.TempDir(), "a tree"), t.TempDir()
	if err := os.CopyFS(filepath.Join(tree, "scripts"), os.DirFS("../../scripts")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"dpkg-query": "exit 1", "id": "echo 1000", "sudo": "exit 1"} {
		if err := os.WriteFile(filepath.Join(tools, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	setup := func() (string, error) {
		cmd := exec.Command("sh", filepath.Join(tree, "scripts", "setup"), "test")
		cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"))
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	if said, err := setup(); err == nil || !strings.Contains(said, " qemu-system-x86 ") || !strings.Contains(said, " chromium") {
		t.Errorf("%v: %s", err, said)
	}
	if err := os.Remove(filepath.Join(tree, "scripts", "packages.txt")); err != nil {
		t.Fatal(err)
	}
	if said, err := setup(); err == nil || strings.Contains(said, "missing") {
		t.Errorf("without a list: %v: %s", err, said)
	}
}
