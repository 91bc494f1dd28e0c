// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"packtest/internal/fault"
	"packtest/kernel/git"
)

// trailer is a line that git format-patch --base or b4 writes below a patch or
// a cover letter.
var trailer = regexp.MustCompile(`(?m)^(base-commit|prerequisite-[a-z-]+): *(\S+) *\r?$`)

var hexHash = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// trailers takes what a patch or cover letter says it needs.
func (s *Series) trailers(text []byte) error {
	for _, m := range trailer.FindAllSubmatch(text, -1) {
		key, value := string(m[1]), string(m[2])
		switch {
		case key == "base-commit" && !hexHash.MatchString(value):
			s.note("%s: base-commit %q names no commit and is not followed", s.Name, value)
		case key == "base-commit" && s.BaseCommit != "" && s.BaseCommit != value:
			return fault.Inputf("%s names two base-commits, %.12s and %.12s", s.Name, s.BaseCommit, value)
		case key == "base-commit":
			s.BaseCommit = value
		case key == "prerequisite-patch-id" && !hexHash.MatchString(value):
			return fault.Inputf("%s: %s %q is no patch ID", s.Name, key, value)
		case key == "prerequisite-patch-id":
			if !slices.Contains(s.Prerequisites, value) {
				s.Prerequisites = append(s.Prerequisites, value)
			}
		default:
			s.note("%s asks for %s %s, which can't be checked here", s.Name, key, value)
		}
	}
	return nil
}

// maxBetween bounds the commits that are searched for prerequisites.
const maxBetween = 5000

// CheckBase holds a stack against the base it is to be applied on: the commit
// base, in a tree of the user's own if tree is set. It returns what a reader
// should know of base-commits that are others, and an input error that names
// the prerequisites that neither the history since the base-commit nor the
// series before in the stack holds.
func CheckBase(ctx context.Context, repo git.Repo, base string, tree bool, stack []Series) (notes []string, err error) {
	have := map[string]bool{}
	asked := slices.ContainsFunc(stack, func(s Series) bool { return len(s.Prerequisites) > 0 })
	for _, s := range stack {
		known := false
		if s.BaseCommit != "" {
			note := ""
			if known, note = knows(ctx, repo, base, tree, s); note != "" {
				notes = append(notes, note)
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(s.Prerequisites) > 0 && known {
			if err := addHistory(ctx, repo, s.BaseCommit, base, have); err != nil {
				return nil, err
			}
		}
		var unmet []string
		for _, id := range s.Prerequisites {
			if !have[id] {
				unmet = append(unmet, id)
			}
		}
		if len(unmet) > 0 {
			return nil, fault.WithHint(fault.Inputf("series %s needs %s not applied: prerequisite-patch-id %s",
				s.Name, plural(len(unmet), "a patch that is", "patches that are"), strings.Join(unmet, ", ")),
				"put the series with it first in the stack, or apply it in your tree and name that commit with --tree PATH@REV")
		}
		for _, p := range s.Patches {
			if !asked {
				break
			}
			if err := addIDs(ctx, repo, p.Body, have); err != nil {
				return nil, err
			}
		}
	}
	return notes, nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// knows tells whether the repository has the series' base-commit, and says
// where that is not what it will be applied on.
func knows(ctx context.Context, repo git.Repo, base string, tree bool, s Series) (known bool, note string) {
	if !tree {
		return false, fmt.Sprintf("%s was made on commit %.12s; whether the base is like it can't be told, since it is no git tree of yours", s.Name, s.BaseCommit)
	}
	commit, err := repo.Run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", s.BaseCommit+"^{commit}")
	switch {
	case err != nil:
		return false, fmt.Sprintf("%s was made on commit %.12s, which the tree does not have; it is applied on %.12s", s.Name, s.BaseCommit, base)
	case commit != base:
		return true, fmt.Sprintf("%s was made on commit %.12s and is applied on %.12s", s.Name, s.BaseCommit, base)
	}
	return true, ""
}

// addHistory adds the patch IDs of the commits from since to base.
func addHistory(ctx context.Context, repo git.Repo, since, base string, have map[string]bool) error {
	span := since + ".." + base
	n, err := repo.Run(ctx, "rev-list", "--count", span)
	if err != nil {
		return err
	}
	if count, err := strconv.Atoi(n); err != nil || count > maxBetween {
		return fault.Inputf("can't search %s commits between %.12s and %.12s for prerequisites", n, since, base)
	}
	log, err := repo.Run(ctx, "log", "--patch", "--no-merges", "--full-index", "--no-ext-diff", "--no-textconv", span)
	if err != nil {
		return err
	}
	return addIDs(ctx, repo, []byte(log+"\n"), have)
}

// addIDs adds the patch IDs of the patches in text.
func addIDs(ctx context.Context, repo git.Repo, text []byte, have map[string]bool) error {
	out, err := repo.RunInput(ctx, bytes.NewReader(text), nil, "patch-id", "--stable")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(out, "\n") {
		if id, _, ok := strings.Cut(line, " "); ok {
			have[id] = true
		}
	}
	return nil
}
