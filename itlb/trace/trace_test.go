// SPDX-License-Identifier: GPL-2.0-or-later

package trace

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

var update = flag.Bool("update", false, "write the golden files")

func fetch(cpu uint8, page uint64, n uint32) Event {
	return Event{Kind: Fetch, CPU: cpu, Page: page, Instructions: n}
}

func flush(cpu uint8, k FlushKind) Event { return Event{Kind: Flush, CPU: cpu, Page: uint64(k)} }

func lap(cpu uint8) Event { return Event{Kind: Lap, CPU: cpu} }

func header() Header {
	return Header{Arch: "s390x", Interface: 4, CPUs: 2, Tag: "kernel 1234", Build: "0123456789abcdef"}
}

// sample has every kind of event, the extremes of each field, and two windows.
func sample() [][]Event {
	return [][]Event{
		{
			fetch(0, 0xffffffff81000, 7), fetch(0, 0xffffffff81001, 0), lap(0), fetch(0, 0xffffffff81001, 1<<32-1),
			fetch(1, 0, 3), flush(1, FlushAll), fetch(1, 0, 1), fetch(1, maxPage, 128), flush(0, FlushNonGlobal),
			flush(0, FlushPage), lap(0), fetch(0, 0x3ff80000, 2), flush(1, FlushUnknown), flush(1, FlushSpace),
		},
		{fetch(1, 0x200, 127)},
	}
}

func write(t testing.TB, h Header, windows ...[]Event) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, events := range windows {
		if err := errors.Join(w.Begin(events[0].CPU), w.Write(events), w.End()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read reads everything, batch events at a time.
func read(r io.Reader, batch int) (h Header, windows [][]Event, err error) {
	rd, err := NewReader(r)
	if err != nil {
		return h, nil, err
	}
	for {
		w, err := rd.NextWindow()
		if err == io.EOF {
			return rd.Header(), windows, nil
		}
		if err != nil {
			return rd.Header(), windows, err
		}
		var all []Event
		buf := make([]Event, batch)
		for {
			n, err := w.Read(buf)
			all = append(all, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				return rd.Header(), windows, err
			}
		}
		windows = append(windows, all)
	}
}

func TestRoundTrip(t *testing.T) {
	file := write(t, header(), sample()...)
	for _, batch := range []int{1, 2, 1000} {
		h, got, err := read(iotest.OneByteReader(bytes.NewReader(file)), batch)
		if err != nil {
			t.Fatal(err)
		}
		if h != header() {
			t.Errorf("header %+v", h)
		}
		if !slices.EqualFunc(got, sample(), slices.Equal[[]Event]) {
			t.Errorf("batches of %d: got\n%+v\nwant\n%+v", batch, got, sample())
		}
	}
}

// A long window takes several chunks, from CPUs in turn.
func TestManyChunks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var want []Event
	for i := range 100000 {
		want = append(want, fetch(uint8(i/1000%3), r.Uint64N(maxPage+1), r.Uint32()))
	}
	_, got, err := read(bytes.NewReader(write(t, header(), want)), 777)
	if err != nil || len(got) != 1 || !slices.Equal(got[0], want) {
		t.Errorf("%d windows, %v", len(got), err)
	}
}

// The format is a contract with files that exist: docs/trace.md explains these bytes.
func TestGolden(t *testing.T) {
	got := hex.Dump(write(t, header(), sample()...))
	const path = "testdata/sample.hex"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// No prefix of a file reads as a whole one, and no changed bit goes unseen.
func TestDamage(t *testing.T) {
	file := write(t, header(), sample()...)
	for n := range file {
		if _, _, err := read(bytes.NewReader(file[:n]), 10); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	for i := range file {
		for bit := range 8 {
			damaged := bytes.Clone(file)
			damaged[i] ^= 1 << bit
			if _, _, err := read(bytes.NewReader(damaged), 10); err == nil {
				t.Errorf("bit %d of byte %d changed, and nobody saw it", bit, i)
			}
		}
	}
}

// section returns a section's bytes and checksum.
func section(b ...byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// Files whose checksums are right and whose content is not.
func TestContradictions(t *testing.T) {
	head := write(t, header())
	head = head[:len(head)-9] // without its end
	finish := func(n, fetches, instructions byte) []byte {
		b := make([]byte, 37)
		b[0], b[1], b[5], b[29] = tagFinish, n, fetches, instructions
		return b
	}
	window := func(n byte, parts ...[]byte) []byte {
		return section(slices.Concat(append([][]byte{{tagWindow, n, 0, 0, 0, 0}}, parts...)...)...)
	}
	chunk := func(events ...byte) []byte {
		return append([]byte{tagEvents, 0, byte(len(events)), 0, 0, 0}, events...)
	}
	end := func(n byte) []byte { return section(tagEnd, n, 0, 0, 0) }
	good := window(1, chunk(4, 9), finish(1, 1, 9)) // one fetch from page 1, of nine instructions

	for _, c := range []struct {
		name string
		body [][]byte
		want string
	}{
		{"good", [][]byte{good, end(1)}, ""},
		{"no window", [][]byte{end(0)}, ""},
		{"windows missing", [][]byte{good, end(2)}, "the end speaks of 2 windows, the file has 1"},
		{"window out of order", [][]byte{window(2, chunk(4, 9), finish(2, 1, 9)), end(1)}, "window 2 comes where window 1 should"},
		{"end of another window", [][]byte{window(1, chunk(4, 9), finish(2, 1, 9)), end(1)}, "window 1: at byte "},
		{"empty window", [][]byte{window(1, finish(1, 0, 0)), end(1)}, "holds no fetch: QEMU saw no block"},
		{"laps alone", [][]byte{window(1, chunk(1), finish(1, 0, 0)), end(1)}, "holds"},
		{"totals", [][]byte{window(1, chunk(4, 9), finish(1, 1, 8)), end(1)}, "and ends with"},
		{"same page twice", [][]byte{window(1, chunk(4, 9, 0, 1), finish(1, 2, 10)), end(1)}, "two fetches in a row from page 0x1"},
		{"event cut off", [][]byte{window(1, chunk(4), finish(1, 1, 9)), end(1)}, "cut off or malformed number"},
		{"endless number", [][]byte{window(1, chunk(slices.Repeat([]byte{0xff}, 11)...), finish(1, 1, 9)), end(1)}, "malformed number"},
		{"page beyond", [][]byte{window(1, chunk(2, 9), finish(1, 1, 9)), end(1)}, "is of no 64-bit address"},
		{"too many instructions", [][]byte{window(1, chunk(4, 0xff, 0xff, 0xff, 0xff, 0x1f), finish(1, 1, 9)), end(1)}, "instructions in one fetch"},
		{"unknown event", [][]byte{window(1, chunk(13), finish(1, 0, 0)), end(1)}, "unknown event code 6"},
		{"unknown record", [][]byte{good, []byte("?")}, `after window 1: unknown record '?'`},
		{"unknown record in a window", [][]byte{window(1, []byte("?"))}, `window 1: at byte `},
		{"empty chunk", [][]byte{window(1, chunk())}, "a chunk of 0 bytes"},
		{"huge chunk", [][]byte{window(1, []byte{tagEvents, 0, 0, 0, 1, 1})}, "a chunk of 16842752 bytes"},
		{"more after the end", [][]byte{good, end(1), {0}}, "there is more after the end"},
		{"failure", [][]byte{good, section(append([]byte{tagFailure, 4, 0}, "a  b"...)...), end(1)}, "the plugin says: a  b"},
		{
			"failure in a window", [][]byte{window(1, chunk(4, 9), []byte{tagFailure, 2, 0, 'n', 'o'}), end(1)},
			"window 1: at byte ",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := read(bytes.NewReader(slices.Concat(append([][]byte{head}, c.body...)...)), 10)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestForeignFiles(t *testing.T) {
	file := write(t, header())
	file[len(magic)] = 2
	for _, c := range []struct{ file, want string }{
		{"", "header: the file is cut off"},
		{"#!/bin/sh\necho hello", "this is no trace"},
		{string(file), "version 2 of the format; this program reads version 1"},
	} {
		if _, err := NewReader(strings.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.10q: got %v, want %q", c.file, err, c.want)
		}
	}
	broken := errors.New("the disk is on fire")
	if _, err := NewReader(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// A window that is passed over is checked all the same.
func TestSkippedWindow(t *testing.T) {
	file := write(t, header(), sample()...)
	rd, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	first, err := rd.NextWindow()
	if err != nil {
		t.Fatal(err)
	}
	if w, err := rd.NextWindow(); err != nil || w.Number != 2 || w.CPU != 1 {
		t.Errorf("%+v, %v", w, err)
	}
	if n, err := first.Read(make([]Event, 1)); n != 0 || err != io.EOF {
		t.Errorf("the first window: %d, %v", n, err)
	}
	damaged := bytes.Clone(file)
	damaged[bytes.IndexByte(file, tagWindow)+20] ^= 1
	if rd, err = NewReader(bytes.NewReader(damaged)); err != nil {
		t.Fatal(err)
	}
	_, err = rd.NextWindow()
	if _, err2 := rd.NextWindow(); err != nil || err2 == nil {
		t.Errorf("%v, %v", err, err2)
	}
	if _, err := rd.NextWindow(); err == nil || err == io.EOF {
		t.Errorf("the error didn't last: %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	w, err := NewWriter(io.Discard, header())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"events outside", func() error { return w.Write([]Event{lap(0)}) }, "outside of a window"},
		{"end outside", w.End, "no window to end"},
		{"begin", func() error { return w.Begin(0) }, ""},
		{"nested", func() error { return w.Begin(0) }, "no end yet"},
		{"close inside", w.Close, "window 1 has no end"},
		{"page", func() error { return w.Write([]Event{fetch(0, maxPage+1, 1)}) }, "no 64-bit address"},
		{"twice", func() error { return w.Write([]Event{fetch(0, 1, 1), fetch(0, 1, 1)}) }, "two fetches in a row"},
		{"flush", func() error { return w.Write([]Event{flush(0, LastFlush+1)}) }, "unknown kind of flush"},
		{"kind", func() error { return w.Write([]Event{{Kind: 3}}) }, "unknown kind of event"},
	} {
		if err := c.do(); (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	var events []Event
	for i := range 200000 {
		events = append(events, fetch(0, uint64(i%1000), uint32(i%50)))
	}
	rd, err := NewReader(bytes.NewReader(write(t, header(), events)))
	if err != nil {
		t.Fatal(err)
	}
	w, err := rd.NextWindow()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]Event, 100)
	if _, err := w.Read(buf); err != nil { // the first chunk's buffer
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(1000, func() {
		if _, err := w.Read(buf); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

// FuzzReader holds that a reader neither crashes nor takes for whole what a
// writer wouldn't write.
func FuzzReader(f *testing.F) {
	f.Add(write(f, header(), sample()...))
	f.Add(write(f, header()))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, windows, err := read(bytes.NewReader(file), 64)
		if err != nil {
			return
		}
		h2, again, err := read(bytes.NewReader(write(t, h, windows...)), 64)
		if err != nil || h2 != h || !slices.EqualFunc(again, windows, slices.Equal[[]Event]) {
			t.Errorf("what was read can't be written: %v", err)
		}
	})
}

// FuzzEvents feeds damaged events behind right checksums to the decoder.
func FuzzEvents(f *testing.F) {
	f.Add([]byte{4, 9, 1, 3, 0, 5})
	f.Fuzz(func(t *testing.T, coded []byte) {
		var s, s2 cpuState
		var events []Event
		for b := coded; len(b) > 0; {
			var e Event
			rest, err := s.decode(b, &e)
			if err != nil {
				break
			}
			events = append(events, e)
			b = rest
		}
		var again []byte
		for i := range events {
			var err error
			if again, err = s2.appendEvent(again, &events[i]); err != nil {
				t.Fatal(err)
			}
		}
		for b, i := again, 0; i < len(events); i++ {
			var e Event
			var err error
			if i == 0 {
				s = cpuState{}
			}
			if b, err = s.decode(b, &e); err != nil || e != events[i] {
				t.Fatalf("event %d: %+v, want %+v: %v", i, e, events[i], err)
			}
		}
	})
}

// BenchmarkReader reports decoded events per second.
func BenchmarkReader(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var events []Event
	for range 1 << 20 {
		events = append(events, fetch(0, 0xffffffff81000+r.Uint64N(4096), 1+r.Uint32N(100)))
	}
	events = slices.CompactFunc(events, func(a, b Event) bool { return a.Page == b.Page })
	file := write(b, header(), events)
	buf := make([]Event, 4096)
	n := 0
	for b.Loop() {
		rd, err := NewReader(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		w, err := rd.NextWindow()
		for err == nil {
			_, err = w.Read(buf)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		n += len(events)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(len(file))/float64(len(events)), "bytes/event")
}
