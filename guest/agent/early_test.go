// SPDX-License-Identifier: GPL-2.0-or-later

package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"packtest/guest/scenario"
	"packtest/guest/wire"
)

// A job that was in the guest is carried out before the host can say anything,
// and then told like any other.
func TestServeEarly(t *testing.T) {
	for _, tc := range []struct {
		name        string
		here, asked wire.Message
		want        []string
		err         string
	}{
		{"the same job", job("good", "finds"), job("good", "finds"), []string{"hello", "good begin", "good progress 1/2", "good progress 2/2",
			"good sample", "good layout", "good unmeasured", "good end", "finds begin", "finds finding x", "finds finding loads 1", "finds end", "done 2 2"}, ""},
		{"another job", job("good"), job("finds"), []string{"hello"}, "another job"},
		{"after a panic there is no done", job("panics"), job("panics"), []string{"hello", "panics begin", "panics end panic: at the disco"}, "panic in scenario panics"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			guest, conn := net.Pipe()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			began := false
			list := scenarios()
			for i, s := range list {
				list[i].Run = func(ctx context.Context, env *scenario.Env, spec wire.ScenarioSpec) error {
					began = true
					return s.Run(ctx, env, spec)
				}
			}
			a := Agent{Hello: wire.Hello{Arch: "s390x"}, Scenarios: list, Env: scenario.Env{Log: io.Discard}}
			served := make(chan error, 1)
			go func() {
				served <- a.ServeEarly(context.Background(), *tc.here.Job, func() (io.ReadWriter, error) {
					if !began {
						t.Error("the connection was opened before the job was carried out")
					}
					return guest, nil
				})
				guest.Close()
			}()
			r := wire.NewReader(conn)
			m, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			if err := wire.NewWriter(conn).Write(tc.asked); err != nil {
				t.Fatal(err)
			}
			words := append([]string{string(m.Type)}, listen(r)...)
			if d := cmp.Diff(tc.want, words); d != "" {
				t.Error(d)
			}
			if err := <-served; tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("ServeEarly: %v, want %q", err, tc.err)
			}
		})
	}
}

func TestServeEarlyWithoutAPort(t *testing.T) {
	a := Agent{Scenarios: scenarios(), Env: scenario.Env{Log: io.Discard}}
	gone := errors.New("no port")
	if err := a.ServeEarly(context.Background(), wire.Job{}, func() (io.ReadWriter, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
}
