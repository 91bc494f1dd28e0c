// SPDX-License-Identifier: GPL-2.0-or-later

package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"sync"
)

// MaxFrame is the longest frame in bytes that is read or written. A layout of
// 10,000 programs takes about a megabyte.
const MaxFrame = 16 << 20

// MaxTalk is the most bytes that are read of one conversation: a guest that
// never stops must not take all of the host's memory. Progress doesn't count:
// nobody keeps it, and in a week it comes to more.
const MaxTalk = 64 << 20

// FrameError says that what came is no frame: garbage, or cut off.
type FrameError struct {
	Why  string
	Line []byte // at most 200 bytes of it
}

// Error shows what came, quoted.
func (e *FrameError) Error() string {
	return fmt.Sprintf("bad frame: %s: %q", e.Why, e.Line)
}

func frameError(line []byte, format string, args ...any) error {
	if len(line) > 200 {
		line = line[:200]
	}
	return &FrameError{Why: fmt.Sprintf(format, args...), Line: bytes.Clone(line)}
}

// Writer writes messages. It may be used by several goroutines.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	seq uint64
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write fills in the version and the sequence number and writes m as one frame.
func (w *Writer) Write(m Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.Version, m.Seq = Version, w.seq+1
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write %s message: %w", m.Type, err)
	}
	frame := make([]byte, 0, len(body)+10)
	frame = fmt.Appendf(frame, "%08x ", crc32.ChecksumIEEE(body))
	frame = append(append(frame, body...), '\n')
	if len(frame) > MaxFrame {
		return fmt.Errorf("write %s message: %d bytes, more than %d", m.Type, len(frame), MaxFrame)
	}
	if _, err := w.w.Write(frame); err != nil {
		return fmt.Errorf("write %s message: %w", m.Type, err)
	}
	w.seq++
	return nil
}

// Reader reads messages.
type Reader struct {
	r     *bufio.Reader
	seq   uint64
	bytes int // so far, without progress
}

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// Read returns the next message. The error is io.EOF at the end of the stream
// between frames, a *FrameError for anything that is no valid frame, and any
// other one for a broken stream. After an error nothing more can be read.
func (r *Reader) Read() (Message, error) {
	line, err := r.line()
	if err != nil {
		return Message{}, err
	}
	m, err := Parse(line)
	if err != nil {
		return Message{}, err
	}
	if m.Seq != r.seq+1 {
		return Message{}, frameError(line, "message %d came after message %d", m.Seq, r.seq)
	}
	r.seq = m.Seq
	if m.Type == TypeProgress {
		r.bytes -= len(line) + 1
	}
	return m, nil
}

func (r *Reader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.r.ReadSlice('\n')
		line = append(line, part...)
		r.bytes += len(part)
		switch {
		case r.bytes > MaxTalk:
			return nil, frameError(line, "the conversation is longer than %d bytes", MaxTalk)
		case len(line) > MaxFrame:
			return nil, frameError(line, "longer than %d bytes", MaxFrame)
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, frameError(line, "cut off")
		default:
			return nil, err
		}
	}
}

// Parse parses one frame without its newline.
func Parse(line []byte) (Message, error) {
	if len(line) < 10 || line[8] != ' ' {
		return Message{}, frameError(line, "no checksum")
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil {
		return Message{}, frameError(line, "no checksum")
	}
	body := line[9:]
	if got := crc32.ChecksumIEEE(body); got != uint32(sum) {
		return Message{}, frameError(line, "checksum is %08x, should be %08x", got, sum)
	}
	var v struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return Message{}, frameError(line, "%v", err)
	}
	if v.Version != Version {
		return Message{}, frameError(line, "version %d, this side speaks %d: rebuild packtest with make, guest and all", v.Version, Version)
	}
	// A field that this side doesn't know would be passed over in silence, and
	// what it asks for or says with it.
	var m Message
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Message{}, frameError(line, "%v: rebuild packtest with make, guest and all", err)
	}
	if err := m.check(); err != nil {
		return Message{}, frameError(line, "%v", err)
	}
	return m, nil
}

// check sees to it that the field which the type promises is there.
func (m *Message) check() error {
	have := map[Type]bool{
		TypeHello: m.Hello != nil, TypeJob: m.Job != nil, TypeBegin: m.Scenario != "",
		TypeProgress: m.Progress != nil, TypeSample: m.Sample != nil && len(m.Sample.Values) > 0,
		TypeLayout: m.Layout != nil, TypeFinding: m.Finding != nil, TypeUnmeasured: m.Unmeasured != nil, TypeWindow: m.Window != nil,
		TypeEnd: m.End != nil, TypeDone: m.Done != nil,
	}
	ok, known := have[m.Type]
	switch {
	case !known:
		return fmt.Errorf("unknown message type %q", m.Type)
	case !ok:
		return fmt.Errorf("%s message without its %s", m.Type, m.Type)
	}
	return nil
}
