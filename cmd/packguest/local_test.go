// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"packtest/guest/scenario"
	"packtest/guest/wire"
	"packtest/metric"
)

// What was not measured is said and is no success; what was is written for packtest.
func TestLocalCount(t *testing.T) {
	walks := metric.New("itlb_pmu_walks", map[string]string{"form": "test_run", "loaded": "1", "hot": "1", "event": "re85"}, 0.5)
	for _, tc := range []struct {
		name string
		run  func(env *scenario.Env) error
		err  string
		last wire.Type
	}{
		{"counted", func(env *scenario.Env) error { env.Report.Sample(walks); return nil }, "", wire.TypeSample},
		{"no PMU", func(env *scenario.Env) error { env.Report.Unmeasured("itlb_pmu_walks", "no PMU here"); return nil }, "not measured: no PMU here", wire.TypeUnmeasured},
		{"silence", func(env *scenario.Env) error { return nil }, "nothing was measured", wire.TypeBegin},
		{"failure", func(env *scenario.Env) error { return errors.New("no room") }, "no room", wire.TypeBegin},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out, log bytes.Buffer
			h := hand{strings.NewReader(""), &out, &log}
			err := h.count(t.Context(), wire.ScenarioSpec{Name: "itlb"}, func(ctx context.Context, env *scenario.Env, spec wire.ScenarioSpec) error {
				return tc.run(env)
			})
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || err.Error() != tc.err) {
				t.Errorf("err = %v, want %q", err, tc.err)
			}
			var said []wire.Type
			for r := wire.NewReader(&out); ; {
				m, err := r.Read()
				if err != nil {
					break
				}
				said = append(said, m.Type)
			}
			if n := len(said); n < 4 || said[0] != wire.TypeHello || said[n-1] != wire.TypeDone || said[n-2] != wire.TypeEnd || said[n-3] != tc.last {
				t.Errorf("said %v", said)
			}
		})
	}
}
