// SPDX-License-Identifier: GPL-2.0-or-later

// Package git runs git on the repositories in packtest's cache, untouched by
// the user's own git configuration: no hooks, no signing, no line-end
// conversion. What the commits mean is left to kernel/source and kernel/series.
package git

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"packtest/internal/cache"
	"packtest/internal/proc"
)

// Repo is a git folder, bare or with its work tree elsewhere.
type Repo struct {
	// Dir is the git folder itself.
	Dir string
	// WorkTree is the folder with the files; "" where none is needed.
	WorkTree string
	// Index replaces the repository's own index; "" leaves it alone.
	Index string
}

// Env isolates git from the user's and the machine's configuration.
func Env() []string {
	return []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0"}
}

// Cmd returns the command that runs git with args in the repository.
func (r Repo) Cmd(args ...string) proc.Cmd {
	argv := []string{"git", "--git-dir=" + r.Dir}
	env := Env()
	dir := r.Dir
	if r.WorkTree != "" {
		argv = append(argv, "--work-tree="+r.WorkTree)
		dir = r.WorkTree
	}
	if r.Index != "" {
		env = append(env, "GIT_INDEX_FILE="+r.Index)
	}
	return proc.Cmd{Argv: append(argv, args...), Env: env, Dir: dir}
}

// Run runs git and returns its standard output without the last newline.
func (r Repo) Run(ctx context.Context, args ...string) (string, error) {
	res, err := proc.Run(ctx, r.Cmd(args...))
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(res.Stdout), "\n"), nil
}

// RunInput is Run with something to read on standard input and more variables
// in the environment.
func (r Repo) RunInput(ctx context.Context, stdin io.Reader, env []string, args ...string) (string, error) {
	c := r.Cmd(args...)
	c.Stdin = stdin
	c.Env = append(c.Env, env...)
	res, err := proc.Run(ctx, c)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(res.Stdout), "\n"), nil
}

// Has tells whether the repository can read the commit and its tree.
func (r Repo) Has(ctx context.Context, commit string) bool {
	_, err := r.Run(ctx, "cat-file", "-e", commit+"^{tree}")
	return err == nil && ctx.Err() == nil
}

// Init makes a repository in r.Dir that reads objects from objectsDir as well
// as its own, and does nothing to one that already does.
func (r Repo) Init(ctx context.Context, objectsDir string) error {
	if _, err := os.Stat(filepath.Join(r.Dir, "HEAD")); err != nil {
		if err := os.MkdirAll(r.Dir, 0o755); err != nil {
			return fmt.Errorf("make repository: %w", err)
		}
		c := proc.Cmd{Argv: []string{"git", "init", "--quiet", "--bare", "--template=", "--initial-branch=base", r.Dir}, Env: Env()}
		if _, err := proc.Run(ctx, c); err != nil {
			return err
		}
		for _, kv := range [][2]string{
			{"core.bare", "false"}, // has a work tree, only not beside it
			{"core.autocrlf", "false"},
			{"core.trustctime", "false"}, // the worktree's times are set on purpose
			{"core.compression", "1"},
			{"gc.auto", "0"},
			{"advice.detachedHead", "false"},
		} {
			if _, err := r.Run(ctx, "config", kv[0], kv[1]); err != nil {
				return err
			}
		}
	}
	if objectsDir == "" {
		return nil
	}
	alternates := filepath.Join(r.Dir, "objects", "info", "alternates")
	if err := os.MkdirAll(filepath.Dir(alternates), 0o755); err != nil {
		return fmt.Errorf("make repository: %w", err)
	}
	return cache.WriteFile(alternates, []byte(objectsDir+"\n"), 0o644)
}
