// SPDX-License-Identifier: GPL-2.0-or-later

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packtest/guest/scenario"
	"packtest/guest/wire"
	"packtest/metric"
)

// scenarios are fakes: one for each way a scenario can go.
func scenarios() []scenario.Scenario {
	return []scenario.Scenario{
		{Name: "good", Run: func(ctx context.Context, env *scenario.Env, spec wire.ScenarioSpec) error {
			env.Report.Progress(1, 2, "things")
			env.Report.Progress(2, 2, "things")
			env.Report.Sample(metric.New("jit_pages", nil, float64(spec.Programs)))
			env.Report.Layout(wire.Layout{Step: "loaded"})
			env.Report.Unmeasured("jit_charged", "no kcore")
			env.Loads++
			return nil
		}},
		{Name: "finds", Run: func(ctx context.Context, env *scenario.Env, spec wire.ScenarioSpec) error {
			env.Report.Finding(wire.Finding{Kind: "leak", Title: "x"})
			env.Report.Finding(wire.Finding{Kind: "leak", Title: fmt.Sprint("loads ", env.Loads)})
			return nil
		}},
		{Name: "fails", Run: func(context.Context, *scenario.Env, wire.ScenarioSpec) error {
			return errors.New("no such luck")
		}},
		{Name: "panics", Run: func(context.Context, *scenario.Env, wire.ScenarioSpec) error {
			panic("at the disco")
		}},
		{Name: "talks", Run: func(ctx context.Context, env *scenario.Env, spec wire.ScenarioSpec) error {
			for ctx.Err() == nil {
				env.Report.Sample(metric.New("jit_pages", nil, 1))
			}
			return ctx.Err()
		}},
	}
}

// talk runs an agent against host and returns what it said, as short words,
// and what Serve returned.
func talk(t *testing.T, host func(r *wire.Reader, conn net.Conn)) error {
	t.Helper()
	guest, conn := net.Pipe()
	a := Agent{Hello: wire.Hello{Arch: "s390x"}, Scenarios: scenarios(), Env: scenario.Env{Log: io.Discard}}
	served := make(chan error, 1)
	go func() {
		served <- a.Serve(context.Background(), guest)
		guest.Close()
	}()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	host(wire.NewReader(conn), conn)
	conn.Close()
	return <-served
}

func job(names ...string) wire.Message {
	j := wire.Job{}
	for _, n := range names {
		j.Scenarios = append(j.Scenarios, wire.ScenarioSpec{Name: n, Programs: 5})
	}
	return wire.Message{Type: wire.TypeJob, Job: &j}
}

// listen reads to the end and returns a word for each message.
func listen(r *wire.Reader) []string {
	var words []string
	for {
		m, err := r.Read()
		if err != nil {
			return words
		}
		word := string(m.Type)
		if m.Scenario != "" {
			word = m.Scenario + " " + word
		}
		switch m.Type {
		case wire.TypeEnd:
			word += " " + m.End.Error
		case wire.TypeDone:
			word += fmt.Sprintf(" %d %d", m.Done.Scenarios, m.Done.Findings)
		case wire.TypeFinding:
			word += " " + m.Finding.Title
		case wire.TypeProgress:
			word += fmt.Sprintf(" %d/%d", m.Progress.Done, m.Progress.Total)
		}
		words = append(words, strings.TrimSpace(word))
	}
}

func TestServe(t *testing.T) {
	for _, tc := range []struct {
		name string
		job  wire.Message
		want []string
		err  string
	}{
		{"nothing to do", job(), []string{"hello", "done 0 0"}, ""},
		{"all kinds of messages, and one boot's memory", job("good", "finds"), []string{"hello", "good begin", "good progress 1/2", "good progress 2/2",
			"good sample", "good layout", "good unmeasured", "good end", "finds begin", "finds finding x", "finds finding loads 1", "finds end", "done 2 2"}, ""},
		{"a failure keeps nothing from running", job("fails", "finds"), []string{"hello", "fails begin", "fails end no such luck",
			"finds begin", "finds finding x", "finds finding loads 0", "finds end", "done 2 2"}, ""},
		{"unknown scenario", job("nope"), []string{"hello", "nope begin", `nope end no scenario called "nope" (there are good, finds, fails, panics, talks)`, "done 1 0"}, ""},
		{"after a panic there is no done", job("panics", "good"), []string{"hello", "panics begin", "panics end panic: at the disco"}, "panic in scenario panics: at the disco"},
		{"not a job", wire.Message{Type: wire.TypeBegin, Scenario: "good"}, []string{"hello"}, "the host sent begin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var words []string
			err := talk(t, func(r *wire.Reader, conn net.Conn) {
				m, err := r.Read()
				if err != nil || m.Hello.Arch != "s390x" {
					t.Errorf("hello: %+v, %v", m, err)
				}
				words = append(words, string(m.Type))
				if err := wire.NewWriter(conn).Write(tc.job); err != nil {
					t.Error(err)
				}
				words = append(words, listen(r)...)
			})
			if d := cmp.Diff(tc.want, words); d != "" {
				t.Error(d)
			}
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("Serve: %v, want %q", err, tc.err)
			}
		})
	}
}

func TestPanicTellsItsStack(t *testing.T) {
	err := talk(t, func(r *wire.Reader, conn net.Conn) {
		r.Read()
		wire.NewWriter(conn).Write(job("panics"))
		listen(r)
	})
	var p *PanicError
	if !errors.As(err, &p) || !strings.Contains(err.Error(), "agent_test.go") {
		t.Errorf("%v", err)
	}
}

// TestBadHost: whatever the host sends or doesn't, Serve returns an error.
func TestBadHost(t *testing.T) {
	for name, host := range map[string]func(r *wire.Reader, conn net.Conn){
		"hangs up before the hello": func(r *wire.Reader, conn net.Conn) {},
		"hangs up after the hello":  func(r *wire.Reader, conn net.Conn) { r.Read() },
		"sends garbage": func(r *wire.Reader, conn net.Conn) {
			r.Read()
			io.WriteString(conn, "Linux version 6.1\n")
		},
		"cuts the job off": func(r *wire.Reader, conn net.Conn) {
			r.Read()
			io.WriteString(conn, `0a0b0c0d {"v":1,"seq":1,"type":"jo`)
		},
		"hangs up in the middle": func(r *wire.Reader, conn net.Conn) {
			r.Read()
			wire.NewWriter(conn).Write(job("talks"))
			r.Read()
			r.Read()
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := talk(t, host); err == nil {
				t.Error("no error")
			}
		})
	}
}
