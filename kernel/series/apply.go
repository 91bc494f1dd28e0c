// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"packtest/internal/cache"
	"packtest/internal/proc"
	"packtest/kernel/git"
)

// committer is who commits, and when: always the same, so that the same stack
// on the same base gives the same commit on every machine.
const (
	committerName  = "packtest"
	committerEmail = "packtest@localhost"
	committerDate  = "1136073600 +0000"
)

// Apply applies the stack on the commit base, a commit per patch, and returns
// the last one. It works on an index of its own: no files are touched and
// nothing is left over if a patch does not apply, which is an *ApplyError. The
// same stack on the same base always gives the same commit. An empty stack
// gives base itself.
func Apply(ctx context.Context, repo git.Repo, base string, stack []Series) (string, error) {
	if len(stack) == 0 {
		return base, nil
	}
	ref := "refs/stacks/" + key(base, stack)
	if commit, err := repo.Run(ctx, "rev-parse", "--verify", "--quiet", ref); err == nil && repo.Has(ctx, commit) {
		return commit, nil
	}
	tmp, remove, err := cache.TempDir("", "apply")
	if err != nil {
		return "", fmt.Errorf("apply a series: %w", err)
	}
	defer remove()
	repo.WorkTree = ""
	repo.Index = filepath.Join(tmp, "index")
	if _, err := repo.Run(ctx, "read-tree", base); err != nil {
		return "", err
	}
	commit := base
	for _, s := range stack {
		for _, p := range s.Patches {
			if commit, err = applyOne(ctx, repo, commit, s.Name, p); err != nil {
				return "", err
			}
		}
	}
	// Names the result, so that git keeps it and the next call finds it.
	if _, err := repo.Run(ctx, "update-ref", ref, commit); err != nil {
		return "", err
	}
	return commit, nil
}

func key(base string, stack []Series) string {
	parts := []string{base, committerName, committerEmail, committerDate}
	for _, s := range stack {
		parts = append(parts, s.Name, s.Hash)
	}
	return cache.Key(parts...)
}

func applyOne(ctx context.Context, repo git.Repo, parent, series string, p Patch) (string, error) {
	_, err := repo.RunInput(ctx, bytes.NewReader(p.Body), nil, "apply", "--cached", "--whitespace=nowarn", "-")
	var exit *proc.ExitError
	if errors.As(err, &exit) {
		return "", explain(series, p, string(exit.Result.Stderr))
	}
	if err != nil {
		return "", err
	}
	tree, err := repo.Run(ctx, "write-tree")
	if err != nil {
		return "", err
	}
	name, email, ok := strings.Cut(strings.TrimSuffix(p.Author, ">"), " <")
	if !ok {
		name, email = committerName, committerEmail
	}
	date := p.Date
	if date == "" {
		date = committerDate
	}
	env := []string{
		"GIT_AUTHOR_NAME=" + name, "GIT_AUTHOR_EMAIL=" + email, "GIT_AUTHOR_DATE=" + date,
		"GIT_COMMITTER_NAME=" + committerName, "GIT_COMMITTER_EMAIL=" + committerEmail, "GIT_COMMITTER_DATE=" + committerDate,
	}
	commit, err := repo.RunInput(ctx, strings.NewReader(p.Message), env, "commit-tree", tree, "-p", parent)
	if errors.As(err, &exit) {
		// An author without a name, a date beyond all time: the patch's own.
		return "", &ApplyError{Series: series, Patch: p.Name, Detail: strings.TrimSpace(string(exit.Result.Stderr))}
	}
	return commit, err
}

var (
	hunkFailed = regexp.MustCompile(`(?m)^error: patch failed: (.+):(\d+)$`)
	fileFailed = regexp.MustCompile(`(?m)^error: (.+): (.+)$`)
)

// explain turns what git apply said into an ApplyError.
func explain(series string, p Patch, said string) *ApplyError {
	e := &ApplyError{Series: series, Patch: p.Name, Detail: strings.TrimSpace(strings.ReplaceAll(said, "error: ", ""))}
	if m := hunkFailed.FindStringSubmatch(said); m != nil {
		e.File, e.Detail = m[1], "does not apply"
		line, err := strconv.ParseInt(m[2], 10, 64)
		for _, f := range p.files {
			if err != nil || f.OldName != e.File && f.NewName != e.File {
				continue
			}
			for i, h := range f.TextFragments {
				if h.OldPosition == line {
					e.Hunk, e.Reject = i+1, h.String()
				}
			}
		}
		return e
	}
	if m := fileFailed.FindStringSubmatch(said); m != nil {
		e.File, e.Detail = m[1], m[2]
	}
	return e
}
