// SPDX-License-Identifier: GPL-2.0-or-later

// Package checkpatch has the kernel's own checkpatch.pl look at commits. Which
// complaints matter is left to others.
package checkpatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/proc"
	"packtest/kernel/git"
	"packtest/kernel/source"
)

// Report is what checkpatch.pl says of one commit.
type Report struct {
	Errors, Warnings, Checks int
	// Text is what it says, complaint by complaint; "" if it has none.
	Text string
}

// script is where a kernel keeps checkpatch.pl.
const script = "scripts/checkpatch.pl"

// Missing says why checkpatch.pl can't be run on a kernel, or "" if it can.
func Missing(ctx context.Context, base *source.Base) string {
	if _, err := exec.LookPath("perl"); err != nil {
		return "perl is not installed; as root: apt-get install --no-install-recommends perl"
	}
	if _, err := base.Git().Run(ctx, "cat-file", "-e", base.Commit+":"+script); err != nil && ctx.Err() == nil {
		return "the base has no " + script
	}
	return ""
}

const entryKind = "checkpatch"

// Run has the base's own checkpatch.pl, with --strict, look at each of commits,
// which are in the base's repository. It runs in the base's files, and waits for
// whoever builds from them; say is told for whom. What it said once of the same
// patch is taken from the cache.
func Run(ctx context.Context, c *cache.Cache, base *source.Base, commits []string, say func(string)) ([]Report, error) {
	// The files that decide what it says; some old kernels lack some of them.
	tools, err := base.Git().Run(ctx, "ls-tree", base.Commit, "--", script, "scripts/spelling.txt", "scripts/const_structs.checkpatch", ".checkpatch.conf")
	if err != nil {
		return nil, err
	}
	var out []Report
	var unlock func()
	dir := ""
	for _, commit := range commits {
		patch, err := canonical(ctx, base.Git(), commit)
		if err != nil {
			return nil, err
		}
		key := cache.Key("1", tools, patch)
		said, err := load(c, key)
		if errors.Is(err, cache.ErrMiss) {
			if unlock == nil {
				if unlock, err = c.Lock(ctx, base.LockName(), func(holder string) {
					say(fmt.Sprintf("checkpatch: waiting for %s, which is building from %s", holder, base.Name))
				}); err != nil {
					return nil, err
				}
				defer unlock()
				if dir, _, err = base.Checkout(ctx, base.Commit); err != nil {
					return nil, err
				}
			}
			if said, err = look(ctx, base, dir, patch); err == nil {
				err = save(c, key, said)
			}
		}
		if err != nil {
			return nil, err
		}
		r, err := Parse(said)
		if err != nil {
			return nil, fmt.Errorf("run checkpatch.pl on %.12s: %w", commit, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// canonical is a commit as a mail that is the same wherever the commit came from.
func canonical(ctx context.Context, repo git.Repo, commit string) (string, error) {
	return repo.Run(ctx, "format-patch", "-1", "--stdout", "--zero-commit", "--no-signature", "--full-index", "--no-renames", "--no-attach", commit)
}

// look runs checkpatch.pl in the folder dir and returns its output.
func look(ctx context.Context, base *source.Base, dir, patch string) (string, error) {
	cmd := proc.Cmd{Argv: []string{"perl", script, "--strict", "--show-types", "--color=never", "-"}, Dir: dir, Stdin: strings.NewReader(patch + "\n")}
	if strings.HasPrefix(base.Spec, "tree:") {
		// It looks up the commits that changelogs name.
		cmd.Env = append(git.Env(), "GIT_DIR="+base.Repo)
	}
	r, err := proc.Run(ctx, cmd)
	var exit *proc.ExitError
	if errors.As(err, &exit) && summary.Match(exit.Result.Stdout) {
		return string(exit.Result.Stdout), nil // it has complaints
	}
	if err != nil {
		return "", fault.WithHint(fmt.Errorf("run checkpatch.pl: %w", err), "the kernel's own %s is at fault, or perl", script)
	}
	return string(r.Stdout), nil
}

var summary = regexp.MustCompile(`(?m)^total: (\d+) errors?, (\d+) warnings?, (?:(\d+) checks?, )?\d+ lines checked$`)

// Parse reads checkpatch.pl's output. One without its summary is an error.
func Parse(said string) (r Report, err error) {
	at := summary.FindStringSubmatchIndex(said)
	if at == nil {
		return r, errors.New("it does not say how many complaints it has")
	}
	for i, n := range []*int{&r.Errors, &r.Warnings, &r.Checks} {
		if from := at[2*i+2]; from >= 0 {
			if *n, err = strconv.Atoi(said[from:at[2*i+3]]); err != nil {
				return r, fmt.Errorf("its summary: %w", err)
			}
		}
	}
	if r.Errors+r.Warnings+r.Checks > 0 {
		r.Text = strings.TrimSpace(said[:at[0]])
	}
	return r, nil
}

func load(c *cache.Cache, key string) (string, error) {
	e, err := c.Get(entryKind, key)
	var corrupt *cache.CorruptError
	if errors.As(err, &corrupt) {
		return "", cache.ErrMiss // it is gone, and made again
	}
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(e.Path("said"))
	return string(b), err
}

func save(c *cache.Cache, key, said string) error {
	_, err := c.Put(entryKind, key, func(dir string) error {
		return cache.WriteFile(filepath.Join(dir, "said"), []byte(said), 0o644)
	})
	return err
}
