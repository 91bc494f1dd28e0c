// SPDX-License-Identifier: GPL-2.0-or-later

package series

import (
	"context"
	"strings"

	"packtest/internal/fault"
	"packtest/internal/proc"
	"packtest/kernel/git"
)

// Span is a range of commits in a git tree of the user's own, which is read and
// never changed.
type Span struct {
	// Tree is the tree's folder and Text the range, "BASE..HEAD".
	Tree, Text string
	// base is where the range leaves BASE's history, head its last commit.
	base, head string
}

// OpenSpan finds the ends of a range. HEAD may be left out: "v6.1..".
func OpenSpan(ctx context.Context, tree, text string) (Span, error) {
	s := Span{Tree: tree, Text: text}
	from, to, ok := strings.Cut(text, "..")
	if !ok || from == "" || strings.HasPrefix(to, ".") {
		return s, fault.Inputf("the range %q is not of the form BASE..HEAD", text)
	}
	if to == "" {
		to = "HEAD"
	}
	var err error
	if from, err = s.commit(ctx, from); err != nil {
		return s, err
	}
	if s.head, err = s.commit(ctx, to); err != nil {
		return s, err
	}
	if s.base, err = s.ask(ctx, "merge-base", from, s.head); err != nil {
		if ctx.Err() != nil {
			return s, err
		}
		return s, fault.Inputf("the range %s: its ends have no commit in common", text)
	}
	return s, nil
}

// Base returns the commit that the range's first patch was made on.
func (s Span) Base() string { return s.base }

// Load reads the range as a series of as many patches as it has commits. repo is
// where the tree's objects can be read without the user's configuration. A range
// that is empty or holds a merge is an input error.
func (s Span) Load(ctx context.Context, repo git.Repo) (Series, error) {
	span := s.base + ".." + s.head
	if err := s.check(ctx, repo, span); err != nil {
		return Series{Name: s.Text}, err
	}
	mbox, err := repo.Run(ctx, "format-patch", "--stdout", "--numbered", "--full-index", "--binary", "--no-renames", "--no-stat", "--no-signature", "--no-cover-letter", "--no-attach", span)
	if err != nil {
		return Series{Name: s.Text}, err
	}
	return loadMbox(s.Text, []byte(mbox+"\n"))
}

// check demands that every commit of the range makes a patch: format-patch
// passes over merges and over commits that change nothing.
func (s Span) check(ctx context.Context, repo git.Repo, span string) error {
	tree, err := repo.Run(ctx, "rev-parse", s.base+"^{tree}")
	if err != nil {
		return err
	}
	log, err := repo.Run(ctx, "log", "--reverse", "--topo-order", "--format=%T|%P|%h %s", span)
	if err != nil {
		return err
	}
	if log == "" {
		return fault.Inputf("the range %s is empty", s.Text)
	}
	for _, line := range strings.Split(log, "\n") {
		f := strings.SplitN(line, "|", 3)
		switch {
		case strings.Contains(f[1], " "):
			return fault.WithHint(fault.Inputf("the range %s holds a merge, which is no patch: %s", s.Text, f[2]), "rebase it into a line of commits")
		case f[0] == tree:
			return fault.Inputf("the range %s holds a commit that changes nothing, which is no patch: %s", s.Text, f[2])
		}
		tree = f[0]
	}
	return nil
}

func (s Span) commit(ctx context.Context, rev string) (string, error) {
	c, err := s.ask(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err != nil && ctx.Err() == nil {
		return "", fault.Inputf("the range %s: %s has no revision %q", s.Text, s.Tree, rev)
	}
	return c, err
}

// ask runs git in the user's tree, with the user's own configuration, which may
// say whom git trusts.
func (s Span) ask(ctx context.Context, args ...string) (string, error) {
	r, err := proc.Run(ctx, proc.Cmd{Argv: append([]string{"git", "-C", s.Tree}, args...), Env: []string{"GIT_OPTIONAL_LOCKS=0"}})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(r.Stdout)), nil
}

// Place returns the commit of the user's tree on which the series and ranges
// were made, or "" if none says. It is an input error if they name several, or
// one that the tree lacks.
func Place(ctx context.Context, tree string, list []Series, spans []Span) (string, error) {
	commit, by := "", ""
	add := func(c, who string) error {
		if commit != "" && c != commit {
			return fault.WithHint(fault.Inputf("%s was made on commit %.12s, %s on %.12s", by, commit, who, c), "say which it shall be: --tree %s@REV", tree)
		}
		commit, by = c, who
		return nil
	}
	for _, s := range spans {
		if err := add(s.base, "the range "+s.Text); err != nil {
			return "", err
		}
	}
	for _, s := range list {
		if s.BaseCommit == "" {
			continue
		}
		c, err := Span{Tree: tree}.ask(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", s.BaseCommit+"^{commit}")
		if err != nil {
			if ctx.Err() != nil {
				return "", err
			}
			return "", fault.WithHint(fault.Inputf("%s was made on commit %s, which %s does not have", s.Name, s.BaseCommit, tree),
				"fetch it, or say what to apply the series on: --tree %s@REV", tree)
		}
		if err := add(c, s.Name); err != nil {
			return "", err
		}
	}
	return commit, nil
}
