// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"packtest/guest/wire"
	"packtest/metric"
)

// packed is a text as a gzip stream.
func packed(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.Bytes()
}

// guestSays plays a guest: it sends hello, waits for the job, then sends the
// rest and hangs up.
func guestSays(t *testing.T, hello wire.Message, rest []wire.Message) net.Conn {
	t.Helper()
	host, guest := net.Pipe()
	go func() {
		defer guest.Close()
		w := wire.NewWriter(guest)
		if w.Write(hello) != nil {
			return
		}
		if _, err := wire.NewReader(guest).Read(); err != nil {
			return
		}
		for _, m := range rest {
			if w.Write(m) != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { host.Close() })
	return host
}

func TestTalk(t *testing.T) {
	sample, backwards := metric.New("jit_pages", nil, 3), metric.New("load_time_per_program", nil, 7, -2)
	hello := wire.Message{Type: wire.TypeHello, Hello: &wire.Hello{Arch: "s390x", Config: packed("CONFIG_BPF=y\n")}}
	begin := wire.Message{Type: wire.TypeBegin, Scenario: "load"}
	end := wire.Message{Type: wire.TypeEnd, Scenario: "load", End: &wire.End{}}
	value := wire.Message{Type: wire.TypeSample, Scenario: "load", Sample: &sample}
	found := wire.Message{Type: wire.TypeFinding, Scenario: "load", Finding: &wire.Finding{Kind: "leak"}}
	done := func(scenarios, findings int) wire.Message {
		return wire.Message{Type: wire.TypeDone, Done: &wire.Done{Scenarios: scenarios, Findings: findings}}
	}
	job := wire.Job{Scenarios: []wire.ScenarioSpec{{Name: "load"}}}
	want := expectation{arch: "s390x", configSum: "447b90c944e91f1cf0734ef97fc17428396cdceb9fbd15f7b2deef7dbc7c5cbe"}

	for _, tc := range []struct {
		name  string
		hello wire.Message
		rest  []wire.Message
		err   string // "" for a good conversation
	}{
		{"good", hello, []wire.Message{begin, value, found, end, done(1, 1)}, ""},
		{"wrong arch", wire.Message{Type: wire.TypeHello, Hello: &wire.Hello{Arch: "x86_64", Config: packed("CONFIG_BPF=y\n")}}, nil, "says it runs on x86_64"},
		{"another guest", wire.Message{Type: wire.TypeHello, Hello: &wire.Hello{Program: "0123", Arch: "s390x", Config: packed("CONFIG_BPF=y\n")}}, nil, "of another build (0123) than this packtest's (one without a name)"},
		{"wrong config", wire.Message{Type: wire.TypeHello, Hello: &wire.Hello{Arch: "s390x", Config: packed("# CONFIG_BPF is not set\n")}}, nil, "is not the configuration"},
		{"no config", wire.Message{Type: wire.TypeHello, Hello: &wire.Hello{Arch: "s390x"}}, nil, "config.gz: EOF"},
		{"endless config", wire.Message{Type: wire.TypeHello, Hello: &wire.Hello{Arch: "s390x", Config: packed(strings.Repeat("#", 16<<20))}}, nil, "unpacks to more than"},
		{"no hello", begin, nil, "hello comes first"},
		{"hello twice", hello, []wire.Message{hello}, "hello comes first, and once"},
		{"silence", hello, []wire.Message{begin, value}, "fell silent"},
		{"silence after the last scenario", hello, []wire.Message{begin, end}, "fell silent"},
		{"scenario left out", hello, []wire.Message{done(0, 0)}, "never ran load"},
		{"scenario twice", hello, []wire.Message{begin, end, begin}, "out of turn"},
		{"sample outside", hello, []wire.Message{value}, "while it ran"},
		{"done in the middle", hello, []wire.Message{begin, done(1, 0)}, "in the middle"},
		{"a scenario nobody asked for", hello, []wire.Message{{Type: wire.TypeBegin, Scenario: "drain"}}, "which nobody asked for"},
		{"a clock that goes back", hello, []wire.Message{begin, {Type: wire.TypeSample, Scenario: "load", Sample: &backwards}}, "clock went back"},
		{"a finding got lost", hello, []wire.Message{begin, end, done(1, 1)}, "1 findings"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTranscript(func() time.Duration { return time.Second })
			err := tr.talk(t.Context(), guestSays(t, tc.hello, tc.rest), job, want, func(wire.Message) {})
			if tc.err == "" {
				if err != nil || len(tr.samples) != 1 || len(tr.findings) != 1 {
					t.Errorf("%+v, %v", tr, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("err = %v, want %q", err, tc.err)
			}
			// Another guest, and a talk that breaks off, are the harness's.
			if want := tc.hello.Hello != nil && len(tc.rest) > 0 && tc.err != "fell silent"; tr.spoilt != want {
				t.Errorf("spoilt %v, want %v", tr.spoilt, want)
			}
		})
	}
}

func TestTalkEndsWithItsContext(t *testing.T) {
	host, guest := net.Pipe()
	defer guest.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	boom := errors.New("boom")
	time.AfterFunc(10*time.Millisecond, func() { cancel(boom); host.Close() })
	if err := newTranscript(func() time.Duration { return time.Second }).talk(ctx, host, wire.Job{}, expectation{}, func(wire.Message) {}); !errors.Is(err, boom) {
		t.Errorf("err = %v", err)
	}
}
