// SPDX-License-Identifier: GPL-2.0-or-later

package source

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/proc"
	"packtest/kernel/git"
)

// entryKind is where unpacked tarballs are kept: one pack file and base.json,
// under the tarball's SHA-256. Repositories only borrow its objects.
const entryKind = "source"

// imported is what base.json holds.
type imported struct {
	Commit  string `json:"commit"`
	Version string `json:"version"` // of the kernel, from its Makefile
}

// resolveTarball takes a tarball by its path.
func resolveTarball(ctx context.Context, c *cache.Cache, path string, say func(string)) (*Base, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Inputf("base %s: %w", path, err)
	}
	stem := filepath.Base(abs)
	for _, ext := range []string{".gz", ".xz", ".tgz", ".tar"} {
		stem = strings.TrimSuffix(stem, ext)
	}
	return fromTarball(ctx, c, abs, stem, "", say)
}

// fromTarball unpacks a tarball into the cache unless it is there. A version
// of "" is read from the tree.
func fromTarball(ctx context.Context, c *cache.Cache, path, stem, version string, say func(string)) (*Base, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fault.WithHint(fault.Inputf("read the kernel source: %w", err), `a base is a tarball's path, "debian:PACKAGE", "debian:SUITE/PACKAGE" or "tree:PATH[@REV]"`)
	}
	if st.IsDir() {
		return nil, fault.WithHint(fault.Inputf("base %s is a folder, not a tarball", path), "for a git tree write tree:%s", path)
	}
	if st.Size() == 0 {
		return nil, fault.Inputf("base %s is empty", path)
	}
	hash, err := cache.FileSum(path)
	if err != nil {
		return nil, fault.Inputf("read the kernel source: %w", err)
	}
	unlock, err := c.Lock(ctx, "entries/source/"+hash, func(holder string) {
		say(fmt.Sprintf("waiting for %s, which is unpacking %s", holder, path))
	})
	if err != nil {
		return nil, err
	}
	defer unlock()
	entry, err := c.Get(entryKind, hash)
	var corrupt *cache.CorruptError
	switch {
	case errors.As(err, &corrupt):
		say(fmt.Sprintf("%v; unpacking %s again", corrupt, path))
	case errors.Is(err, cache.ErrMiss):
		say(fmt.Sprintf("unpacking %s (once, a minute or so)", path))
	case err != nil:
		return nil, err
	}
	if err != nil {
		entry, err = c.Put(entryKind, hash, func(dir string) error { return importTarball(ctx, path, dir) })
		if err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(entry.Path("base.json"))
	if err != nil {
		return nil, fmt.Errorf("read the unpacked source: %w", err)
	}
	var meta imported
	if err := json.Unmarshal(text, &meta); err != nil {
		return nil, fmt.Errorf("read the unpacked source %s: %w", entry.Path("base.json"), err)
	}
	if version == "" {
		version = meta.Version
	}
	name := fmt.Sprintf("%s-%s-%s", fileName(stem), fileName(version), hash[:8])
	repo, err := openRepo(ctx, c, name, entry.Path("objects"))
	if err != nil {
		return nil, err
	}
	return &Base{Name: name, Version: version, Hash: hash, Commit: meta.Commit, Repo: repo}, nil
}

// importTarball turns a tarball into objects/pack and base.json in dir.
func importTarball(ctx context.Context, path, dir string) error {
	repo := git.Repo{Dir: filepath.Join(dir, "import.git")}
	if err := repo.Init(ctx, ""); err != nil {
		return err
	}
	if err := NeedSpace(dir, packSpace); err != nil {
		return err
	}
	marks := filepath.Join(dir, "marks")
	// The archive is decoded and handed to git as it comes; nothing but git's
	// pack is written.
	stream, feed := io.Pipe()
	var makefile string
	var feedErr error
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		feedErr = withTar(ctx, path, func(r io.Reader) (err error) {
			makefile, err = feedTree(bufio.NewWriterSize(feed, 1<<20), r, path)
			return err
		})
		feed.CloseWithError(feedErr) // nil is io.EOF
	}()
	c := repo.Cmd("-c", "pack.compression=1", "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--done", "--depth=0", "--export-marks="+marks)
	c.Stdin = stream
	_, gitErr := proc.Run(ctx, c)
	stream.CloseWithError(errGitEnded)
	<-fed
	if ctx.Err() != nil {
		return fmt.Errorf("unpack %s: %w", path, context.Cause(ctx))
	}
	if feedErr != nil && !errors.Is(feedErr, errGitEnded) {
		return feedErr
	}
	if gitErr != nil {
		return NoSpace(fmt.Errorf("unpack %s: %w", path, gitErr), dir)
	}
	version, ok := kernelVersion(makefile)
	if !ok {
		return fault.Inputf("base %s holds no kernel tree (no Makefile with a VERSION at its top)", path)
	}
	mark, err := os.ReadFile(marks)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", path, err)
	}
	_, commit, _ := strings.Cut(strings.TrimSpace(string(mark)), " ")
	meta, err := json.Marshal(imported{Commit: commit, Version: version})
	if err != nil {
		return err
	}
	if err := cache.WriteFile(filepath.Join(dir, "base.json"), append(meta, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(repo.Dir, "objects"), filepath.Join(dir, "objects")); err != nil {
		return fmt.Errorf("unpack %s: %w", path, err)
	}
	if err := os.RemoveAll(repo.Dir); err != nil {
		return fmt.Errorf("unpack %s: %w", path, err)
	}
	return os.Remove(marks)
}

// errGitEnded is what the archive's reader sees when git has gone; git's own
// error says why.
var errGitEnded = errors.New("git fast-import ended early")

// withTar calls f with the uncompressed tar archive at path, and reads what f
// leaves: checksums stand at the end.
func withTar(ctx context.Context, path string, f func(io.Reader) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fault.Inputf("read the kernel source: %w", err)
	}
	defer file.Close()
	whole := func(r io.Reader) error {
		if err := f(r); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return readError(path, err)
		}
		return nil
	}
	head := make([]byte, 6)
	n, _ := io.ReadFull(file, head)
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	switch magic := string(head[:n]); {
	case strings.HasPrefix(magic, "\x1f\x8b"):
		z, err := gzip.NewReader(bufio.NewReaderSize(file, 1<<20))
		if err != nil {
			return damaged(path, err)
		}
		return whole(z)
	case magic == "\xfd7zXZ\x00":
		return withXZ(ctx, path, file, whole)
	}
	return whole(bufio.NewReaderSize(file, 1<<20))
}

// withXZ uses the xz command: several times as fast as decoding in process.
func withXZ(ctx context.Context, path string, file *os.File, f func(io.Reader) error) error {
	r, w := io.Pipe()
	// When f gives up early, xz has to end as well.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := proc.Run(ctx, proc.Cmd{Argv: []string{"xz", "--decompress", "--stdout", "--threads=0"}, Stdin: file, Stdout: w})
		var exit *proc.ExitError
		if errors.As(err, &exit) {
			err = damaged(path, err)
		}
		w.CloseWithError(err)
		ended <- err
	}()
	err := f(r)
	r.Close()
	cancel()
	<-ended
	return err
}

func damaged(path string, err error) error {
	return fault.WithHint(fault.Inputf("base %s is truncated or no tar archive: %w", path, err), "get the file again and compare its checksum")
}
