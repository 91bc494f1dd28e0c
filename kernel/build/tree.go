// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"packtest/internal/cache"
	"packtest/kernel/source"
)

// buildSpace is what a build tree takes, in bytes: 200 MB were measured with
// Linux 6.1 in the measuring configuration, 250 MB before the last links in the
// debugging one.
const buildSpace = 500 << 20

// buildTree is the folder that make's O= names. Variants share it, so that going
// from one to the next compiles only what differs.
type buildTree struct {
	top   string // the folder of this tree in the cache
	dir   string // O=
	state string // the state file, beside it
	said  string // what its build steps said, beside it
	// Commits are those whose objects may be in the tree: one after a build
	// that ended well, more after one that broke off.
	Commits []string `json:"commits"`
	// Toolchain is what the objects were made by; "" in trees of long ago.
	Toolchain string `json:"toolchain,omitempty"`
	// Unfinished says that the last build did not end well.
	Unfinished bool `json:"unfinished"`
	// Configured is the key of what .config was made from, and Config its
	// SHA-256; "" if that has to be done.
	Configured string `json:"configured"`
	Config     string `json:"config"`
}

// openTree opens the build tree of a cell; suffix, which may be "", tells apart
// the trees of builds that are inspected, whose words must be known.
func openTree(c *cache.Cache, cell Cell, suffix string) (*buildTree, error) {
	top, err := c.Tree(fmt.Sprintf("build/%s-%s-%s%s", cell.Base.Name, cell.Arch, cell.Config, suffix))
	if err != nil {
		return nil, err
	}
	t := &buildTree{top: top, dir: filepath.Join(top, "obj"), state: filepath.Join(top, "state.json"), said: filepath.Join(top, "said.jsonl")}
	b, err := os.ReadFile(t.state)
	if err == nil {
		err = json.Unmarshal(b, t)
	}
	if err == nil && suffix != "" && len(t.Commits) > 0 {
		_, err = os.Stat(t.said)
	}
	if err != nil {
		// Without knowing what is in it, a build tree is worthless.
		if err := t.empty(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the build tree: %w", err)
	}
	if len(t.Commits) == 0 {
		return t, source.NeedSpace(t.dir, buildSpace)
	}
	return t, nil
}

// empty makes the tree one in which nothing was ever built.
func (t *buildTree) empty() error {
	for _, path := range []string{t.dir, t.said, t.state} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("empty the build tree: %w", err)
		}
	}
	*t = buildTree{top: t.top, dir: t.dir, state: t.state, said: t.said}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return fmt.Errorf("make the build tree: %w", err)
	}
	return nil
}

// newest is the time of the last change of any file in the tree.
func (t *buildTree) newest() (last time.Time, err error) {
	err = filepath.WalkDir(t.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return err
	})
	if err != nil {
		return last, fmt.Errorf("look how old the build tree is: %w", err)
	}
	return last, nil
}

// begin notes that commit's objects, made by toolchain, are about to get into the
// tree. If the last build was cut short it first removes what may be half-written.
func (t *buildTree) begin(commit, toolchain string) error {
	if t.Unfinished {
		if err := t.mend(); err != nil {
			return fmt.Errorf("mend the build tree after a build that broke off: %w", err)
		}
	}
	known := false
	for _, c := range t.Commits {
		known = known || c == commit
	}
	if !known {
		t.Commits = append(t.Commits, commit)
	}
	t.Unfinished, t.Toolchain = true, toolchain
	return t.save()
}

// end notes that the tree holds commit's objects and no others.
func (t *buildTree) end(commit string) error {
	t.Commits, t.Unfinished = []string{commit}, false
	return t.save()
}

func (t *buildTree) save() error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return cache.WriteFile(t.state, append(b, '\n'), 0o644)
}

// dependents counts the objects in the tree that were made from any of the
// files of the source folder that are still there: what make will compile, but for the few that read
// something generated from them.
func (t *buildTree) dependents(source string, files []string) (int, error) {
	wanted := map[string]bool{}
	for _, f := range files {
		if path := filepath.Join(source, filepath.FromSlash(f)); exists(path) {
			wanted[path] = true
		}
	}
	n := 0
	err := filepath.WalkDir(t.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".o.cmd") {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		// After "source_X.o := FILE" and "deps_X.o := \" comes a file a line.
		for line := range strings.Lines(string(b)) {
			_, file, assigned := strings.Cut(line, " := ")
			if !assigned {
				file = line
			}
			if wanted[strings.Trim(file, " \\\n")] {
				n++
				break
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look for what has to be compiled: %w", err)
	}
	return n, nil
}

// mend removes what a killed compiler, archiver or linker may have left half
// done, which make would take for finished because it is new. kbuild writes
// .X.o.cmd when X.o is finished: an object that is newer is suspect. Archives
// and what is linked from them are quickly made again.
func (t *buildTree) mend() error {
	return filepath.WalkDir(t.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if !d.Type().IsRegular() {
			return nil
		}
		switch {
		case strings.HasSuffix(name, ".a"), strings.HasPrefix(name, "vmlinux"), strings.HasPrefix(name, ".tmp_vmlinux"),
			strings.HasPrefix(name, "bzImage"), strings.HasSuffix(name, ".ko"), strings.HasSuffix(name, ".tmp"):
			return os.Remove(p)
		case strings.HasSuffix(name, ".cmd"), strings.HasSuffix(name, ".d"), filepath.Ext(name) == ".c", filepath.Ext(name) == ".h":
			return nil
		}
		cmd, err := os.Stat(filepath.Join(filepath.Dir(p), "."+name+".cmd"))
		if errors.Is(err, fs.ErrNotExist) {
			if filepath.Ext(name) == ".o" {
				return os.Remove(p)
			}
			return nil
		}
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if st.ModTime().After(cmd.ModTime()) {
			return os.Remove(p)
		}
		return nil
	})
}
