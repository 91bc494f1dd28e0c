// SPDX-License-Identifier: GPL-2.0-or-later

// Package initramfs puts together what a guest starts from: an uncompressed
// newc archive that is the same, byte for byte, whenever its parts are. The
// programs in it were compiled when packtest was (see the command bake); at run
// time nothing is. What the guest then does, and which modules it needs, is the
// callers' business.
//
// The archive is not compressed: a guest without hardware help takes longer to
// unpack a compressed one than QEMU takes to copy the larger one into it.
package initramfs

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"

	"packtest/internal/fault"
)

// Flavour says what an archive holds beside the files it is given.
type Flavour string

const (
	// Measure holds packguest as PID 1 and nothing else: every file more would
	// cost every boot.
	Measure Flavour = "measure"
	// Shell is Measure and u-root's commands, for looking around.
	Shell Flavour = "shell"
	// Bare holds the folders and device nodes only. The caller gives /init.
	Bare Flavour = "bare"
)

// File is a file of the host's that goes into the archive.
type File struct {
	Path   string // in the guest, absolute or relative to its root
	Source string // on the host
	Mode   fs.FileMode
}

//go:embed all:blobs
var blobs embed.FS

// Build writes the archive for arch ("x86_64" or "s390x"). A file whose path
// the flavour fills already takes its place. Folders that a path needs are made.
func Build(arch string, fl Flavour, files []File, w io.Writer) error {
	return build(blobs, arch, fl, files, w)
}

// GuestID returns the name of the build of the guest's program for arch, which
// the program says when it says hello; "" if the build has none.
func GuestID(arch string) (string, error) { return guestID(blobs, arch) }

func guestID(blobs fs.FS, arch string) (string, error) {
	if _, err := blob(blobs, arch, "packguest"); err != nil {
		return "", err
	}
	b, err := fs.ReadFile(blobs, path.Join("blobs", arch, "packguest.id"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

func build(blobs fs.FS, arch string, fl Flavour, files []File, w io.Writer) error {
	if arch != "x86_64" && arch != "s390x" {
		return fault.Inputf("build initramfs: unknown architecture %q (x86_64, s390x)", arch)
	}
	t := newTree()
	if err := t.flavour(blobs, arch, fl); err != nil {
		return fmt.Errorf("build %s initramfs for %s: %w", fl, arch, err)
	}
	for _, f := range files {
		if err := t.file(f); err != nil {
			return fmt.Errorf("build %s initramfs for %s: %w", fl, arch, err)
		}
	}
	if err := t.write(w); err != nil {
		return fmt.Errorf("build %s initramfs for %s: %w", fl, arch, err)
	}
	return nil
}

// tree is the archive's content by normalised path.
type tree struct {
	records map[string]cpio.Record
	sources map[string]string // path in the guest to path on the host
}

// newTree returns what every flavour holds: mount points, and the two devices
// that must be there before the guest mounts devtmpfs.
func newTree() *tree {
	t := &tree{records: map[string]cpio.Record{}, sources: map[string]string{}}
	for _, d := range []string{"dev", "etc", "proc", "root", "run", "sys"} {
		t.put(cpio.Directory(d, 0o755))
	}
	t.put(cpio.Directory("tmp", 0o1777))
	t.put(cpio.CharDev("dev/console", 0o600, 5, 1))
	t.put(cpio.CharDev("dev/null", 0o666, 1, 3))
	return t
}

func (t *tree) flavour(blobs fs.FS, arch string, fl Flavour) error {
	switch fl {
	case Bare:
		return nil
	case Measure:
		return t.guest(blobs, arch)
	case Shell:
		if err := t.guest(blobs, arch); err != nil {
			return err
		}
		t.put(cpio.Symlink("bin/packguest", "../init"))
		return t.shell(blobs, arch)
	}
	return fault.Inputf("unknown flavour (measure, shell, bare)")
}

func (t *tree) guest(blobs fs.FS, arch string) error {
	b, err := blob(blobs, arch, "packguest")
	if err != nil {
		return err
	}
	t.put(cpio.StaticFile("init", string(b), 0o755))
	return nil
}

func (t *tree) shell(blobs fs.FS, arch string) error {
	b, err := blob(blobs, arch, "shell.cpio")
	if err != nil {
		return err
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(b)))
	if err != nil {
		return fmt.Errorf("read the shell's archive: %w", err)
	}
	for _, r := range records {
		t.put(r)
	}
	return nil
}

func blob(blobs fs.FS, arch, name string) ([]byte, error) {
	b, err := fs.ReadFile(blobs, path.Join("blobs", arch, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.WithHint(fault.Harnessf("this packtest was built without its guest (%s/%s)", arch, name),
			"build it with make")
	}
	return b, err
}

// file adds a file of the host's; it is opened only when it is written.
func (t *tree) file(f File) error {
	st, err := os.Stat(f.Source)
	switch {
	case err != nil:
		return fmt.Errorf("add %s: %w", f.Path, err)
	case !st.Mode().IsRegular():
		return fault.Inputf("add %s: %s is not a file", f.Path, f.Source)
	}
	r := cpio.Record{Info: cpio.Info{Name: f.Path, Mode: cpio.S_IFREG | uint64(f.Mode.Perm()), FileSize: uint64(st.Size())}}
	name := t.put(r)
	if name == "." || name == ".." || strings.HasPrefix(name, "../") {
		return fault.Inputf("add %q: not a path inside the guest", f.Path)
	}
	t.sources[name] = f.Source
	return nil
}

func (t *tree) put(r cpio.Record) string {
	r.Name = cpio.Normalize(r.Name)
	delete(t.sources, r.Name)
	t.records[r.Name] = r
	for d := path.Dir(r.Name); d != "." && d != "/"; d = path.Dir(d) {
		if _, ok := t.records[d]; !ok {
			t.records[d] = cpio.Directory(d, 0o755)
		}
	}
	return r.Name
}

// write writes the records in the order of their names, in which a folder
// always comes before what is in it, with every field that could differ from
// one build to the next fixed.
func (t *tree) write(w io.Writer) error {
	names := make([]string, 0, len(t.records))
	for n := range t.records {
		names = append(names, n)
	}
	slices.Sort(names)
	out := cpio.Newc.Writer(w)
	for i, n := range names {
		r := t.records[n]
		r.Ino, r.NLink = uint64(i+1), 1
		r.UID, r.GID, r.MTime, r.Dev, r.Major, r.Minor = 0, 0, 0, 0, 0, 0
		if err := t.writeRecord(out, r); err != nil {
			return fmt.Errorf("write %s: %w", n, err)
		}
	}
	return cpio.WriteTrailer(out)
}

func (t *tree) writeRecord(out cpio.RecordWriter, r cpio.Record) error {
	source, ok := t.sources[r.Name]
	if !ok {
		return out.WriteRecord(r)
	}
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	// Bounded, so that a file that grows meanwhile is an error in the length
	// and not a broken archive. The record writer must not close it: defer does.
	r.ReaderAt = io.NewSectionReader(f, 0, int64(r.FileSize))
	return out.WriteRecord(r)
}
