// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/mkuimage/cpio"
	"github.com/u-root/mkuimage/uimage"
	"github.com/u-root/uio/llog"

	"packtest/internal/cache"
)

// shellPackages are the commands of the shell flavour: u-root's, and our own
// where u-root's would bring along more than it does.
func shellPackages() []string {
	var pkgs []string
	for _, c := range strings.Fields(`
		basename cat chmod cp date df dirname dmesg du echo false find
		free gosh grep head hexdump hostname kill ln ls lsmod mkdir mknod more
		mount mv poweroff printenv ps pwd rm seq sleep sort strings stty sync
		tail tee time timeout touch tr true tty umount uname uniq uptime wc
		which xargs`) {
		pkgs = append(pkgs, "github.com/u-root/u-root/cmds/core/"+c)
	}
	return append(pkgs, "packtest/initramfs/cmds/insmod")
}

// bakeShell compiles the shell's commands into one u-root busybox and writes it
// with its links as an archive, unless that was done with the same key.
func bakeShell(goarch, dir, key string, stderr io.Writer) error {
	path := filepath.Join(dir, "shell.cpio")
	keyPath := path + ".key"
	if old, err := os.ReadFile(keyPath); err == nil && string(old) == key {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	fmt.Fprintf(stderr, "bake: compiling the shell's commands for %s\n", goarch)
	tmp, remove, err := cache.TempDir("", "bake")
	if err != nil {
		return err
	}
	defer remove()
	empty, err := cpio.ArchiveFromRecords(nil)
	if err != nil {
		return err
	}
	var said strings.Builder
	out := filepath.Join(tmp, "shell.cpio")
	err = uimage.Create(
		llog.New(slog.LevelInfo, func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }),
		// goshsmall: the terminal's own line editing. The other line editors
		// ask the terminal questions, which a pipe never answers.
		uimage.WithReplaceEnv(golang.Default(golang.DisableCGO(), golang.WithGOOS("linux"),
			golang.WithGOARCH(goarch), golang.WithBuildTag("goshsmall"))),
		uimage.WithBusyboxCommands(shellPackages()...),
		uimage.WithShell("gosh"),
		uimage.WithBaseArchive(empty),
		uimage.WithSkipLDD(),
		uimage.WithTempDir(tmp),
		uimage.WithCPIOOutput(out),
	)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(said.String()))
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	if err := writeIfChanged(path, b, stderr); err != nil {
		return err
	}
	return cache.WriteFile(keyPath, []byte(key), 0o644)
}

// shellKey changes with everything that the shell archive is made of: bake's
// own executable stands for the list of commands, the way they are built and
// the Go release, go.sum for every library.
func shellKey() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	own, err := filepath.Glob("initramfs/cmds/*/*.go")
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, p := range append([]string{exe, "go.mod", "go.sum"}, own...) {
		sum, err := cache.FileSum(p)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s\n", sum)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
