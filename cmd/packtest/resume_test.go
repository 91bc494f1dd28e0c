// SPDX-License-Identifier: GPL-2.0-or-later

package main

import (
	"bytes"
	"context"
	"testing"

	"packtest/internal/fault"
	"packtest/plan"
	"packtest/results"
)

// Whatever was cut short tells the command that goes on with it.
func TestSayHowToGoOn(t *testing.T) {
	check := &results.Record{Verdict: results.Interrupted, Command: []string{"packtest", "check", "--series", "my v6.mbox"}, Check: &results.Check{
		Series: "mine", Arches: []string{"s390x"}, Planned: []results.CheckKind{results.Applies, results.Builds}, Patches: []results.CheckPatch{{Applied: true}, {Applied: true}}}}
	const again = "packtest: this begins it anew, with what it built in the cache: packtest check --series 'my v6.mbox'\n"
	for _, tc := range []struct {
		name string
		rec  *results.Record
		err  error
		want string
	}{
		{"a check", check, context.Canceled, "packtest: 2 of 4 checks not begun; the next is patch 1, s390x, builds\n" + again},
		{"a check of what can't be checked", check, fault.Inputf("an option does not stick"), "packtest: 2 of 4 checks not begun; the next is patch 1, s390x, builds\n"},
		{"a search that has ended", &results.Record{ID: "20260102-030405", Verdict: results.Regressed, Resume: &results.Resume{Search: &results.Search{}}}, nil, ""},
		{"a search", &results.Record{ID: "20260102-030405", Verdict: results.Interrupted, Resume: &results.Resume{Search: &results.Search{}}}, context.Canceled,
			"packtest: this goes on with it: packtest resume 20260102-030405\n"},
		{"a search whose patches came from standard input", &results.Record{Command: []string{"packtest", "bisect", "--metric", "jit_pages"}}, context.Canceled,
			"packtest: this begins it anew, with what it built in the cache: packtest bisect --metric jit_pages\n"},
		{"a run", &results.Record{ID: "20260102-030405", Command: []string{"packtest", "run"}, Resume: &results.Resume{Plan: plan.Default().TOML()}}, context.Canceled,
			"packtest: this goes on with it: packtest resume 20260102-030405\n"},
	} {
		var said bytes.Buffer
		(&world{stderr: &said, resultsDir: "results"}).sayHowToGoOn(tc.rec, tc.err)
		if said.String() != tc.want {
			t.Errorf("%s:\n%swant\n%s", tc.name, &said, tc.want)
		}
	}
}
