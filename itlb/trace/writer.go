// SPDX-License-Identifier: GPL-2.0-or-later

package trace

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// Writer writes a trace, as the plugin does. It is for tests and tools: what a
// guest did is written by the plugin alone.
type Writer struct {
	w       *bufio.Writer
	crc     uint32
	header  Header
	windows uint32
	open    bool
	totals  Totals
	cpus    [256]cpuState
	chunk   []byte // coded events of cpu, not written yet
	cpu     uint8
	err     error
}

// NewWriter writes the header. The caller must call Close for a whole file.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	wr := &Writer{w: bufio.NewWriter(w), header: h}
	for name, v := range map[string]int{"interface": h.Interface, "CPUs": h.CPUs} {
		if v < 0 || v > math.MaxUint16 {
			return nil, fmt.Errorf("trace header: %s is %d", name, v)
		}
	}
	for _, s := range []string{h.Arch, h.Tag, h.Build} {
		if len(s) > math.MaxUint16 {
			return nil, fmt.Errorf("trace header: a text of %d bytes", len(s))
		}
	}
	b := []byte(magic)
	b = binary.LittleEndian.AppendUint16(b, formatVersion)
	b = binary.LittleEndian.AppendUint16(b, uint16(h.Interface))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.CPUs))
	b = appendText(b, h.Arch)
	b = appendText(b, h.Tag)
	b = appendText(b, h.Build)
	wr.put(b)
	wr.endSection()
	return wr, wr.err
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func (w *Writer) put(b []byte) {
	if w.err != nil {
		return
	}
	w.crc = crc32.Update(w.crc, crc32.IEEETable, b)
	if _, err := w.w.Write(b); err != nil {
		w.err = fmt.Errorf("write trace: %w", err)
	}
}

func (w *Writer) endSection() {
	w.put(binary.LittleEndian.AppendUint32(nil, w.crc))
	w.crc = 0
}

// Begin begins the next window, marked by cpu.
func (w *Writer) Begin(cpu uint8) error {
	if w.open {
		return fmt.Errorf("trace: window %d has no end yet", w.windows)
	}
	w.windows++
	w.open, w.totals, w.cpus = true, Totals{}, [256]cpuState{}
	w.put(append(binary.LittleEndian.AppendUint32([]byte{tagWindow}, w.windows), cpu))
	return w.err
}

// Write adds events to the window.
func (w *Writer) Write(events []Event) error {
	if !w.open {
		return fmt.Errorf("trace: events outside of a window")
	}
	for i := range events {
		e := &events[i]
		if e.CPU != w.cpu || len(w.chunk) > maxChunk-maxEvent {
			w.flush()
			w.cpu = e.CPU
		}
		chunk, err := w.cpus[e.CPU].appendEvent(w.chunk, e)
		if err != nil {
			return fmt.Errorf("trace: window %d: %w", w.windows, err)
		}
		w.chunk = chunk
		w.totals.add(e)
	}
	return w.err
}

func (w *Writer) flush() {
	if len(w.chunk) == 0 {
		return
	}
	w.put(binary.LittleEndian.AppendUint32([]byte{tagEvents, w.cpu}, uint32(len(w.chunk))))
	w.put(w.chunk)
	w.chunk = w.chunk[:0]
}

// End ends the window.
func (w *Writer) End() error {
	if !w.open {
		return fmt.Errorf("trace: no window to end")
	}
	w.flush()
	w.open = false
	b := binary.LittleEndian.AppendUint32([]byte{tagFinish}, w.windows)
	for _, v := range []uint64{w.totals.Fetches, w.totals.Flushes, w.totals.Laps, w.totals.Instructions} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	w.put(b)
	w.endSection()
	return w.err
}

// Fail makes the file invalid and says why; a reader returns the text as an error.
func (w *Writer) Fail(why string) error {
	w.flush()
	w.open = false
	w.put(appendText([]byte{tagFailure}, why[:min(len(why), math.MaxUint16)]))
	w.endSection()
	return w.err
}

// Close ends the file; it doesn't close what it is written to.
func (w *Writer) Close() error {
	if w.open {
		return fmt.Errorf("trace: window %d has no end", w.windows)
	}
	w.put(binary.LittleEndian.AppendUint32([]byte{tagEnd}, w.windows))
	w.endSection()
	if w.err != nil {
		return w.err
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	return nil
}
