// SPDX-License-Identifier: GPL-2.0-or-later

// Package rooms keeps the floors of ARCHITECTURE.md: a package imports only
// what stands below it.
package rooms

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// floors returns each room's floor; a room's subfolders stand on it too, unless
// they are listed themselves.
func floors() map[string]int {
	return map[string]int{
		// Gives tests of any room a kernel to boot; only they may import it.
		testSupport: 5,
		"metric":    0, "internal": 0, "patches": 0, "kconfigs": 0,
		"guest": 1, "itlb": 1,
		"kernel": 2, "initramfs": 2, "vm": 2, "results": 2,
		"plan": 3, "compare": 3, "doctor": 3,
		"lab": 4, "report": 4,
		"cmd": 5,
	}
}

// forbidden lists imports that the floors alone would allow: what the room must
// not know.
func forbidden() map[string][]string {
	return map[string][]string{
		"cmd/packguest":  {"kernel", "vm", "initramfs", "results", "plan", "lab", "report", "compare", "doctor", "patches", "kconfigs"},
		"guest":          {"internal", "patches", "kconfigs"},
		"lab":            {"report"},
		"report":         {"lab", "vm", "kernel", "initramfs", "plan", "doctor"},
		"compare":        {"vm", "kernel", "initramfs", "plan", "doctor"},
		"plan":           {"vm", "kernel", "initramfs", "results", "compare", "doctor"},
		"kernel":         {"vm", "initramfs", "results", "guest", "metric"},
		"vm":             {"kernel", "results", "guest/agent", "guest/scenario", "guest/probe"},
		"results":        {"vm", "kernel", "initramfs"},
		"initramfs":      {"vm", "kernel", "results"},
		"metric":         {"internal", "patches", "kconfigs"},
		"internal/proc":  {"internal/cache"},
		"initramfs/bake": {},
		"internal/fault": {"internal/cache", "internal/proc", "internal/need"},
		"kernel/kconfig": {"kernel/build", "kernel/source", "kernel/series"},
		"kernel/series":  {"kernel/build", "kernel/kconfig"},
	}
}

func imports(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "packtest/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		f := strings.Fields(line)
		var own []string
		for _, imp := range f[1:] {
			if strings.HasPrefix(imp, "packtest/") {
				own = append(own, strings.TrimPrefix(imp, "packtest/"))
			}
		}
		all[strings.TrimPrefix(f[0], "packtest/")] = own
	}
	return all
}

const testSupport = "vm/vmtest"

func floorOf(pkg string) (int, bool) {
	if f, ok := floors()[pkg]; ok {
		return f, ok
	}
	f, ok := floors()[strings.SplitN(pkg, "/", 2)[0]]
	return f, ok
}

func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

func TestFloors(t *testing.T) {
	for pkg, deps := range imports(t) {
		floor, ok := floorOf(pkg)
		if !ok {
			t.Errorf("%s stands in no room: add its floor here and in ARCHITECTURE.md", pkg)
		}
		for _, dep := range deps {
			depFloor, _ := floorOf(dep)
			if dep == testSupport {
				t.Errorf("%s imports %s outside of its tests", pkg, dep)
			}
			if depFloor > floor {
				t.Errorf("%s (floor %d) imports %s (floor %d)", pkg, floor, dep, depFloor)
			}
			for room, banned := range forbidden() {
				for _, b := range banned {
					if pkg != testSupport && within(pkg, room) && within(dep, b) {
						t.Errorf("%s imports %s: %s must not know %s", pkg, dep, room, b)
					}
				}
			}
		}
	}
}

// Every source file says what its licence is.
func TestLicence(t *testing.T) {
	root := "../.."
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n == ".git" || n == "testdata" || n == "bin" || n == "blobs" {
				return filepath.SkipDir
			}
			if filepath.Base(filepath.Dir(p)) == "results" {
				return filepath.SkipDir // a run
			}
			return nil
		}
		switch filepath.Ext(p) {
		case ".go", ".c", ".h", ".s", ".config", ".S":
		default:
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		head := string(b[:min(len(b), 200)])
		if !strings.Contains(head, "SPDX-License-Identifier: GPL-2.0-or-later") {
			t.Errorf("%s has no SPDX line", p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
