// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"packtest/internal/cache"
	"packtest/internal/proc"
	"packtest/kernel/kconfig"
)

// builder is one build at work.
type builder struct {
	arch        arch
	cell        Cell
	tree        *buildTree
	opts        Options
	started     time.Time
	toolchain   string
	source      string   // the folder of source files
	changed     []string // the files in it that the build tree hasn't seen
	effective   kconfig.Effective
	count       counter
	incremental bool
	// inspect turns warnings on, and journal hears them; nil otherwise.
	inspect *inspector
	journal *journal
}

// makeArgs is the one place that says how kernels are built. Everything that
// would differ from day to day or from machine to machine is fixed.
func (b *builder) makeArgs(args ...string) []string {
	if !asks(b.cell.Fragments, "DEBUG_INFO_BTF") {
		// Its version gets into .config, and so into the image, where it is not
		// used and no part of the key.
		args = append([]string{"PAHOLE=not-used"}, args...)
	}
	return append([]string{
		"make", "-C", b.source, "O=" + b.tree.dir, "ARCH=" + b.arch.srcArch, "CROSS_COMPILE=" + b.arch.prefix,
		"KBUILD_BUILD_TIMESTAMP=Sun Jan  1 00:00:00 UTC 2006", "KBUILD_BUILD_USER=packtest",
		"KBUILD_BUILD_HOST=packtest", "KBUILD_BUILD_VERSION=1",
		"LOCALVERSION=", // or a "+" would say that this is no release
	}, args...)
}

// run checks out, configures and compiles.
func (b *builder) run(ctx context.Context, config string) error {
	if err := b.distrust(ctx); err != nil {
		return err
	}
	b.incremental = len(b.tree.Commits) > 0
	resumed := b.tree.Unfinished
	b.opts.Progress(Progress{ETA: -1, What: "source"})
	var err error
	if b.source, b.changed, err = b.cell.Base.Checkout(ctx, b.cell.Commit, b.tree.Commits...); err != nil {
		return err
	}
	// make finds out the real path, and so do the compilers' messages.
	if b.source, err = filepath.EvalSymlinks(b.source); err != nil {
		return fmt.Errorf("build %s: %w", b.cell.name(), err)
	}
	// From here on it is the build that is timed, not the copying of files.
	b.started = time.Now()
	if err := b.tree.begin(b.cell.Commit, b.toolchain); err != nil {
		return err
	}
	if b.journal != nil {
		if err := b.journal.begin(b.tree.dir, b.source); err != nil {
			return err
		}
	}
	b.opts.Progress(Progress{ETA: -1, What: "configuration"})
	reconfigured, err := b.configure(ctx, config)
	if err != nil {
		return err
	}
	b.count = counter{now: time.Now, report: b.opts.Progress}
	dependents := 0
	if b.incremental && !resumed && !reconfigured {
		if dependents, err = b.tree.dependents(b.source, b.changed); err != nil {
			return err
		}
		b.count.begin(dependents)
	} else {
		// The dry run needs the tools that are built first.
		if err := b.make(ctx, "prepare"); err != nil {
			return err
		}
		b.count.begin(b.dryRun(ctx))
	}
	if err := b.make(ctx, b.targets()...); err != nil {
		return err
	}
	if dependents > 0 && b.count.done == 0 {
		// Whatever kept make from it, this is the kernel that was there before.
		if err := b.restart(fmt.Sprintf("make compiled none of %d objects whose source has changed", dependents)); err != nil {
			return err
		}
		return b.run(ctx, config)
	}
	return b.tree.end(b.cell.Commit)
}

// distrust empties a build tree in which make would not know what to do: one of
// commits that are gone (git has collected what their owner left), one with files
// from the future, beside which whatever changed looks old, and one whose objects
// other tools made: make sees that of the compiler, not of the assembler.
func (b *builder) distrust(ctx context.Context) error {
	gone := slices.ContainsFunc(b.tree.Commits, func(commit string) bool { return !b.cell.Base.Git().Has(ctx, commit) })
	if err := ctx.Err(); err != nil {
		return err
	}
	last, err := b.tree.newest()
	if err != nil {
		return err
	}
	var why string
	switch {
	case gone:
		why = "what was built before is no longer in git"
	case b.tree.Toolchain != "" && b.tree.Toolchain != b.toolchain:
		why = "what was built before was built by " + b.tree.Toolchain
	case !last.Before(time.Now()):
		why = "the machine's clock was put back since the last build"
	default:
		return nil
	}
	return b.restart(why)
}

// restart empties the build tree.
func (b *builder) restart(why string) error {
	b.opts.Say(fmt.Sprintf("%s: %s: everything is compiled anew", b.cell.name(), why))
	if b.journal != nil && b.journal.out != nil {
		b.journal.stop()
	}
	if err := b.tree.empty(); err != nil {
		return err
	}
	return b.listen()
}

// make runs make and counts objects. What the compiler finds is a *CompileError.
func (b *builder) make(ctx context.Context, targets ...string) error {
	if b.journal != nil {
		return b.makeHeard(ctx, targets)
	}
	args := append(b.makeArgs("-j"+strconv.Itoa(b.opts.Jobs)), targets...)
	_, err := proc.Run(ctx, proc.Cmd{Argv: args, Line: b.count.line, Orphaned: syscall.SIGTERM})
	var exit *proc.ExitError
	switch {
	case errors.As(err, &exit):
		return b.makeError(exit, string(exit.Result.Stderr), string(exit.Result.Stderr))
	case err != nil:
		return fmt.Errorf("build %s: %w", b.cell.name(), err)
	}
	return nil
}

// targets are what is made: the image, and modules if the configuration has any.
func (b *builder) targets() []string {
	if b.hasModules() {
		return []string{"bzImage", "modules"}
	}
	return []string{"bzImage"}
}

func (b *builder) hasModules() bool { return b.effective.Value("TEST_BPF") == "m" }

// bootsELF tells whether QEMU can enter vmlinux itself. With KASAN it can't: the
// first code at that entry is instrumented, and looks for a shadow that is not
// mapped yet. The entry of bzImage's decompressor comes after that.
func (b *builder) bootsELF() bool { return b.arch.bootsELF && b.effective.Value("KASAN") != "y" }

// configure runs Kconfig, unless .config is what it would make, and checks that
// it took every setting. done says whether it ran.
func (b *builder) configure(ctx context.Context, config string) (done bool, err error) {
	key := cache.Key(config, b.toolchain)
	file := filepath.Join(b.tree.dir, ".config")
	sum, err := cache.FileSum(file)
	if err != nil || b.tree.Configured != key || b.tree.Config != sum || slices.ContainsFunc(b.changed, isKconfig) {
		done = true
		if err := b.runKconfig(ctx, config); err != nil {
			return done, err
		}
		if b.tree.Config, err = cache.FileSum(file); err != nil {
			return done, fmt.Errorf("configure %s: %w", b.cell.name(), err)
		}
		b.tree.Configured = key
		if err := b.tree.save(); err != nil {
			return done, err
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return done, fmt.Errorf("configure %s: %w", b.cell.name(), err)
	}
	b.effective = kconfig.ParseEffective(string(text))
	if kconfig.Check(b.cell.Fragments, b.effective, nil) == nil {
		return done, nil
	}
	// Reading the Kconfig files takes a moment, so only to explain.
	symbols, err := kconfig.ReadSymbols(os.DirFS(b.source), b.arch.srcArch)
	if err != nil {
		return done, err
	}
	return done, fmt.Errorf("configure %s: %w", b.cell.name(), kconfig.Check(b.cell.Fragments, b.effective, symbols))
}

// isKconfig tells the files that decide what options there are.
func isKconfig(file string) bool {
	return strings.HasPrefix(filepath.Base(file), "Kconfig") || strings.HasPrefix(file, "scripts/")
}

func (b *builder) runKconfig(ctx context.Context, config string) error {
	requested := filepath.Join(b.tree.dir, ".packtest.config")
	if err := cache.WriteFile(requested, []byte(config), 0o644); err != nil {
		return err
	}
	if _, err := proc.Run(ctx, proc.Cmd{Argv: b.makeArgs("--silent", "KCONFIG_ALLCONFIG="+requested, "allnoconfig")}); err != nil {
		return fmt.Errorf("configure %s: %w", b.cell.name(), err)
	}
	return nil
}

// dryRun asks make what it would do and counts the objects, 0 if it can't be
// told. In an empty tree make stops before the last steps, some 30 objects
// short; the counter corrects itself there.
func (b *builder) dryRun(ctx context.Context) int {
	total := 0
	args := append(b.makeArgs(b.inspect.flags()...), "--dry-run", "-j"+strconv.Itoa(b.opts.Jobs))
	_, _ = proc.Run(ctx, proc.Cmd{
		Argv:   append(args, b.targets()...),
		Stdout: lineFunc(func(line string) { total += len(dryObject.FindAllString(line, -1)) }),
	})
	return total
}

// lineFunc is a writer that hands on whole lines and keeps none.
func lineFunc(f func(string)) *lineSplitter { return &lineSplitter{f: f} }

type lineSplitter struct {
	f    func(string)
	rest strings.Builder
}

func (l *lineSplitter) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		l.rest.WriteString(line)
		if strings.HasSuffix(line, "\n") {
			l.f(strings.TrimSuffix(l.rest.String(), "\n"))
			l.rest.Reset()
		}
	}
	return len(p), nil
}
