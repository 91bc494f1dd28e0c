// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func suite(name, log string) *suiteResult {
	r := &suiteResult{suite: name}
	for _, line := range strings.Split(log, "\n") {
		r.line(line)
	}
	return r
}

func TestSuite(t *testing.T) {
	for _, tc := range []struct {
		name, log  string
		cases      int
		failures   []string
		summarised bool
		samples    map[string]float64
	}{
		{"test_bpf", `test_bpf: #0 TAX jited:1 50 42 43 PASS
test_bpf: #1 TXA jited:1 34 31 27 PASS
random: crng init done
test_bpf: #2 ALU64_ADD_K: 1 + 2 = 3 jited:1 ret 4 != 3 FAIL (1 times)
test_bpf: #3 BPF_MAXINSNS: Maximum possible literals FAIL to prog_create err=-12 len=4096
test_bpf: #4 INT: DIV by zero jited:1 UNEXPECTED_PASS
test_bpf: #5 JIT refuses FAIL to select_runtime err=-524
test_bpf: #6 check: missing ret PASS
test_bpf: Summary: 3 PASSED, 4 FAILED, [4/5 JIT'ed]
`, 7, []string{"ALU64_ADD_K: 1 + 2 = 3", "BPF_MAXINSNS: Maximum possible literals", "INT: DIV by zero", "JIT refuses"}, true,
			map[string]float64{"test_bpf_passed suite=test_bpf": 3, "test_bpf_failed suite=test_bpf": 4, "test_bpf_jited suite=test_bpf": 4}},
		{"test_tail_calls", "test_bpf: #0 Tail call leaf jited:1 11 PASS\ntest_bpf: #1 Tail call count jited:1 ret 1 != 34 FAIL\ntest_bpf: test_tail_calls: Summary: 1 PASSED, 1 FAILED, [2/2 JIT'ed]\n",
			2, []string{"Tail call count"}, true,
			map[string]float64{"test_bpf_passed suite=test_tail_calls": 1, "test_bpf_failed suite=test_tail_calls": 1, "test_bpf_jited suite=test_tail_calls": 2}},
		{"test_skb_segment", "test_bpf: #0 gso_with_rx_frags PASS\ntest_bpf: #1 gso_linear_no_head_frag FAIL\ntest_bpf: test_skb_segment: Summary: 1 PASSED, 1 FAILED\n",
			2, []string{"gso_linear_no_head_frag"}, true,
			map[string]float64{"test_bpf_passed suite=test_skb_segment": 1, "test_bpf_failed suite=test_skb_segment": 1}},
		{"test_bpf", "test_bpf: #0 TAX jited:1 50\nother: Summary: 3 PASSED, 0 FAILED\n", 1, nil, false, nil},
	} {
		r := suite(tc.name, tc.log)
		if r.cases != tc.cases || r.summarised != tc.summarised {
			t.Errorf("%s: %d cases, summarised %v", tc.name, r.cases, r.summarised)
		}
		var names []string
		for _, f := range r.failures {
			names = append(names, f.name)
		}
		if d := cmp.Diff(tc.failures, names); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
		if tc.samples == nil {
			continue
		}
		rec := newRecorder()
		r.report(&Env{Report: rec})
		if d := cmp.Diff(tc.samples, rec.samples); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
		if len(rec.findings) != len(tc.failures) {
			t.Errorf("%s: findings %v", tc.name, rec.findings)
		}
	}
}

// TestLostFailures: failures that the summary counts and the log lost are a
// finding all the same.
func TestLostFailures(t *testing.T) {
	rec := newRecorder()
	suite("test_bpf", "test_bpf: Summary: 3 PASSED, 4 FAILED, [4/5 JIT'ed]").report(&Env{Report: rec})
	if len(rec.findings) != 1 || !strings.Contains(rec.findings[0].Evidence, "counts 4 failures; the log shows 0") {
		t.Errorf("%v", rec.findings)
	}
}

func FuzzSuiteLine(f *testing.F) {
	f.Add("test_bpf: #2 ALU64_ADD_K: 1 + 2 = 3 jited:1 ret 4 != 3 FAIL (1 times)")
	f.Add("test_bpf: test_tail_calls: Summary: 1 PASSED, 1 FAILED, [2/2 JIT'ed]")
	f.Fuzz(func(t *testing.T, s string) {
		r := suite("x", s)
		if r.passed < 0 || r.failed < 0 || len(r.failures) > r.cases {
			t.Errorf("%+v", r)
		}
	})
}
