// SPDX-License-Identifier: GPL-2.0-or-later

package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"packtest/internal/cache"
	"packtest/kernel/git"
)

// longAgo is the time of every source file that has not changed since the
// build tree in question last saw it. Any time before the first build will do.
var longAgo = time.Unix(1136073600, 0)

// worktreeState is what is remembered beside the files.
type worktreeState struct {
	// Commit is what was checked out last.
	Commit string `json:"commit"`
	// Fresh are the files whose time is not longAgo.
	Fresh []string `json:"fresh"`
}

// Checkout makes the base's files those of commit and returns their folder. It
// sets their times so that make does exactly what is needed: a file that
// differs between commit and any of since is new, every other one is old. since
// is what a build tree last built; with none, every file is old, which suits an
// empty build tree. Files that somebody changed or added in the cache are put
// right. changed are the names of the files that are new, or gone, sorted. The caller holds the base's
// lock, and keeps it while it builds.
func (b *Base) Checkout(ctx context.Context, commit string, since ...string) (dir string, changed []string, err error) {
	base, err := b.dir()
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(base, "tree")
	stateFile := filepath.Join(base, "worktree.json")
	defer func() { err = NoSpace(err, base) }()

	state := readState(stateFile)
	repo := git.Repo{Dir: b.Repo, WorkTree: dir}
	// A run that was killed leaves git's lock behind; ours says nobody is there.
	if err := removeFile(filepath.Join(repo.Dir, "index.lock")); err != nil {
		return "", nil, err
	}
	if state.Commit == "" || !repo.Has(ctx, state.Commit) {
		if err := ctx.Err(); err != nil {
			return "", nil, err
		}
		if err := b.firstCheckout(ctx, repo, commit); err != nil {
			return "", nil, err
		}
		state = worktreeState{Commit: commit}
		if err := state.write(stateFile); err != nil {
			return "", nil, err
		}
	}
	old := map[string]bool{}
	for _, f := range state.Fresh {
		old[f] = true
	}
	if _, err := repo.Run(ctx, "update-index", "-q", "--really-refresh"); err != nil {
		// It says by its exit code that some files have changed: they are
		// checked out again below.
		if ctx.Err() != nil {
			return "", nil, err
		}
	}
	for _, d := range []string{"diff-files", "diff-index"} {
		args := []string{d, "--name-only", "-z"}
		if d == "diff-index" {
			args = append(args, "--cached", commit)
		}
		differ, err := repo.Run(ctx, args...)
		if err != nil {
			return "", nil, err
		}
		for _, f := range splitZ(differ) {
			old[f] = true
		}
	}
	fresh := map[string]bool{}
	for _, s := range since {
		if s == commit {
			continue
		}
		differ, err := repo.Run(ctx, "diff-tree", "-r", "--name-only", "--no-renames", "-z", s, commit)
		if err != nil {
			return "", nil, err
		}
		for _, f := range splitZ(differ) {
			fresh[f] = true
			delete(old, f)
		}
	}
	// Written first: if this is interrupted, the next one knows which times
	// can't be trusted.
	next := worktreeState{Commit: commit, Fresh: append(keys(fresh), keys(old)...)}
	if err := next.write(stateFile); err != nil {
		return "", nil, err
	}
	if _, err := repo.Run(ctx, "checkout", "--quiet", "--force", "--detach", commit); err != nil {
		return "", nil, err
	}
	if _, err := repo.Run(ctx, "clean", "-ffdxq"); err != nil {
		return "", nil, err
	}
	if err := setTimes(dir, keys(old), longAgo); err != nil {
		return "", nil, err
	}
	if err := setTimes(dir, keys(fresh), time.Now()); err != nil {
		return "", nil, err
	}
	if _, err := repo.Run(ctx, "update-index", "-q", "--refresh"); err != nil {
		return "", nil, fmt.Errorf("check out %.12s: %w", commit, err)
	}
	next.Fresh = keys(fresh)
	return dir, next.Fresh, next.write(stateFile)
}

// firstCheckout writes all files, with old times.
func (b *Base) firstCheckout(ctx context.Context, repo git.Repo, commit string) error {
	if err := NeedSpace(filepath.Dir(repo.Dir), treeSpace); err != nil {
		return err
	}
	if err := os.RemoveAll(repo.WorkTree); err != nil {
		return fmt.Errorf("check out %.12s: %w", commit, err)
	}
	if err := os.MkdirAll(repo.WorkTree, 0o755); err != nil {
		return fmt.Errorf("check out %.12s: %w", commit, err)
	}
	if err := removeFile(filepath.Join(repo.Dir, "index")); err != nil {
		return err
	}
	if _, err := repo.Run(ctx, "-c", "checkout.workers=0", "checkout", "--quiet", "--force", "--detach", commit); err != nil {
		return err
	}
	err := filepath.WalkDir(repo.WorkTree, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Chtimes(p, longAgo, longAgo)
	})
	if err != nil {
		return fmt.Errorf("check out %.12s: %w", commit, err)
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("check out: %w", err)
	}
	return nil
}

func readState(path string) (s worktreeState) {
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &s) != nil {
		return worktreeState{} // checked out from scratch
	}
	return s
}

func (s worktreeState) write(path string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return cache.WriteFile(path, append(b, '\n'), 0o644)
}

func setTimes(dir string, files []string, t time.Time) error {
	for _, f := range files {
		p := filepath.Join(dir, filepath.FromSlash(f))
		st, err := os.Lstat(p)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
			continue // removed by the patch, or a symlink
		}
		if err == nil {
			err = os.Chtimes(p, t, t)
		}
		if err != nil {
			return fmt.Errorf("set the time of %s: %w", f, err)
		}
	}
	return nil
}

func splitZ(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == 0 })
}

func keys(m map[string]bool) []string {
	return slices.Sorted(maps.Keys(m))
}
