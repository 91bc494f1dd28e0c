// SPDX-License-Identifier: GPL-2.0-or-later

package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/proc"
	"packtest/kernel/git"
)

// TreeFolder returns the folder of the base "tree:"+rest. That there is none is
// better known before anything else is looked at.
func TreeFolder(rest string) (string, error) {
	path, _, _ := strings.Cut(rest, "@")
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fault.Inputf("base tree:%s: %w", rest, err)
	}
	if st, err := os.Stat(abs); err != nil || !st.IsDir() {
		return "", fault.Inputf("base tree:%s: there is no folder %s", rest, abs)
	}
	return abs, nil
}

// resolveTree borrows the objects of a git tree of the user's own. Nothing is
// written to it; what is not committed there is not seen.
func resolveTree(ctx context.Context, c *cache.Cache, rest string) (*Base, error) {
	abs, err := TreeFolder(rest)
	if err != nil {
		return nil, err
	}
	_, rev, _ := strings.Cut(rest, "@")
	if rev == "" {
		rev = "HEAD"
	}
	// The user's own configuration applies here: it may say whom git trusts.
	ask := func(args ...string) (string, error) {
		r, err := proc.Run(ctx, proc.Cmd{Argv: append([]string{"git", "-C", abs}, args...), Env: []string{"GIT_OPTIONAL_LOCKS=0"}})
		if err != nil {
			return "", err
		}
		return strings.TrimSpace(string(r.Stdout)), nil
	}
	common, err := ask("rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return nil, fault.Inputf("base tree:%s: %s is no git tree that can be read: %w", rest, abs, err)
	}
	commit, err := ask("rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fault.WithHint(fault.Inputf("base tree:%s: %s has no revision %q", rest, abs, rev), "git -C %s log --oneline --all lists what it has", abs)
	}
	name := fmt.Sprintf("tree-%s-%s", fileName(filepath.Base(abs)), cache.Key(abs)[:12])
	repo, err := openRepo(ctx, c, name, filepath.Join(common, "objects"))
	if err != nil {
		return nil, err
	}
	g := git.Repo{Dir: repo}
	makefile, err := g.Run(ctx, "show", commit+":Makefile")
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fault.Inputf("base tree:%s: commit %.12s holds no kernel tree (no Makefile)", rest, commit)
	}
	version, ok := kernelVersion(makefile)
	if !ok {
		return nil, fault.Inputf("base tree:%s: commit %.12s holds no kernel tree (its Makefile has no VERSION)", rest, commit)
	}
	return &Base{Name: name, Version: version, Hash: commit, Commit: commit, Repo: repo}, nil
}

// kernelVersion reads the version out of a kernel's top Makefile.
func kernelVersion(makefile string) (string, bool) {
	v := map[string]string{}
	for i, line := range strings.Split(makefile, "\n") {
		if i > 20 {
			break
		}
		if k, val, ok := strings.Cut(line, "="); ok {
			v[strings.TrimSpace(k)] = strings.TrimSpace(val)
		}
	}
	if v["VERSION"] == "" || v["PATCHLEVEL"] == "" {
		return "", false
	}
	s := v["VERSION"] + "." + v["PATCHLEVEL"]
	if v["SUBLEVEL"] != "" {
		s += "." + v["SUBLEVEL"]
	}
	return s + v["EXTRAVERSION"], true
}
