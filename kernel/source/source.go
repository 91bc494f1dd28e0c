// SPDX-License-Identifier: GPL-2.0-or-later

// Package source takes a user's word for a kernel to a git tree in the cache:
// it finds or downloads Debian's source packages, unpacks tarballs once, borrows
// the user's own git trees without touching them, and keeps one set of files per
// base for builds, whose times say exactly what has changed. It leaves patches to
// kernel/series and compilers to kernel/build.
package source

import (
	"context"
	"path/filepath"
	"strings"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/kernel/git"
)

// Base is a kernel source tree, ready to be patched and checked out.
type Base struct {
	// Spec is what the user asked for.
	Spec string
	// Name names the base in the cache and in reports; it is a file name.
	Name string
	// Version is the Debian package's version, or the tree's own.
	Version string
	// Hash is the tarball's SHA-256, or the commit of a user's tree.
	Hash string
	// Commit is the tree as it is, before any patch.
	Commit string
	// Repo is the git folder with the commit; more commits may be added.
	Repo string

	cache *cache.Cache
}

// Git returns the base's repository.
func (b *Base) Git() git.Repo { return git.Repo{Dir: b.Repo} }

// Resolve finds the base that spec names and unpacks it if that has not been
// done. spec is "debian:PACKAGE" (installed in /usr/src), "debian:SUITE/PACKAGE"
// (downloaded, the system's apt lists stay as they are), the path of a tarball,
// or "tree:PATH[@REV]". say gets one line for whatever takes long or was mended.
func Resolve(ctx context.Context, c *cache.Cache, spec string, say func(string)) (*Base, error) {
	if say == nil {
		say = func(string) {}
	}
	var b *Base
	var err error
	kind, rest, _ := strings.Cut(spec, ":")
	switch suite, pkg, hasSuite := strings.Cut(rest, "/"); {
	case spec == "":
		return nil, fault.Inputf("no base is named")
	case kind == "tree":
		b, err = resolveTree(ctx, c, rest)
	case kind == "debian" && hasSuite:
		b, err = resolveSuite(ctx, c, suite, pkg, say)
	case kind == "debian":
		b, err = resolveInstalled(ctx, c, rest, "/usr/src", say)
	default:
		b, err = resolveTarball(ctx, c, spec, say)
	}
	if err != nil {
		return nil, err
	}
	b.Spec = spec
	b.cache = c
	return b, nil
}

// dir returns the base's folder in the cache.
func (b *Base) dir() (string, error) { return b.cache.Tree("source/" + b.Name) }

// LockName names the lock that keeps two builds from using the base's files,
// or changing its repository, at once.
func (b *Base) LockName() string { return "trees/source/" + b.Name }

// openRepo makes the base's repository, reading the objects of another one.
func openRepo(ctx context.Context, c *cache.Cache, name, objects string) (string, error) {
	unlock, err := c.Lock(ctx, "trees/source/"+name+".repo", nil)
	if err != nil {
		return "", err
	}
	defer unlock()
	dir, err := c.Tree("source/" + name)
	if err != nil {
		return "", err
	}
	repo := git.Repo{Dir: filepath.Join(dir, "git")}
	return repo.Dir, repo.Init(ctx, objects)
}

// fileName makes s fit for a file name.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(".+-~", r):
			return r
		}
		return '_'
	}, s)
}
