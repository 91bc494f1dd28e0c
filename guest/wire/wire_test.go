// SPDX-License-Identifier: GPL-2.0-or-later

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/metric"
)

func frame(body string) string {
	return fmt.Sprintf("%08x %s\n", crc32.ChecksumIEEE([]byte(body)), body)
}

func TestRoundTrip(t *testing.T) {
	s := metric.New("jit_pages", nil, 3)
	in := []Message{
		{Type: TypeHello, Hello: &Hello{Arch: "s390x", Release: "6.1.192", CPUs: 2}},
		{Type: TypeBegin, Scenario: "load"},
		{Type: TypeSample, Scenario: "load", Sample: &s},
		{Type: TypeLayout, Scenario: "load", Layout: &Layout{Step: "loaded", Regions: []Region{{Start: 1 << 63, Bytes: 4096, Images: []Image{{Offset: 8, Bytes: 64, Type: "xdp", ID: 7}}}}}},
		{Type: TypeDone, Done: &Done{Scenarios: 1}},
	}
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, m := range in {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(&b)
	for i, want := range in {
		want.Version, want.Seq = Version, uint64(i+1)
		got, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("message %d: %s", i, d)
		}
	}
	if _, err := r.Read(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestBadFrames(t *testing.T) {
	good := frame(`{"v":1,"seq":1,"type":"begin","scenario":"load"}`)
	for _, tc := range []struct{ name, in, want string }{
		{"garbage", "Linux version 6.1\n", "no checksum"},
		{"damaged", strings.Replace(good, "load", "loud", 1), "checksum is"},
		{"cut off", good[:len(good)-1], "cut off"},
		{"not JSON", frame("{"), "unexpected end"},
		{"old version", frame(`{"v":0,"seq":1,"type":"begin","scenario":"x"}`), "version 0"},
		{"unknown type", frame(`{"v":1,"seq":1,"type":"x"}`), "unknown message type"},
		{"new version with fields of its own", frame(`{"v":2,"seq":1,"type":"begin","scenario":"x","when":1}`), "version 2"},
		{"a field of another build", frame(`{"v":1,"seq":1,"type":"job","job":{"scenarios":[{"name":"load","seed":1,"nodes":2}]}}`), `unknown field "nodes": rebuild`},
		{"two in one frame", frame(`{"v":1,"seq":1,"type":"begin","scenario":"x"}{}`), "invalid character"},
		{"empty promise", frame(`{"v":1,"seq":1,"type":"done"}`), "done message without"},
		{"sample without values", frame(`{"v":1,"seq":1,"type":"sample","sample":{"metric":"x"}}`), "sample message without"},
		{"said twice", good + good, "message 1 came after message 1"},
		{"lost", frame(`{"v":1,"seq":2,"type":"begin","scenario":"x"}`), "message 2 came after message 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReader(strings.NewReader(tc.in))
			var err error
			for err == nil {
				_, err = r.Read()
			}
			var fe *FrameError
			if !errors.As(err, &fe) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestOverlongFrameEnds(t *testing.T) {
	_, err := NewReader(io.LimitReader(zeros{}, MaxFrame*2)).Read()
	var fe *FrameError
	if !errors.As(err, &fe) || len(fe.Line) > 200 {
		t.Errorf("err = %.300v", err)
	}
}

// A guest that goes on for ever, in frames that are right, is stopped.
func TestOverlongTalkEnds(t *testing.T) {
	pr, pw := io.Pipe()
	go func() {
		w := NewWriter(pw)
		m := Message{Type: TypeFinding, Scenario: "load", Finding: &Finding{Kind: "x", Evidence: strings.Repeat("x", 1<<20)}}
		for w.Write(m) == nil {
		}
	}()
	defer pr.Close()
	r := NewReader(pr)
	var err error
	for err == nil {
		_, err = r.Read()
	}
	var fe *FrameError
	if !errors.As(err, &fe) || !strings.Contains(err.Error(), "conversation is longer") {
		t.Errorf("err = %.300v", err)
	}
}

// A guest that says for a week how far it has come is not.
func TestProgressIsNotCounted(t *testing.T) {
	pr, pw := io.Pipe()
	const size = 1 << 20
	const frames = MaxTalk/size + 1
	go func() {
		w := NewWriter(pw)
		m := Message{Type: TypeProgress, Scenario: "soak", Progress: &Progress{Done: 1, What: strings.Repeat("x", size)}}
		for range frames {
			if w.Write(m) != nil {
				return
			}
		}
		pw.Close()
	}()
	defer pr.Close()
	r := NewReader(pr)
	for i := range frames {
		if _, err := r.Read(); err != nil {
			t.Fatalf("frame %d: %.300v", i+1, err)
		}
	}
	if _, err := r.Read(); err != io.EOF {
		t.Errorf("at the end: %.300v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func FuzzParse(f *testing.F) {
	f.Add([]byte(strings.TrimSpace(frame(`{"v":1,"seq":1,"type":"begin","scenario":"load"}`))))
	f.Add([]byte("00000000 "))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := Parse(line)
		if err != nil {
			return
		}
		// What was accepted can be written and read again, the same.
		var b bytes.Buffer
		w := NewWriter(&b)
		w.seq = m.Seq - 1
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, again); d != "" {
			t.Error(d)
		}
	})
}
