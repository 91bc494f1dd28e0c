// SPDX-License-Identifier: GPL-2.0-or-later

// Package build makes bootable kernels: it configures and compiles a commit for
// an architecture, out of tree and reproducibly, keeps every kernel under a key
// made of all that goes into it, and compiles only what a patch touches when
// another variant was built before. Getting the source is kernel/source's part,
// patching it kernel/series', and booting it nobody's here.
package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/kernel/kconfig"
	"packtest/kernel/series"
	"packtest/kernel/source"
)

// Cell is one kernel to build.
type Cell struct {
	// Arch is "x86_64" or "s390x".
	Arch string
	// Variant is only used in messages.
	Variant string
	// Config names the set of fragments; kernels that share it, the
	// architecture and the base also share a build tree.
	Config string
	Base   *source.Base
	// Commit is in the base's repository: the base with Stack applied.
	Commit string
	// Stack is what was applied, to say which patch a compiler error came with.
	Stack     []series.Series
	Fragments []kconfig.Fragment
}

// Kernel is a finished kernel; its files lie in the cache and must not change.
type Kernel struct {
	Arch, Variant, Config string
	// Image is the bzImage, and SHA256 its sum.
	Image, SHA256 string
	// Boot is what QEMU is given to boot: on x86_64 an ELF file for PVH, which
	// needs no decompressing, elsewhere the same as Image.
	Boot string
	// SystemMap and ConfigFile are the symbol table and the effective .config.
	SystemMap, ConfigFile string
	// Modules are the modules' files: test_bpf.ko. ModulesSHA256 is its sum, "" if
	// there are none.
	Modules       []string
	ModulesSHA256 string
	// Objects is how many kernel objects were compiled to make it, and Seconds
	// how long that took, both by the build that did it.
	Objects int
	Seconds float64
	// Incremental says that the build tree had another variant in it before,
	// so that Objects is not all there is.
	Incremental bool
	// Cached says that nothing was built this time.
	Cached bool
	// Toolchain names compiler and linker with their versions.
	Toolchain string
	// Key is the kernel's key in the cache.
	Key string
}

// Progress says how far a build has come. Total is 0 and ETA negative as long
// as they are not known.
type Progress struct {
	Done, Total int
	ETA         time.Duration
	// What is the object being compiled, or the step.
	What string
}

// Options are how to build, as opposed to what.
type Options struct {
	// Jobs is how many compilers run at once; 0 is one.
	Jobs int
	// Progress is called for every object, from one goroutine at a time.
	Progress func(Progress)
	// Say gets one line for whatever takes long or was mended.
	Say func(string)
}

const entryKind = "kernel"

// recipe is part of every key: raise it when the same input would be built
// into something else.
const recipe = "1"

// meta is what kernel.json in an entry holds.
type meta struct {
	Objects     int     `json:"objects"`
	Seconds     float64 `json:"seconds"`
	Incremental bool    `json:"incremental"`
	Toolchain   string  `json:"toolchain"`
}

// Build returns the cell's kernel, from the cache or by building it. The error
// is a *ToolError, *kconfig.UnmetError, *CompileError or *source.SpaceError
// where it is one of these, and the context's when it was ended; the build tree
// stays usable whatever happened.
func Build(ctx context.Context, c *cache.Cache, cell Cell, o Options) (*Kernel, error) {
	k, _, err := build(ctx, c, cell, o, nil)
	return k, err
}

// build makes the kernel, and with an inspector it looks at it as well.
func build(ctx context.Context, c *cache.Cache, cell Cell, o Options, inspect *inspector) (*Kernel, *Inspection, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Jobs < 1 {
		o.Jobs = 1
	}
	m, err := cell.made(ctx)
	if err != nil {
		return nil, nil, err
	}
	key := m.key
	k, seen, err := load(c, cell, key, inspect)
	if err == nil {
		return k, seen, nil
	}
	if !isMissing(err, o.Say) {
		return nil, nil, err
	}
	// One lock for the source files and every build tree made from them.
	unlock, err := c.Lock(ctx, cell.Base.LockName(), func(holder string) {
		o.Say(fmt.Sprintf("%s: waiting for %s, which is building from %s", cell.name(), holder, cell.Base.Name))
	})
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if k, seen, err := load(c, cell, key, inspect); err == nil {
		return k, seen, nil // whoever we waited for has built it
	} else if !isMissing(err, o.Say) {
		return nil, nil, err
	}
	t, err := openTree(c, cell, inspect.suffix())
	if err != nil {
		return nil, nil, err
	}
	b := &builder{arch: m.arch, toolchain: m.toolchain, cell: cell, tree: t, opts: o, started: time.Now(), inspect: inspect}
	if err := b.listen(); err != nil {
		return nil, nil, err
	}
	if err := b.heard(ctx, b.run(ctx, m.config)); err != nil {
		return nil, nil, source.NoSpace(err, t.dir)
	}
	about := meta{Objects: b.count.done, Seconds: time.Since(b.started).Seconds(), Incremental: b.incremental, Toolchain: m.toolchain}
	if _, err := c.Put(entryKind, key, func(dir string) error { return b.collect(ctx, dir, about) }); err != nil {
		return nil, nil, source.NoSpace(fmt.Errorf("keep %s: %w", cell.name(), err), c.Root())
	}
	if err := b.keepInspection(c, key, about); err != nil {
		return nil, nil, source.NoSpace(err, c.Root())
	}
	k, seen, err = load(c, cell, key, inspect)
	if err != nil {
		return nil, nil, err
	}
	k.Cached = false
	// The kernel may have been there, built without warnings.
	if sum, err := cache.FileSum(b.image()); err == nil && sum != k.SHA256 {
		o.Say(fmt.Sprintf("%s: another image was built before from the same input: it does not build reproducibly", cell.name()))
	}
	return k, seen, nil
}

// image is where make leaves the kernel.
func (b *builder) image() string {
	return filepath.Join(b.tree.dir, "arch", b.arch.srcArch, "boot/bzImage")
}

// making is what a kernel is made by and of.
type making struct {
	arch              arch
	toolchain, config string
	key               string // in the cache
}

// made tells what the cell's kernel would be made by and of.
func (c Cell) made(ctx context.Context) (m making, err error) {
	if m.arch, err = archOf(c.Arch); err != nil {
		return m, err
	}
	if m.toolchain, err = m.arch.toolchain(ctx, asks(c.Fragments, "DEBUG_INFO_BTF")); err != nil {
		return m, err
	}
	if m.config, err = kconfig.Merge(c.Fragments); err != nil {
		return m, err
	}
	// The tree, not the commit: a changelog doesn't change the kernel.
	tree, err := c.Base.Git().Run(ctx, "rev-parse", "--verify", c.Commit+"^{tree}")
	if err != nil {
		return m, fmt.Errorf("build %s: %w", c.name(), err)
	}
	m.key = cache.Key(recipe, c.Arch, tree, m.config, m.toolchain)
	return m, nil
}

// Exists tells whether the cell's kernel is in the cache, so that Build would
// build nothing.
func Exists(ctx context.Context, c *cache.Cache, cell Cell) (bool, error) {
	m, err := cell.made(ctx)
	if err != nil {
		return false, err
	}
	_, err = loadKernel(c, cell, m.key)
	return err == nil, nil
}

// asks tells whether any fragment wants an option to be y.
func asks(fragments []kconfig.Fragment, option string) bool {
	for _, f := range fragments {
		for _, s := range f.Settings {
			if s.Name == option && s.Value == "y" {
				return true
			}
		}
	}
	return false
}

func (c Cell) name() string {
	return fmt.Sprintf("%s/%s/%s", c.Variant, c.Arch, c.Config)
}

func isMissing(err error, say func(string)) bool {
	var corrupt *cache.CorruptError
	if errors.As(err, &corrupt) {
		say(fmt.Sprintf("%v; building it again", corrupt))
		return true
	}
	return errors.Is(err, cache.ErrMiss)
}

// Files of an entry.
const (
	imageFile  = "bzImage"
	bootFile   = "vmlinux"
	mapFile    = "System.map"
	configFile = "config"
	moduleFile = "test_bpf.ko"
	metaFile   = "kernel.json"
)

// load returns a finished kernel, and what an inspector saw of it.
func load(c *cache.Cache, cell Cell, key string, inspect *inspector) (*Kernel, *Inspection, error) {
	k, err := loadKernel(c, cell, key)
	if err != nil || inspect == nil {
		return k, nil, err
	}
	seen, err := inspect.load(c, key)
	if err != nil {
		return nil, nil, err
	}
	k.Objects, k.Seconds, k.Incremental = seen.Made.Objects, seen.Made.Seconds, seen.Made.Incremental
	return k, seen, nil
}

func loadKernel(c *cache.Cache, cell Cell, key string) (*Kernel, error) {
	e, err := c.Get(entryKind, key)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(e.Path(metaFile))
	if err != nil {
		return nil, fmt.Errorf("read the kernel in the cache: %w", err)
	}
	var m meta
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Path(metaFile), err)
	}
	k := &Kernel{
		Arch: cell.Arch, Variant: cell.Variant, Config: cell.Config,
		Image: e.Path(imageFile), SHA256: e.Sums[imageFile], Boot: e.Path(imageFile),
		SystemMap: e.Path(mapFile), ConfigFile: e.Path(configFile),
		Objects: m.Objects, Seconds: m.Seconds, Incremental: m.Incremental,
		Cached: true, Toolchain: m.Toolchain, Key: key,
	}
	if _, ok := e.Sums[bootFile]; ok {
		k.Boot = e.Path(bootFile)
	}
	if _, ok := e.Sums[moduleFile]; ok {
		k.Modules, k.ModulesSHA256 = []string{e.Path(moduleFile)}, e.Sums[moduleFile]
	}
	return k, nil
}

// collect copies what the build made into an entry's folder.
func (b *builder) collect(ctx context.Context, dir string, m meta) error {
	files := map[string]string{
		b.image():                               imageFile,
		filepath.Join(b.tree.dir, "System.map"): mapFile,
		filepath.Join(b.tree.dir, ".config"):    configFile,
	}
	for from, to := range files {
		if err := copyFile(from, filepath.Join(dir, to)); err != nil {
			return err
		}
	}
	strip := func(from, to string, how string) error {
		_, err := b.arch.binutil(ctx, "strip", how, "-o", filepath.Join(dir, to), filepath.Join(b.tree.dir, from))
		return err
	}
	if b.bootsELF() {
		if err := strip("vmlinux", bootFile, "--strip-all"); err != nil {
			return err
		}
	}
	if b.hasModules() {
		if err := strip("lib/test_bpf.ko", moduleFile, "--strip-debug"); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return cache.WriteFile(filepath.Join(dir, metaFile), append(text, '\n'), 0o644)
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("the build left no %s: %w", filepath.Base(from), err)
	}
	return cache.WriteFile(to, b, 0o644)
}

// Same tells whether both are the same kernel, byte for byte, with its modules.
func (k *Kernel) Same(other *Kernel) bool {
	return k.SHA256 == other.SHA256 && k.ModulesSHA256 == other.ModulesSHA256
}

// EffectiveConfig returns the text of the kernel's .config.
func (k *Kernel) EffectiveConfig() (string, error) {
	b, err := os.ReadFile(k.ConfigFile)
	if err != nil {
		return "", fmt.Errorf("read the kernel's configuration: %w", err)
	}
	return string(b), nil
}

// Architectures returns the architectures that Build knows.
func Architectures() []string { return []string{"x86_64", "s390x"} }

func archOf(name string) (arch, error) {
	for _, a := range architectures() {
		if a.name == name {
			return a, nil
		}
	}
	return arch{}, fault.Inputf("unknown architecture %q (x86_64 or s390x)", name)
}
