// SPDX-License-Identifier: GPL-2.0-or-later

package trace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Reader reads a trace, window by window. Every error of a Reader or its
// windows says at which byte of the file the trouble is, and is final: what was
// read before it belongs to an invalid file and proves nothing.
type Reader struct {
	r      *bufio.Reader
	at     int64 // bytes read
	crc    uint32
	header Header
	window *Window
	count  uint32 // windows begun
	chunk  []byte
	err    error
}

// Window is one stretch of execution between a begin mark and an end mark.
type Window struct {
	// Number counts from 1 in the file.
	Number int
	// CPU executed the begin mark.
	CPU uint8

	r      *Reader
	cpus   [256]cpuState
	cpu    uint8  // of the chunk
	rest   []byte // of the chunk
	totals Totals
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	rd := &Reader{r: bufio.NewReaderSize(r, 2*maxChunk)}
	if err := rd.readHeader(); err != nil {
		return nil, rd.fail("header: %w", err)
	}
	return rd, nil
}

// Header returns the file's header.
func (r *Reader) Header() Header { return r.header }

func (r *Reader) readHeader() error {
	b, err := r.take(len(magic) + 2)
	if err != nil {
		return err
	}
	if string(b[:len(magic)]) != magic {
		return fmt.Errorf("this is no trace")
	}
	if v := binary.LittleEndian.Uint16(b[len(magic):]); v != formatVersion {
		return fmt.Errorf("version %d of the format; this program reads version %d", v, formatVersion)
	}
	if b, err = r.take(4); err != nil {
		return err
	}
	r.header.Interface = int(binary.LittleEndian.Uint16(b))
	r.header.CPUs = int(binary.LittleEndian.Uint16(b[2:]))
	for _, s := range []*string{&r.header.Arch, &r.header.Tag, &r.header.Build} {
		if *s, err = r.text(); err != nil {
			return err
		}
	}
	return r.checkSection()
}

// fail makes an error final. The position is where reading stopped.
func (r *Reader) fail(format string, args ...any) error {
	where := "trace"
	if r.window != nil {
		where = fmt.Sprintf("trace: window %d", r.window.Number)
	}
	r.err = fmt.Errorf("%s: at byte %d: %w", where, r.at, fmt.Errorf(format, args...))
	return r.err
}

// take reads n bytes of the current section; they are good until the next take.
func (r *Reader) take(n int) ([]byte, error) {
	if cap(r.chunk) < n {
		r.chunk = make([]byte, max(n, maxChunk))
	}
	b := r.chunk[:n]
	got, err := io.ReadFull(r.r, b)
	r.at += int64(got)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("the file is cut off here")
	}
	if err != nil {
		return nil, err
	}
	r.crc = crc32.Update(r.crc, crc32.IEEETable, b)
	return b, nil
}

func (r *Reader) text() (string, error) {
	b, err := r.take(2)
	if err != nil {
		return "", err
	}
	b, err = r.take(int(binary.LittleEndian.Uint16(b)))
	return string(b), err
}

// checkSection reads the checksum that ends a section.
func (r *Reader) checkSection() error {
	want := r.crc
	b, err := r.take(4)
	if err != nil {
		return err
	}
	r.crc = 0
	if got := binary.LittleEndian.Uint32(b); got != want {
		return fmt.Errorf("the checksum of what ends here is %08x, not %08x: the file is damaged", want, got)
	}
	return nil
}

// NextWindow returns the next window, or io.EOF after the last one of a whole
// file. What is left of the window before is read and checked first.
func (r *Reader) NextWindow() (*Window, error) {
	if r.err != nil {
		return nil, r.err
	}
	if r.window != nil {
		if err := r.window.skip(); err != nil {
			return nil, err
		}
	}
	b, err := r.take(1)
	if err != nil {
		return nil, r.fail("after window %d: %w", r.count, err)
	}
	switch b[0] {
	case tagWindow:
		return r.begin()
	case tagFailure:
		return nil, r.failure()
	case tagEnd:
		return nil, r.end()
	}
	return nil, r.fail("after window %d: unknown record %q", r.count, b[0])
}

func (r *Reader) begin() (*Window, error) {
	b, err := r.take(5)
	if err != nil {
		return nil, r.fail("%w", err)
	}
	r.count++
	if n := binary.LittleEndian.Uint32(b); n != r.count {
		return nil, r.fail("window %d comes where window %d should", n, r.count)
	}
	r.window = &Window{Number: int(r.count), CPU: b[4], r: r}
	return r.window, nil
}

func (r *Reader) failure() error {
	text, err := r.text()
	if err == nil {
		err = r.checkSection()
	}
	if err != nil {
		return r.fail("%w", err)
	}
	return r.fail("the plugin says: %s", text)
}

// end returns io.EOF if the file ends as it should.
func (r *Reader) end() error {
	b, err := r.take(4)
	if err != nil {
		return r.fail("end: %w", err)
	}
	if n := binary.LittleEndian.Uint32(b); n != r.count {
		return r.fail("the end speaks of %d windows, the file has %d", n, r.count)
	}
	if err := r.checkSection(); err != nil {
		return r.fail("end: %w", err)
	}
	switch _, err := r.r.ReadByte(); {
	case err == nil:
		return r.fail("there is more after the end")
	case !errors.Is(err, io.EOF):
		return r.fail("end: %w", err)
	}
	r.err = io.EOF
	return io.EOF
}

// Read decodes up to len(events) events and says how many. After the last one
// it returns 0 and io.EOF, having checked the window's checksum and totals. It
// allocates nothing.
func (w *Window) Read(events []Event) (int, error) {
	if w.r.window != w {
		return 0, io.EOF // read to its end, or passed over
	}
	if w.r.err != nil {
		return 0, w.r.err
	}
	n := 0
	for n < len(events) {
		if len(w.rest) == 0 {
			if n > 0 {
				return n, nil
			}
			if err := w.nextChunk(); err != nil {
				return 0, err
			}
		}
		e := &events[n]
		rest, err := w.cpus[w.cpu].decode(w.rest, e)
		if err != nil {
			return 0, w.r.fail("%d bytes before: %w", len(w.rest), err)
		}
		w.rest = rest
		e.CPU = w.cpu
		w.totals.add(e)
		n++
	}
	return n, nil
}

// Totals returns the sums over the events that were read so far.
func (w *Window) Totals() Totals { return w.totals }

func (w *Window) skip() error {
	events := make([]Event, 512)
	for {
		if _, err := w.Read(events); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// nextChunk reads the next chunk of events, or the window's end: then io.EOF.
func (w *Window) nextChunk() error {
	r := w.r
	b, err := r.take(1)
	if err != nil {
		return r.fail("no end mark: %w", err)
	}
	switch b[0] {
	case tagEvents:
	case tagFinish:
		return w.finish()
	case tagFailure:
		return r.failure()
	default:
		return r.fail("unknown record %q", b[0])
	}
	if b, err = r.take(5); err != nil {
		return r.fail("%w", err)
	}
	w.cpu = b[0]
	n := binary.LittleEndian.Uint32(b[1:])
	if n == 0 || n > maxChunk {
		return r.fail("a chunk of %d bytes", n)
	}
	if w.rest, err = r.take(int(n)); err != nil {
		return r.fail("%w", err)
	}
	return nil
}

func (w *Window) finish() error {
	r := w.r
	b, err := r.take(4 + 4*8)
	if err != nil {
		return r.fail("%w", err)
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[4+8*i:]) }
	number, want := binary.LittleEndian.Uint32(b), Totals{word(0), word(1), word(2), word(3)}
	if err := r.checkSection(); err != nil {
		return r.fail("%w", err)
	}
	switch {
	case number != uint32(w.Number):
		return r.fail("the end of window %d", number)
	case want != w.totals:
		return r.fail("the window holds %+v, and ends with %+v", w.totals, want)
	case w.totals.Fetches == 0:
		return r.fail("the window holds no fetch: QEMU saw no block of code in it")
	}
	r.window = nil
	return io.EOF
}
