// SPDX-License-Identifier: GPL-2.0-or-later

package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/proc"
)

var (
	packageName = regexp.MustCompile(`^linux-source-[0-9][0-9a-z.+-]*$`)
	suiteName   = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
)

func checkPackage(pkg string) error {
	if !packageName.MatchString(pkg) {
		return fault.WithHint(fault.Inputf("base: %q is no Debian kernel source package", pkg), "they are called linux-source-VERSION: debian:linux-source-6.1, debian:bookworm-backports/linux-source-6.12")
	}
	return nil
}

// resolveInstalled takes the tarball that an installed package left in dir.
func resolveInstalled(ctx context.Context, c *cache.Cache, pkg, dir string, say func(string)) (*Base, error) {
	if err := checkPackage(pkg); err != nil {
		return nil, err
	}
	tarball := filepath.Join(dir, pkg+".tar.xz")
	if _, err := os.Stat(tarball); errors.Is(err, os.ErrNotExist) {
		return nil, fault.WithHint(fault.Harnessf("base debian:%s: the package %s is not installed", pkg, pkg), "as root: apt-get install --no-install-recommends %s", pkg)
	}
	version, err := proc.Output(ctx, "", "dpkg-query", "--show", "--showformat=${Version}", pkg)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		version = "" // put there by hand: the tree's own version will do
	}
	return fromTarball(ctx, c, tarball, pkg, version, say)
}

// listsAge is how long downloaded package lists, and with them a downloaded
// package, are taken to be new.
const listsAge = 24 * time.Hour

// resolveSuite takes a package from a Debian suite, downloaded with an apt
// configuration of its own: the system's lists and sources stay as they are.
func resolveSuite(ctx context.Context, c *cache.Cache, suite, pkg string, say func(string)) (*Base, error) {
	if !suiteName.MatchString(suite) {
		return nil, fault.Inputf("base: %q is no Debian suite", suite)
	}
	if err := checkPackage(pkg); err != nil {
		return nil, err
	}
	unlock, err := c.Lock(ctx, "trees/apt/"+suite, func(holder string) {
		say(fmt.Sprintf("waiting for %s, which is downloading from %s", holder, suite))
	})
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir, err := c.Tree("apt/" + suite)
	if err != nil {
		return nil, err
	}
	a := apt{dir: dir, suite: suite}
	if err := a.configure(ctx); err != nil {
		return nil, err
	}
	tarball, version, have := a.downloaded(pkg)
	if !have || !a.fresh() {
		say(fmt.Sprintf("reading the package lists of %s", suite))
		switch err := a.update(ctx); {
		case err != nil && have && ctx.Err() == nil:
			say(fmt.Sprintf("keeping %s %s as downloaded before: %v", pkg, version, err))
		case err != nil:
			if fault.Of(err) == fault.Input {
				os.RemoveAll(dir) // set up for a suite that does not exist
			}
			return nil, err
		default:
			if tarball, version, err = a.download(ctx, pkg, version, say); err != nil {
				return nil, err
			}
		}
	}
	return fromTarball(ctx, c, tarball, pkg, version, say)
}

// apt is an apt configuration that lives in the cache.
type apt struct{ dir, suite string }

// run runs an apt command in dir. The configuration goes in with -c, which is
// read after the system's and so wins.
func (a apt) run(ctx context.Context, dir, command string, args ...string) (string, error) {
	argv := append([]string{command, "-c", filepath.Join(a.dir, "apt.conf")}, args...)
	r, err := proc.Run(ctx, proc.Cmd{Argv: argv, Dir: dir})
	if err != nil {
		return "", err
	}
	return string(r.Stdout), nil
}

func (a apt) configure(ctx context.Context) error {
	for _, d := range []string{"lists/partial", "archives/partial", "packages"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return fmt.Errorf("set up apt for %s: %w", a.suite, err)
		}
	}
	sources := fmt.Sprintf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", mirror(ctx), a.suite)
	conf := fmt.Sprintf(`Dir::State::Lists "%[1]s/lists";
Dir::Cache "%[1]s";
Dir::Cache::Archives "%[1]s/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::SourceList "%[1]s/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Sandbox::User "root";
APT::Default-Release "";
Acquire::Languages "none";
`, a.dir)
	if err := cache.WriteFile(filepath.Join(a.dir, "sources.list"), []byte(sources), 0o644); err != nil {
		return err
	}
	return cache.WriteFile(filepath.Join(a.dir, "apt.conf"), []byte(conf), 0o644)
}

// mirror returns the Debian mirror that this machine's apt uses.
func mirror(ctx context.Context) string {
	const official = "http://deb.debian.org/debian"
	out, err := proc.Output(ctx, "", "apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)", "Created-By: Packages")
	if err != nil {
		return official
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == "Debian" && f[2] == "Debian" {
			return strings.TrimSuffix(f[0], "/")
		}
	}
	return official
}

func (a apt) stamp() string { return filepath.Join(a.dir, "updated") }

func (a apt) fresh() bool {
	st, err := os.Stat(a.stamp())
	return err == nil && time.Since(st.ModTime()) < listsAge
}

func (a apt) update(ctx context.Context) error {
	if _, err := a.run(ctx, a.dir, "apt-get", "--quiet", "--error-on=any", "update"); err != nil {
		if strings.Contains(err.Error(), "does not have a Release file") {
			return fault.Inputf("base debian:%s/…: Debian has no suite %s: %w", a.suite, a.suite, err)
		}
		return fault.WithHint(NoSpace(fmt.Errorf("read the package lists of %s: %w", a.suite, err), a.dir), "is the network there? a base that needs none: debian:linux-source-6.1")
	}
	return cache.WriteFile(a.stamp(), nil, 0o644)
}

// downloaded returns the newest tarball of pkg that is there.
func (a apt) downloaded(pkg string) (tarball, version string, ok bool) {
	text, err := os.ReadFile(filepath.Join(a.dir, "packages", pkg+".version"))
	if err != nil {
		return "", "", false
	}
	version = strings.TrimSpace(string(text))
	tarball = filepath.Join(a.dir, "packages", fileName(pkg+"_"+version)+".tar.xz")
	_, err = os.Stat(tarball)
	return tarball, version, err == nil
}

// download gets pkg unless version have is what the suite holds, and takes the
// tarball out of it.
func (a apt) download(ctx context.Context, pkg, have string, say func(string)) (tarball, version string, err error) {
	policy, err := a.run(ctx, a.dir, "apt-cache", "show", "--no-all-versions", pkg)
	if err != nil {
		if ctx.Err() != nil {
			return "", "", err
		}
		return "", "", fault.WithHint(fault.Inputf("base debian:%s/%s: the suite has no such package", a.suite, pkg), "packages.debian.org/search?suite=%s&keywords=linux-source lists them", a.suite)
	}
	for line := range strings.Lines(policy) {
		if v, ok := strings.CutPrefix(line, "Version: "); ok {
			version = strings.TrimSpace(v)
		}
	}
	if t, v, ok := a.downloaded(pkg); ok && v == version && v == have {
		return t, v, nil
	}
	say(fmt.Sprintf("downloading %s %s from %s", pkg, version, a.suite))
	// The caller has the lock: this is of downloads that were killed.
	if left, _ := filepath.Glob(filepath.Join(a.dir, "get-*")); len(left) > 0 {
		say("clearing away what a download left that was killed")
		for _, path := range left {
			if err := os.RemoveAll(path); err != nil {
				return "", "", fmt.Errorf("download %s: %w", pkg, err)
			}
		}
	}
	tmp, err := os.MkdirTemp(a.dir, "get-")
	if err != nil {
		return "", "", fmt.Errorf("download %s: %w", pkg, err)
	}
	defer os.RemoveAll(tmp)
	if _, err := a.run(ctx, tmp, "apt-get", "--quiet", "download", pkg+"="+version); err != nil {
		return "", "", NoSpace(fmt.Errorf("download %s: %w", pkg, err), a.dir)
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", "", fmt.Errorf("download %s: apt-get left %d packages", pkg, len(debs))
	}
	if _, err := proc.Run(ctx, proc.Cmd{Argv: []string{"dpkg-deb", "--extract", debs[0], filepath.Join(tmp, "x")}}); err != nil {
		return "", "", NoSpace(fmt.Errorf("unpack %s: %w", pkg, err), a.dir)
	}
	final := filepath.Join(a.dir, "packages", fileName(pkg+"_"+version)+".tar.xz")
	if err := os.Rename(filepath.Join(tmp, "x/usr/src", pkg+".tar.xz"), final); err != nil {
		return "", "", fmt.Errorf("unpack %s: %w", pkg, err)
	}
	return final, version, cache.WriteFile(filepath.Join(a.dir, "packages", pkg+".version"), []byte(version+"\n"), 0o644)
}
